"""The memory of a training run before it begins, for each way to differentiate its network."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from momentumseg.errors import InputError
from momentumseg.networks.backbones.pvt_v2 import PvtV2B3
from momentumseg.networks.blocks.momentum_gradients import CHECKPOINT, LOOP, REVERSIBLE
from momentumseg.networks.blocks.momentum_sequence import (
    AUTOMATIC,
    SAFE_DIGITS,
    MomentumSequence,
    MomentumSettings,
    lost_digits,
)
from momentumseg.networks.registry import build_segmentation_network, segmentation_names
from momentumseg.networks.segmentation import SegmentationNetwork
from momentumseg.objectives.registry import build_objective
from momentumseg.strategies.registry import build_strategy
from momentumseg.training.data_settings import DataSettings
from momentumseg.training.settings import TrainingSettings
from momentumseg.training.step_memory import Field, StepMemory, step_memory

_BATCHES_AHEAD = 5  # that the trainer has made or is making
_IMAGE_BYTES, _LABEL_BYTES = 4, 8
_HALF = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a training process needs besides the program itself.

    Attributes:
        model: parameters and buffers of the network.
        companions: what the strategy keeps besides (a teacher), and the moving average.
        gradients, optimizer: of all that is trained.
        activations: what the forward pass keeps for the backward pass, the batch among it.
        working: what is alive besides at the worst moment.
        samples: batches that are made ahead of time.
        saving: the copy that is made while a checkpoint is written; it does not add to activations and working.
        total: most at one time.
        by_mode: total for each way to differentiate that the network has.
        differentiation: the recipe's way.
        batch, patch: of the recipe.
        divisor: sides of a patch are multiples of it.
        least_batch: 2 where the network compares the images of a batch.
    """

    model: int
    companions: int
    gradients: int
    optimizer: int
    activations: int
    working: int
    samples: int
    saving: int
    total: int
    batch: int
    patch: tuple[int, ...]
    by_mode: Mapping[str, int] = field(default_factory=dict)
    differentiation: str = LOOP
    divisor: int = 1
    least_batch: int = 1

    @property
    def fixed(self) -> int:
        """What neither batch nor patch change."""
        return self.model + self.companions + self.gradients + self.optimizer


@dataclass(frozen=True)
class StepPlan:
    """What a training step is made of, as tables of a recipe.

    Attributes:
        network: complete, with ``in_channels`` and ``classes``.
        batch: images of a step on one device.
        patch: sides of an image.
        channels, classes: of the data.
        optimizer, strategy, objective: tables of the recipe.
        precision: of the recipe.
        averages: whether a moving average is kept.
    """

    network: Mapping[str, Any]
    batch: int
    patch: tuple[int, ...]
    channels: int
    classes: int
    optimizer: Mapping[str, Any] = field(default_factory=dict)
    strategy: Mapping[str, Any] = field(default_factory=dict)
    objective: Mapping[str, Any] = field(default_factory=dict)
    precision: str = "float32"
    averages: bool = False

    @classmethod
    def of(cls, recipe: Mapping[str, Any], channels: int, classes: int) -> StepPlan:
        """Plan of a recipe for data with these channels and classes (the background counts).

        Raises:
            InputError: tables that describe no run.
        """
        settings = TrainingSettings.of(recipe)
        # a pretrained encoder has seen pictures with three channels; such networks repeat a single one
        inputs = 3 if recipe.get("weights", {}).get("encoder") and channels == 1 else channels
        network = {"in_channels": inputs, "classes": classes, **recipe.get("network", {})}
        return cls(
            network,
            settings.batch or 1,
            DataSettings.of(recipe).patch,
            channels,
            classes,
            recipe.get("optimizer", {}),
            recipe.get("strategy", {}),
            recipe.get("objective", {}),
            settings.precision,
            settings.average_decay > 0,
        )


def estimate_for_recipe(
    recipe: Mapping[str, Any], channels: int, classes: int, devices: int = 1
) -> MemoryEstimate | None:
    """Memory of a recipe's run on one of its devices; None for recipes that train no segmentation network.

    Args:
        recipe: complete.
        channels, classes: of the data, the background counts.
        devices: that share a batch.

    Raises:
        InputError: tables that describe no run.
    """
    if recipe.get("network", {}).get("name") not in segmentation_names():
        return None
    plan = StepPlan.of(recipe, channels, classes)
    return estimate_memory(plan if devices == 1 else _shared(plan, devices))


