"""How good a network is, as the worker tells it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def dices_of(values: Mapping[str, Any]) -> tuple[dict[str, float], float | None]:
    """Dice by structure and their mean, of a message's ``metrics``; nothing and None where there was no validation."""
    metrics = values.get("metrics") or {}
    by_name = metrics.get("dice", metrics)
    numbers = {str(name): float(value) for name, value in by_name.items() if isinstance(value, (int, float))}
    mean = numbers.pop("mean", metrics.get("mean"))
    if mean is None and numbers:
        mean = sum(numbers.values()) / len(numbers)
    return numbers, None if mean is None else float(mean)
