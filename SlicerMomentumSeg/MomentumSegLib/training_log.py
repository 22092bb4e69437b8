"""The log of a training in its folder: the points of the curves from before a restart."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_DICE = "dice_"


@dataclass(frozen=True)
class LoggedPoint:
    """One line of ``log.jsonl``.

    Attributes:
        loss: None where it is not there.
        score: mean Dice of a validation; None where there was none.
        dices: by structure.
    """

    iteration: int
    loss: float | None = None
    score: float | None = None
    dices: Mapping[str, float] = field(default_factory=dict)


def read_log(run_folder: Path) -> list[LoggedPoint]:
    """Points of a training, in order; what cannot be read is left out."""
    try:
        lines = (run_folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    return [point for line in lines if (point := _point(line)) is not None]


def _point(line: str) -> LoggedPoint | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict):
        return None
    numbers = {str(key): float(value) for key, value in record.items() if _is_number(value)}
    if "iteration" not in numbers:
        return None
    dices = {key.removeprefix(_DICE): value for key, value in numbers.items() if key.startswith(_DICE)}
    return LoggedPoint(int(numbers["iteration"]), numbers.get("loss"), numbers.get("score"), dices)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
