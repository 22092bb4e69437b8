"""The structure of the benchmark, with tiny sizes; no test asserts a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from momentumseg.evaluation import benchmark_processes
from momentumseg.evaluation.momentum_benchmark import MomentumBenchmarkOptions, bench_momentum, stored_bytes

_TINY = MomentumBenchmarkOptions(blocks=(2, 8), channels=4, batch=1, size=8, repeats=1)


def test_the_report_compares_memory_time_and_gradients_of_the_ways() -> None:
    asked: list[Mapping[str, Any]] = []
    seen: list[float] = []

    def peak(case: Mapping[str, Any]) -> int:
        asked.append(case)
        return (100 + 3 * case["count"]) << 20

    report = bench_momentum(_TINY, peak, lambda name, part: seen.append(part))

    rows = {measure.name: measure for measure in report.measures}
    growth = rows["reversible: of 8 blocks by that of 2"]
    assert growth.value == 1 and growth.target == "<= 1.1 x" and growth.is_met
    assert rows["autograd: of 8 blocks by that of 2"].value > 3
    assert rows["reversible: gradients differ from autograd, 8 blocks"].is_met
    assert rows["checkpoint: gradients differ from autograd, 8 blocks"].value == 0
    assert rows["reversible by autograd: time of a step, 8 blocks"].target == "<= 1.6 x"
    assert rows["autograd: a process needs more for 8 blocks than for 2, weights included"].value == 18
    assert {case["way"] for case in asked} == {"autograd", "reversible", "checkpoint"}
    assert report.settings["size"] == 8 and seen == sorted(seen)


def test_the_child_answers_with_its_peak() -> None:
    sizes = {"channels": 4, "batch": 1, "size": 8, "momentum": 0.9}
    answer = benchmark_processes.answer({"task": "momentum memory", "way": "reversible", "count": 2, "sizes": sizes})
    assert answer["peak"] is None or answer["peak"] > 0


def test_only_what_is_kept_for_the_backward_pass_counts_once() -> None:
    weight, x = torch.nn.Parameter(torch.ones(4, 4)), torch.ones(3, 4)
    assert stored_bytes(lambda: (x @ weight) + (x @ weight)) == x.numel() * 4
    assert stored_bytes(lambda: x + weight[:3]) == 0
