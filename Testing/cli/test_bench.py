from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from momentumseg.cli.bench import parse_shape
from momentumseg.errors import InputError
from momentumseg.evaluation.benchmark_report import BenchmarkReport, Measure

_REPORT = BenchmarkReport("Speed", {"threads": 2}, [Measure("cold", 1.0, "s", at_most=1.5)])


@pytest.fixture
def quick_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands, without what they measure."""
    processes = "momentumseg.evaluation.benchmark_processes"
    monkeypatch.setattr("momentumseg.evaluation.benchmarks.bench_few_shot", lambda *arguments: _REPORT)
    monkeypatch.setattr(f"{processes}.measure_few_shot_memory", lambda *arguments: Measure("memory", 900.0, "MiB"))
    monkeypatch.setattr("momentumseg.evaluation.prompt_benchmark.bench_prompts", lambda *arguments: _REPORT)
    monkeypatch.setattr("momentumseg.weights.prompt_models.load_prompt_model", lambda *arguments: None)
    monkeypatch.setattr(f"{processes}.measure_prompt_memory", lambda *arguments: Measure("memory", 900.0, "MiB"))
    monkeypatch.setattr(f"{processes}.measure_import", lambda: [Measure("import", 0.01, "s")])
    monkeypatch.setattr(f"{processes}.bench_volume_apart", lambda *arguments: _REPORT)
    monkeypatch.setattr(
        "momentumseg.evaluation.training_benchmark.bench_training", lambda *arguments, **options: _REPORT
    )
    monkeypatch.setattr("momentumseg.evaluation.momentum_benchmark.bench_momentum", lambda *arguments: _REPORT)
    monkeypatch.setattr("momentumseg.evaluation.memory_benchmark.bench_memory", lambda *arguments: _REPORT)
    monkeypatch.setattr("momentumseg.worker.benchmark.bench_worker", lambda *arguments: _REPORT)


@pytest.mark.usefixtures("quick_measurements")
@pytest.mark.parametrize("kind", ["fewshot", "volume", "training", "worker", "momentum", "memory"])
def test_bench_prints_a_table_with_targets(kind: str, momentumseg: Callable[..., Any]) -> None:
    answer = momentumseg("bench", kind)

    assert answer.exit_code == 0
    assert all(word in answer.stdout for word in ("cold", "1.000 s", "<= 1.5 s", "met"))


@pytest.mark.usefixtures("quick_measurements")
def test_bench_writes_json_and_the_table_beside_it(tmp_path: Path, momentumseg: Callable[..., Any]) -> None:
    answer = momentumseg("bench", "fewshot", "--output", tmp_path / "speed.json", "--json")

    written = json.loads((tmp_path / "speed.json").read_text())
    assert [measure["name"] for measure in written["measures"]] == ["cold", "memory", "import"]
    assert answer.json["measures"] == written["measures"]
    assert "| cold | 1.000 s | <= 1.5 s | met |" in (tmp_path / "speed.md").read_text()


@pytest.mark.usefixtures("quick_measurements")
def test_bench_says_before_it_measures_that_it_cannot_write(tmp_path: Path, momentumseg: Callable[..., Any]) -> None:
    answer = momentumseg("bench", "volume", "--output", tmp_path / "nowhere" / "speed.json")

    assert answer.exit_code == 5
    assert "does not exist" in answer.sentence


def test_shape_is_read_as_users_write_it() -> None:
    assert parse_shape("512x400x1000") == (1000, 400, 512)


@pytest.mark.parametrize("text", ["512x512", "512,512,10", "axbxc", "", "-1x2x3"])
def test_other_shapes_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="IxJxK"):
        parse_shape(text)
