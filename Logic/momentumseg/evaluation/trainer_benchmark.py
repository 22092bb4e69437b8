"""What the trainer costs beside the computation: its steps a second next to those of a minimal loop written by hand."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.losses import DiceCELoss
from torch import nn

from momentumseg.evaluation.benchmark_report import BenchmarkReport, Measure
from momentumseg.networks.registry import build_segmentation_network
from momentumseg.objectives.registry import build_objective
from momentumseg.strategies.registry import build_strategy
from momentumseg.training.data_settings import DataSettings
from momentumseg.training.patches import PatchSampler
from momentumseg.training.prepared_case import PreparedCase
from momentumseg.training.progress import TrainingProgress
from momentumseg.training.settings import TrainingSettings
from momentumseg.training.trainer import Trainer
from momentumseg.transforms.patch_augmentation import PatchAugmentation

Progress = Callable[[str, float], None]

_TARGET = 0.9
_WARM_UP = 5  # the trainer decides in the first ones whether it keeps freed memory
_CASES = 4
_CLASSES = 3


def bench_trainer(
    recipe: Mapping[str, Any], steps: int = 10, repeats: int = 3, progress: Progress | None = None
) -> BenchmarkReport:
    """The trainer and a minimal loop in turns, on the same network, the same patches and the same loss.

    The loop's patches lie ready in memory: it does nothing but forward, backward and the optimiser's step.

    Args:
        recipe: of an automatic model.
        steps: measured iterations of each.
        repeats: turns; the median of their times counts.
        progress: receives (what is measured, fraction done).

    Raises:
        InputError: the recipe cannot be used.
    """
    sampler, training = _sampler(recipe), TrainingSettings.of(recipe)
    by_hand, by_trainer, waiting = [], [], []
    for turn in range(repeats):
        if progress is not None:
            progress("trainer and loop", turn / repeats)
        by_hand.append(_seconds_of_loop(recipe, sampler, training, steps))
        seconds, waited = _seconds_of_trainer(recipe, sampler, steps)
        by_trainer.append(seconds)
        waiting.append(waited / seconds)
    hand, own = statistics.median(by_hand), statistics.median(by_trainer)
    measures = [
        Measure("minimal loop: iterations a second", steps / hand, "1/s"),
        Measure("trainer: iterations a second", steps / own, "1/s"),
        Measure("trainer / minimal loop", hand / own, "x", at_least=_TARGET),
        Measure("part of a step that goes to making patches", statistics.median(waiting), "x"),
    ]
    settings = {
        "recipe": str(recipe.get("title", "")),
        "batch": training.batch,
        "patch": "x".join(map(str, DataSettings.of(recipe).patch)),
        "threads": torch.get_num_threads(),
        "iterations": steps,
        "repeats": repeats,
    }
    return BenchmarkReport("The trainer beside a loop written by hand", settings, measures)


def _sampler(recipe: Mapping[str, Any]) -> PatchSampler:
    """Patches of generated volumes, a little larger than the patch, with the recipe's augmentation."""
    data = DataSettings.of(recipe)
    sides = (40, *data.patch) if data.dimensions == 2 else data.patch
    shape = tuple(round(1.25 * side) for side in sides)
    cases = [_generated_case(index, shape) for index in range(_CASES)]
    augmentation = PatchAugmentation.from_mapping(recipe.get("augmentation", {}), data.dimensions)
    return PatchSampler(cases, data, augmentation, seed=0)


def _generated_case(index: int, shape: tuple[int, ...]) -> PreparedCase:
    """Two bright ellipsoids in noise."""
    random = np.random.default_rng([11, index])
    grid = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij", sparse=True)
    labels = np.zeros(shape, dtype=np.uint8)
    for structure in range(1, _CLASSES):
        centre, radii = random.uniform(-0.4, 0.4, 3), random.uniform(0.3, 0.5, 3)
        inside = sum(((axis - c) / r) ** 2 for axis, c, r in zip(grid, centre, radii, strict=True)) <= 1
        labels[inside] = structure
    image = labels + random.normal(0, 0.5, shape)
    return PreparedCase.of_arrays(f"case_{index}", image[None].astype(np.float16), labels, classes=_CLASSES)


def _network(recipe: Mapping[str, Any]) -> nn.Module:
    torch.manual_seed(0)
    return build_segmentation_network({"in_channels": 1, **recipe["network"], "classes": _CLASSES})


def _seconds_of_loop(recipe: Mapping[str, Any], sampler: PatchSampler, training: TrainingSettings, steps: int) -> float:
    """What anybody would write: forward, loss, backward, step."""
    network, batch = _network(recipe).train(), training.batch
    loss = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    ready = []
    for step in range(_WARM_UP + steps):
        images, labels = zip(*(sampler.labelled(step * batch + index) for index in range(batch)), strict=True)
        ready.append((torch.as_tensor(np.stack(images)), torch.as_tensor(np.stack(labels))))
    for step, (image, label) in enumerate(ready):
        if step == _WARM_UP:
            began = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        value = loss(network(image), label[:, None])
        value.backward()
        if training.clip:
            torch.nn.utils.clip_grad_norm_(network.parameters(), training.clip)
        optimizer.step()
    return time.perf_counter() - began


def _seconds_of_trainer(recipe: Mapping[str, Any], sampler: PatchSampler, steps: int) -> tuple[float, float]:
    """Seconds of the measured iterations, and how many of them were spent waiting for patches."""
    iterations = _WARM_UP + steps
    training = {**recipe["training"], "iterations": iterations, "epoch": 10 * iterations}
    recipe = {**recipe, "training": training}
    objective = build_objective(recipe.get("objective", {}), _CLASSES)
    strategy = build_strategy(recipe.get("strategy", {}), _network(recipe), objective, sampler)
    marks: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory(prefix="momentumseg-bench-") as folder:
        trainer = Trainer(strategy, recipe, Path(folder), lambda network, path, metrics: None)

        def cancelled() -> bool:  # asked before every iteration
            if trainer.iteration == _WARM_UP:
                marks.append((time.perf_counter(), trainer.waited))
            return False

        def on_progress(now: TrainingProgress) -> None:
            if now.iteration == now.iterations:
                marks.append((time.perf_counter(), trainer.waited))

        trainer.run(on_progress, cancelled)
    (began, waited_before), (ended, waited) = marks[0], marks[1]
    return ended - began, waited - waited_before
