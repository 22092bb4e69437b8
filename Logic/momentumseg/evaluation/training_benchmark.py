"""How fast the heads of the recipes train, on generated volumes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from momentumseg.evaluation.benchmark_report import BenchmarkReport, Measure
from momentumseg.recipes.reading import read_recipe, recipe_names
from momentumseg.training.few_shot_run import (
    RunOptions,
    build_episodes,
    few_shot_trainer,
    prepare_volumes,
    with_training_cases,
)
from momentumseg.training.progress import TrainingProgress
from momentumseg.training.trainer import Trainer

LAPTOP_SUFFIX = "-laptop"
_WARM_UP = 3


def laptop_recipes() -> list[str]:
    """Recipes of the package that are meant for a laptop and name a head."""
    names = [name for name in recipe_names() if name.endswith(LAPTOP_SUFFIX)]
    return [name for name in names if "head" in read_recipe(name).get("network", {})]


def bench_training(
    recipes: Sequence[str] | None = None,
    steps: int = 20,
    overrides: Sequence[str] = (),
    progress: Callable[[str, float], None] | None = None,
) -> BenchmarkReport:
    """Training iterations a second of each recipe, with random weights, from its first iterations.

    Args:
        recipes: names or files; default: those for laptops.
        steps: measured iterations of each.
        overrides: ``"table.key=value"``, for every recipe.
        progress: receives (recipe, fraction done).

    Raises:
        InputError: no such recipe.
    """
    names = list(recipes or laptop_recipes())
    measures = []
    for index, name in enumerate(names):
        if progress is not None:
            progress(name, index / len(names))
        measures.append(Measure(f"{name}: iterations a second", steps / _seconds_of(name, steps, overrides), "1/s"))
    settings = {"device": "cpu", "threads": torch.get_num_threads(), "iterations": steps}
    return BenchmarkReport("Training, one episode an iteration", settings, measures)


def _seconds_of(name: str, steps: int, overrides: Sequence[str]) -> float:
    from momentumseg.networks.registry import build_few_shot_network

    recipe = read_recipe(name, ["data.phantoms=2", "training.epoch=1000000", *overrides])
    recipe["training"]["iterations"] = _WARM_UP + steps
    recipe = with_training_cases(recipe, {})
    with tempfile.TemporaryDirectory(prefix="momentumseg-bench-") as folder:
        options = RunOptions(folder=Path(folder), images={})
        dataset = build_episodes(recipe, prepare_volumes(recipe, options))
        torch.manual_seed(0)
        network: Any = build_few_shot_network(recipe["network"])
        trainer = few_shot_trainer(network, dataset, recipe, Path(folder), {"name": "benchmark", "licence": ""})
        return _timed_run(trainer, steps)


def _timed_run(trainer: Trainer, steps: int) -> float:
    """Seconds of the last ``steps`` iterations; the first ones set up memory. Writing the model does not count."""
    started: list[float] = []
    ended: list[float] = []

    def cancelled() -> bool:  # asked before every iteration
        if trainer.iteration == _WARM_UP:
            started.append(time.perf_counter())
        return False

    def on_progress(progress: TrainingProgress) -> None:
        if progress.iteration == progress.iterations:
            ended.append(time.perf_counter())

    trainer.run(on_progress, cancelled)
    return ended[-1] - started[0]
