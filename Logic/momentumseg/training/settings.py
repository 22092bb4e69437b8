"""The ``[training]`` table of a recipe, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from momentumseg.errors import InputError

_MAY_BE_ZERO = ("seed", "batch", "patience")


@dataclass(frozen=True)
class TrainingSettings:
    """How long and how a run trains.

    Attributes:
        iterations: steps of the optimiser.
        epoch: iterations between two checkpoints, and validations where there are cases for them.
        batch: samples of an iteration, of all devices together; 0: one on each device.
        seed: everything random of a run follows from it.
        average_decay: of the moving average of the weights, which becomes the model; 0 keeps none.
        clip: largest norm of the gradients; 0 does not limit it.
        patience: epochs without a better validation after which a run ends; 0 never ends it early.
        precision: see :func:`momentumseg.training.devices.open_engine`.
        threads: that make samples ahead of time beside a GPU; a CPU makes them between its steps.

    Raises:
        InputError: a value out of its range.
    """

    iterations: int
    epoch: int = 250
    batch: int = 0
    seed: int = 0
    average_decay: float = 0.0
    clip: float = 0.0
    patience: int = 0
    precision: str = "float32"
    threads: int = 2

    def __post_init__(self) -> None:
        for name in ("iterations", "epoch", "batch", "seed", "patience", "threads"):
            value, least = getattr(self, name), 0 if name in _MAY_BE_ZERO else 1
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                kind = "a whole number of 0 or more" if least == 0 else "a positive whole number"
                raise InputError(f"The recipe's training.{name} is {value!r}; use {kind}.")
        if not isinstance(self.average_decay, int | float) or not 0 <= self.average_decay < 1:
            raise InputError(f"The recipe's training.average_decay is {self.average_decay!r}; use 0 up to below 1.")
        if not isinstance(self.clip, int | float) or self.clip < 0:
            raise InputError(f"The recipe's training.clip is {self.clip!r}; use 0 or a positive number.")

    @classmethod
    def of(cls, recipe: Mapping[str, Any]) -> TrainingSettings:
        """Settings of a recipe.

        Raises:
            InputError: no table, no number of iterations, an unknown option or a value out of its range.
        """
        table = recipe.get("training", {})
        if not isinstance(table, Mapping) or "iterations" not in table:
            raise InputError("The recipe does not say how long to train; set training.iterations.")
        try:
            return cls(**table)
        except TypeError as error:
            raise InputError(f"The recipe's [training] table has an unknown option: {error}.") from error
