"""Episodes of few-shot networks: a support and a query, cut from unlabelled volumes."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from momentumseg.networks.few_shot import FewShotNetwork
from momentumseg.objectives.few_shot import FewShotObjective
from momentumseg.strategies.base import Strategy


class Episodes(Protocol):
    """Where episodes come from, see :class:`momentumseg.training.episodes.EpisodeDataset`."""

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        """Support image (3, S, S), its mask (S, S), query image, its mask; they depend on the index alone."""
        ...


class Episodic(Strategy):
    """Minimise the few-shot objective over episodes.

    Args:
        objective: holds the network.
        episodes: by index.
    """

    def __init__(self, objective: FewShotObjective, episodes: Episodes) -> None:
        super().__init__()
        self.objective = objective
        self._episodes = episodes

    @property
    def network(self) -> FewShotNetwork:  # type: ignore[override]  # a second name would double it in the checkpoint
        return self.objective.network

    def sample(self, index: int) -> tuple[np.ndarray, ...]:
        """Episode ``index``."""
        return tuple(self._episodes[index])

    def forward(self, *batch: Tensor) -> dict[str, Tensor]:
        """Mean losses of the episodes of a batch."""
        # the first centres of the support's regions do not depend on how many numbers the network's dropout has drawn
        generator = torch.Generator().manual_seed(torch.initial_seed())
        episodes = zip(*(field.float() for field in batch), strict=True)
        losses = [self.objective(*episode, generator=generator) for episode in episodes]
        return {name: torch.stack([of_one[name] for of_one in losses]).mean() for name in losses[0]}
