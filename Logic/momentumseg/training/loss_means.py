"""Means of the losses of several iterations, without waiting for the device in each."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

_COUNT = "iterations"


class LossMeans:
    """Sums losses where they are; numbers leave the device only when they are asked for."""

    def __init__(self, kept: Mapping[str, Tensor | int] | None = None) -> None:
        """Begin anew, or with what :meth:`kept` gave."""
        sums = dict(kept or {})
        self._count = int(sums.pop(_COUNT, 0))
        self._sums: dict[str, Tensor] = sums  # type: ignore[assignment]  # all but the count are tensors

    def kept(self) -> dict[str, Tensor | int]:
        """The sums, for a checkpoint."""
        return {**self._sums, _COUNT: self._count}

    def add(self, losses: Mapping[str, Tensor]) -> None:
        """Take in the losses of one iteration."""
        self._count += 1
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0) + value.float()

    def means(self) -> dict[str, float]:
        """Means by name."""
        return {name: float(value) / self._count for name, value in self._sums.items()}

    def are_finite(self) -> bool:
        """Whether no loss was NaN or infinite; true before the first."""
        return all(math.isfinite(float(value)) for value in self._sums.values())
