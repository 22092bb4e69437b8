"""Channel attention (Hu et al., "Squeeze-and-excitation networks", CVPR 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SqueezeExcitation(nn.Module):
    """x times the sigmoid of a two-layer network on x's channel means.

    Args:
        channels: C.
        reduction: the hidden layer has C / reduction units, at least one.
    """

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.fc1 = nn.Linear(channels, hidden, bias=False)
        self.fc2 = nn.Linear(hidden, channels, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        return features * self.weights(features)

    def weights(self, features: Tensor) -> Tensor:
        """``(B, C, 1, 1)`` of features ``(B, C, H, W)``."""
        means = features.mean(dim=(2, 3))
        return torch.sigmoid(self.fc2(torch.relu(self.fc1(means))))[:, :, None, None]
