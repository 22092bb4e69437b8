"""The memory estimate before a run beside what a training process then needs."""

from __future__ import annotations

import contextlib
import gc
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from momentumseg.allocation import release_kept_blocks
from momentumseg.evaluation.benchmark_report import BenchmarkReport, Measure
from momentumseg.evaluation.process_memory import peak_memory_bytes
from momentumseg.networks.blocks.momentum_gradients import WAYS
from momentumseg.networks.registry import build_segmentation_network
from momentumseg.objectives.registry import build_objective
from momentumseg.strategies.registry import build_strategy
from momentumseg.training.memory_estimate import StepPlan, estimate_for_recipe
from momentumseg.training.trainer import Trainer

Progress = Callable[[str, float], None]

_MIB = 1 << 20
_PERCENT = 100.0
_TARGET = 20.0
_CHANNELS, _CLASSES = 1, 3
_STEPS = 2  # the second is the first with gradients and optimiser state of the one before


@dataclass(frozen=True)
class MemoryCase:
    """A network in training.

    Attributes:
        name: in the report.
        network: the recipe's table.
        patch, batch: of the recipe.
        strategy: the recipe's table.
    """

    name: str
    network: Mapping[str, Any]
    patch: tuple[int, ...]
    batch: int
    strategy: Mapping[str, Any] = field(default_factory=dict)

    def recipe(self) -> dict[str, Any]:
        """The tables that training needs."""
        return {
            "network": dict(self.network),
            "data": {"patch": list(self.patch), "plane": "volume" if len(self.patch) == 3 else "acquisition"},
            "strategy": dict(self.strategy),
            "optimizer": {"name": "adamw"},
            "training": {"iterations": _STEPS, "epoch": _STEPS, "batch": self.batch},
        }


def _resunet(name: str, **options: Any) -> MemoryCase:
    table = {"name": "resunet", "dimensions": 3, "widths": [16, 32, 64], "units": 3, "norm": "instance", **options}
    return MemoryCase(name, table, (32, 48, 48), 1)


def _slices(name: str, network: str, side: int, **options: Any) -> MemoryCase:
    return MemoryCase(name, {"name": network, **options}, (side, side), 2)


CASES = (
    *(_resunet(f"resunet 3D, {way}", differentiation=way) for way in WAYS if way != "reversible"),
    *(_resunet(f"momentum resunet 3D, {way}", differentiation=way, momentum=0.9) for way in WAYS),
    _slices("resunet++ 2D", "resunet++", 192),
    _slices("unet_resnet50 2D", "unet_resnet50", 128),
    _slices("cmaformer 2D", "cmaformer", 128),
    _slices("transnetr 2D", "transnetr", 128),
    MemoryCase(
        "resunet 2D with a mean teacher",
        {"name": "resunet", "widths": [16, 32, 64]},
        (160, 160),
        2,
        {"name": "mean_teacher"},
    ),
)


def bench_memory(
    cases: Sequence[MemoryCase] = CASES,
    peak: Callable[[Mapping[str, Any]], int | None] | None = None,
    progress: Progress | None = None,
) -> BenchmarkReport:
    """Estimates, and what processes of their own have measured.

    Args:
        peak: additional memory of a fresh process that runs :func:`training_peak_bytes` with this recipe; without it
            only the estimates are reported.
        progress: receives (case, fraction of all done).
    """
    report = progress or (lambda name, part: None)
    rows: list[Measure] = []
    worst = 0.0
    for index, case in enumerate(cases):
        report(case.name, index / len(cases))
        estimate = estimate_for_recipe(case.recipe(), _CHANNELS, _CLASSES)
        total = 0 if estimate is None else estimate.total
        rows.append(Measure(f"{case.name}: estimate", total / _MIB, "MiB"))
        measured = None if peak is None else peak(case.recipe())
        rows.append(Measure(f"{case.name}: measured", None if measured is None else measured / _MIB, "MiB"))
        off = None if not measured else _PERCENT * (total / measured - 1)
        worst = max(worst, abs(off or 0.0))
        rows.append(Measure(f"{case.name}: estimate / measured", None if not measured else total / measured, "x"))
    rows.append(Measure("largest difference of an estimate", worst if peak else None, "%", at_most=_TARGET))
    settings = {"device": "cpu", "threads": torch.get_num_threads(), "optimizer": "adamw", "steps": _STEPS}
    return BenchmarkReport("Memory of training: estimate and measurement", settings, rows)


def training_peak_bytes(recipe: Mapping[str, Any]) -> int | None:
    """Most memory that training needed beyond what the process had before. To be run in a fresh process.

    A tiny run first loads what torch loads at its first use. Then the trainer takes its steps and writes a checkpoint,
    with freed blocks handed back to the system, as it does where memory is short.
    """
    tiny = {**recipe, "data": {**recipe["data"], "patch": [64] * 2 if len(recipe["data"]["patch"]) == 2 else [16] * 3}}
    _train({**tiny, "training": {**recipe["training"], "batch": 2}})
    gc.collect()
    release_kept_blocks()
    with contextlib.suppress(OSError):  # the largest size so far begins anew, on Linux
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _resident_bytes()
    _train(recipe)
    most = peak_memory_bytes()
    return None if most is None or before is None else most - before


def _train(recipe: Mapping[str, Any]) -> None:
    plan = StepPlan.of(recipe, _CHANNELS, _CLASSES)
    torch.manual_seed(0)
    network = build_segmentation_network(plan.network)
    strategy = build_strategy(plan.strategy, network, build_objective(plan.objective, _CLASSES), _Noise(plan.patch))
    with tempfile.TemporaryDirectory(prefix="momentumseg-bench-") as folder:
        Trainer(strategy, recipe, Path(folder), lambda network, path, metrics: None).run()


class _Noise:
    """Patches of noise with labels at random."""

    def __init__(self, patch: tuple[int, ...]) -> None:
        self._patch = patch

    def labelled(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng([index, 0])
        return self.unlabelled(index), random.integers(0, _CLASSES, self._patch)

    def unlabelled(self, index: int) -> np.ndarray:
        random = np.random.default_rng([index, 1])
        return random.standard_normal((_CHANNELS, *self._patch), dtype=np.float32)


def _resident_bytes() -> int | None:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return peak_memory_bytes()
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS:")), None)
