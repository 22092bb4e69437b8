"""The benchmark of the worker, with a small volume: it measures real processes and compares with the targets."""

from __future__ import annotations

import pytest

from momentumseg.worker.benchmark import bench_worker


def test_the_benchmark_measures_everything_once(worker_environment, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONPATH", "MOMENTUMSEG_HOME", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, worker_environment[name])
    heard: list[float] = []
    report = bench_worker((4, 32, 32), repeats=1, progress=lambda name, part: heard.append(part))
    values = {measure.name: measure.value for measure in report.measures}
    assert len(values) == 6 and all(value is not None and value > 0 for value in values.values())
    assert [measure.target for measure in report.measures if measure.target] == [
        "<= 4 s",
        "<= 5 ms",
        "<= 2 x",
        "<= 0.5 s",
    ]
    assert heard == sorted(heard)
