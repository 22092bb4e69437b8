"""Plain supervised training: every sample has its labels."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from momentumseg.strategies.base import Strategy
from momentumseg.strategies.registry import Sampler, register_strategy


@register_strategy("supervised")
class Supervised(Strategy):
    """Minimise an objective over labelled patches.

    Args:
        network: ``(B, C, *S) -> (B, classes, *S)``.
        objective: of logits and labels, see :mod:`momentumseg.objectives.registry`.
        sampler: of labelled patches.
    """

    def __init__(self, network: nn.Module, objective: nn.Module, sampler: Sampler) -> None:
        super().__init__()
        self.network = network
        self.objective = objective
        self._sampler = sampler

    def sample(self, index: int) -> tuple[np.ndarray, ...]:
        """Image (C, *S) and labels (*S)."""
        return self._sampler.labelled(index)

    def forward(self, *batch: Tensor) -> dict[str, Tensor]:
        """Losses of images ``(B, C, *S)`` and labels ``(B, *S)``."""
        images, labels = batch
        losses: dict[str, Tensor] = self.objective(self.network(images), labels)
        return losses
