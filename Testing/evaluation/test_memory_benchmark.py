"""The structure of the memory benchmark; one real process measures a small network."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import pytest

from momentumseg.evaluation.benchmark_processes import training_peak
from momentumseg.evaluation.memory_benchmark import CASES, MemoryCase, bench_memory

_SMALL = MemoryCase("small", {"name": "resunet", "widths": [8, 16], "norm": "instance"}, (32, 32), 2)


def test_estimates_stand_beside_what_was_measured() -> None:
    asked: list[Mapping[str, Any]] = []

    def peak(recipe: Mapping[str, Any]) -> int:
        asked.append(recipe)
        return 1 << 20

    rows = {measure.name: measure for measure in bench_memory([_SMALL], peak).measures}

    estimate = rows["small: estimate"].value
    assert rows["small: measured"].value == 1 and rows["small: estimate / measured"].value == estimate
    worst = rows["largest difference of an estimate"]
    assert worst.value == pytest.approx(100 * abs(estimate - 1)) and worst.target == "<= 20 %"
    assert asked == [_SMALL.recipe()]


def test_the_cases_are_the_networks_and_ways_of_the_issue() -> None:
    names = " ".join(case.name for case in CASES)
    assert all(
        word in names for word in ("reversible", "checkpoint", "autograd", "resunet++", "cmaformer", "transnetr")
    )


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak can only be reset on Linux")
def test_a_process_needs_what_was_estimated() -> None:
    (case,) = (case for case in CASES if case.name == "transnetr 2D")
    measured = training_peak(case.recipe())
    assert measured is not None
    estimate = bench_memory([case]).measures[0].value
    assert estimate is not None and estimate * (1 << 20) == pytest.approx(measured, rel=0.2)
