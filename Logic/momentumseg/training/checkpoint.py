"""Checkpoints of a training run: everything that continues it bit-exactly, written whole or not at all."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from momentumseg.errors import InputError
from momentumseg.io.atomic import atomic_path

FORMAT = 1


@dataclass
class TrainingState:
    """State after ``iteration`` finished iterations.

    Random states are not part of it: everything random in iteration i is seeded by (seed, i).

    Attributes:
        iteration: finished iterations.
        network: state of the network's tensors.
        average: their exponential moving average, or None.
        optimizer: state of the optimiser.
        recipe: as JSON, to refuse a resume with another recipe.
        log: mean losses since the beginning, one record per logging interval.
    """

    iteration: int
    network: dict[str, Any]
    average: dict[str, Any] | None
    optimizer: dict[str, Any]
    recipe: str
    log: list[dict[str, float]]


def save_checkpoint(path: Path, state: TrainingState) -> None:
    """Write ``state`` atomically.

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
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise InputError(f"The checkpoint {path} cannot be read; delete it to start this run again.") from error
    expected = {"format", *(field.name for field in fields(TrainingState))}
    if not isinstance(content, Mapping) or content.get("format") != FORMAT or set(content) != expected:
        raise InputError(f"The file {path} is no checkpoint of this version; delete it to start this run again.")
    return TrainingState(**{key: value for key, value in content.items() if key != "format"})


def canonical(recipe: Mapping[str, Any]) -> str:
    """Recipe as JSON with sorted keys, for comparison."""
    return json.dumps(recipe, sort_keys=True)
