"""Checkpoints of a training run: everything that continues it bit-exactly, written whole or not at all."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from momentumseg.errors import InputError
from momentumseg.io.atomic import atomic_path

FORMAT = 2


@dataclass
class TrainingState:
    """State after ``iteration`` finished iterations.

    Attributes:
        iteration: finished iterations.
        parts: tensors of the strategy by name: the network, and what else it has, such as a teacher or multipliers.
        average: exponential moving average of the model's tensors, or None.
        optimizer: state of the optimiser.
        rates: learning rates of its groups in the last iteration; the schedule itself is a function of the iteration.
        random: torch's random state. Everything random of iteration i is seeded by (seed, i); it is kept for
            strategies that draw numbers elsewhere.
        recipe: as JSON, to refuse a resume with another recipe.
        statistics: of the training data, what inference needs.
        metrics: best score, the epoch it is of, and how many epochs brought nothing better.
        log: mean losses since the beginning, one record per logging interval, validations among them.
        pending: sums of the losses since the last record, and of how many iterations.
    """

    iteration: int
    parts: dict[str, Any]
    average: dict[str, Any] | None
    optimizer: dict[str, Any]
    rates: list[float]
    random: torch.Tensor
    recipe: str
    statistics: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    log: list[dict[str, float]] = field(default_factory=list)
    pending: dict[str, Any] = field(default_factory=dict)


@dataclass
class BestState:
    """The model with the best validation so far.

    Attributes:
        iteration: after which it was validated.
        score: of that validation.
        model: its tensors.
    """

    iteration: int
    score: float
    model: dict[str, Any]


def save_state(path: Path, state: TrainingState | BestState) -> None:
    """Write a state atomically.

    Raises:
        OutputError: the disk is full or the folder not writable.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **vars(state)}, buffer)
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def load_checkpoint(path: Path) -> TrainingState:
    """Read a checkpoint without running code from it.

    Raises:
        InputError: the file is missing, damaged or of another format.
    """
    return TrainingState(**_content(path, TrainingState))


def load_best(path: Path) -> BestState:
    """Read the best model of a run, likewise."""
    return BestState(**_content(path, BestState))


def canonical(recipe: Mapping[str, Any]) -> str:
    """Recipe as JSON with sorted keys, for comparison."""
    return json.dumps(recipe, sort_keys=True)


def _content(path: Path, kind: type) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise InputError(f"The checkpoint {path} cannot be read; delete it to start this run again.") from error
    expected = {"format", *(entry.name for entry in fields(kind))}
    if not isinstance(content, Mapping) or content.get("format") != FORMAT or set(content) != expected:
        raise InputError(f"The file {path} is no checkpoint of this version; delete it to start this run again.")
    return {key: value for key, value in content.items() if key != "format"}
