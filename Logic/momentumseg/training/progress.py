"""What a training run tells while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import nn


@dataclass(frozen=True)
class ValidationReport:
    """How good the network is on cases that it does not train on.

    Attributes:
        score: mean Dice of all structures and cases; the model with the highest is kept.
        dice: of each structure by name, mean over the cases.
        case: that the picture is of.
        image, reference, predicted: one slice of it, (H, W) uint8; labels count 0, 1, ...
    """

    score: float
    dice: Mapping[str, float]
    case: str
    image: np.ndarray
    reference: np.ndarray
    predicted: np.ndarray


class Validator(Protocol):
    """Tries a network on the validation cases."""

    def __call__(self, network: nn.Module) -> ValidationReport: ...


@dataclass(frozen=True)
class TrainingProgress:
    """What a progress bar shows.

    Attributes:
        iteration, iterations: finished and all.
        seconds: since this process began with the run.
        losses: means since the last report.
        remaining_seconds: until the end at the speed so far; None before it is known.
        validation: of this very moment, where there was one.
        best_score: of all validations so far.
    """

    iteration: int
    iterations: int
    seconds: float
    losses: Mapping[str, float]
    remaining_seconds: float | None = None
    validation: ValidationReport | None = None
    best_score: float | None = None