def estimate_memory(plan: StepPlan, modes: Sequence[str] | None = None) -> MemoryEstimate:
    """Memory of a training step, with what is there besides it.

    Nothing is computed and the network gets no memory; it takes some seconds.

    Args:
        plan: of the step.
        modes: ways to differentiate to be looked at besides the plan's own; None: all that the network has.

    Raises:
        InputError: a network, strategy, optimiser or size that does not exist.
    """
    with torch.device("meta"):
        network = build_segmentation_network(plan.network)
    _check_patch(plan.patch, network)
    lengths = list(_sequences(network))
    own, modes_of_network = _own_mode(plan.network, lengths), _modes(plan.network, lengths)
    wanted = [mode for mode in modes_of_network if modes is None or mode in modes]
    found = {mode: _of_step(_traced(plan, mode if lengths else None), plan) for mode in dict.fromkeys([own, *wanted])}
    return replace(
        found[own],
        by_mode={mode: found[mode].total for mode in modes_of_network if mode in found},
        differentiation=own,
        divisor=network.divisor,
        least_batch=2 if any(isinstance(part, _BatchNorm) for part in network.modules()) else 1,
    )


def _of_step(step: StepMemory, plan: StepPlan) -> MemoryEstimate:
    """The step's memory with the moving average, the samples ahead, and the writing of checkpoints."""
    average = step.model if plan.averages else 0
    sample = _IMAGE_BYTES * plan.channels + _LABEL_BYTES
    samples = _BATCHES_AHEAD * plan.batch * sample * math.prod(plan.patch)
    state = step.model + step.companions + step.optimizer + average
    beside = average + samples
    return MemoryEstimate(
        model=step.model,
        companions=step.companions + average,
        gradients=step.gradients,
        optimizer=step.optimizer,
        activations=step.activations,
        working=step.peak + average - state - step.gradients - step.activations,
        samples=samples,
        saving=state,
        total=max(step.peak + beside, state + step.gradients + samples + state),
        batch=plan.batch,
        patch=tuple(plan.patch),
    )


def _traced(plan: StepPlan, mode: str | None) -> StepMemory:
    """The step with another way to differentiate; None: the network has no choice."""
    table = dict(plan.network) if mode is None else {**plan.network, "differentiation": mode}

    with torch.device("meta"):  # without memory; what strategies add is small
        network = build_segmentation_network(table)
    strategy = build_strategy(plan.strategy, network, build_objective(plan.objective, plan.classes), _Shapes(plan))
    kinds = {"float32": torch.float32, "int64": torch.int64}
    fields: list[Field] = [((plan.batch, *array.shape), kinds[str(array.dtype)]) for array in strategy.sample(0)]
    return step_memory(strategy, fields, plan.optimizer, _HALF.get(plan.precision))


class _Shapes:
    """Patches without content."""

    def __init__(self, plan: StepPlan) -> None:
        self._image = (plan.channels, *plan.patch)

    def labelled(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self.unlabelled(index), np.broadcast_to(np.int64(0), self._image[1:])

    def unlabelled(self, index: int) -> np.ndarray:
        return np.broadcast_to(np.float32(0), self._image)  # one number, whatever the shape


def _sequences(network: nn.Module) -> Iterator[int]:
    """Lengths of the momentum sequences that are not empty."""
    for part in network.modules():
        if isinstance(part, MomentumSequence) and len(part) > part.lead:
            yield len(part) - part.lead
        elif isinstance(part, PvtV2B3):
            yield from (2 * len(getattr(part, f"block{index + 1}")) for index in range(len(part.channels)))


def _own_mode(table: Mapping[str, Any], lengths: Sequence[int]) -> str:
    """The way of the network's table; "automatic" only where its sequences go different ways."""
    if not lengths:
        return LOOP
    settings = MomentumSettings(float(table.get("momentum", 0.0)), str(table.get("differentiation", AUTOMATIC)))
    ways = {settings.way(length) for length in lengths}
    return ways.pop() if len(ways) == 1 else AUTOMATIC


def _modes(table: Mapping[str, Any], lengths: Sequence[int]) -> tuple[str, ...]:
    """The ways that give accurate gradients for all sequences."""
    if not lengths:
        return (LOOP,)
    is_safe = lost_digits(max(lengths), float(table.get("momentum", 0.0))) <= SAFE_DIGITS
    return (LOOP, CHECKPOINT, REVERSIBLE) if is_safe else (LOOP, CHECKPOINT)


def _shared(plan: StepPlan, devices: int) -> StepPlan:
    return replace(plan, batch=max(1, plan.batch // devices))


def _check_patch(patch: Sequence[int], network: SegmentationNetwork) -> None:
    """Raises `InputError` for a patch that the network cannot take."""
    if len(patch) != network.dimensions or any(side % network.divisor for side in patch):
        raise InputError(
            f"The patch {list(patch)} does not fit the network; it has {network.dimensions} sides, multiples of "
            f"{network.divisor}: change data.patch."
        )
