"""The exponential moving average of a network's weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class MovingAverage:
    """``average <- d average + (1 - d) weights`` with d = min(decay, (1 + i) / (10 + i)) in iteration i.

    A decay that grows with the iteration keeps the first steps from dominating short runs.

    Args:
        network: where the average begins.
        decay: largest d.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.tensors = {name: value.detach().clone() for name, value in network.state_dict().items()}
        self._decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, iteration: int) -> None:
        """Take in the weights after iteration ``iteration``; whole numbers (counters) are copied."""
        decay = min(self._decay, (1 + iteration) / (10 + iteration))
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.tensors[name].lerp_(value, 1 - decay)
            else:
                self.tensors[name].copy_(value)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from these tensors."""
        for name, value in tensors.items():
            self.tensors[name].copy_(value)

    def copy_to(self, network: nn.Module) -> None:
        """Put the average into a network."""
        network.load_state_dict(self.tensors)

    @contextmanager
    def in_place_of(self, network: nn.Module) -> Iterator[None]:
        """The network has the average's weights inside the block, and its own again after it."""
        own = {name: value.detach().clone() for name, value in network.state_dict().items()}
        self.copy_to(network)
        try:
            yield
        finally:
            network.load_state_dict(own)
