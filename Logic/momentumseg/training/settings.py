"""The ``[training]`` table of a recipe, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from momentumseg.errors import InputError


@dataclass(frozen=True)
class TrainingSettings:
    """How long and how a run trains.

    Attributes:
        iterations: episodes a device sees.
        seed: everything random of a run follows from it.
        checkpoint_every: iterations between two checkpoints.
        average_decay: of the moving average of the weights, which becomes the model; 0 keeps none.
        precision: see :func:`momentumseg.training.devices.open_engine`.

    Raises:
        InputError: a value out of its range.
    """

    iterations: int
    seed: int = 0
    checkpoint_every: int = 250
    average_decay: float = 0.0
    precision: str = "float32"

    def __post_init__(self) -> None:
        for name in ("iterations", "seed", "checkpoint_every"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < (0 if name == "seed" else 1):
                raise InputError(f"The recipe's training.{name} is {value!r}; use a positive whole number.")
        if not isinstance(self.average_decay, int | float) or not 0 <= self.average_decay < 1:
            raise InputError(f"The recipe's training.average_decay is {self.average_decay!r}; use 0 up to below 1.")

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
