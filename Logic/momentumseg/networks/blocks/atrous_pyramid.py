"""Parallel dilated convolutions (atrous spatial pyramid pooling, Chen et al., TPAMI 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class SummedAtrousPyramid(nn.Module):
    """The variant of ResUNet++: dilated 3x3 convolutions with batch normalisation, summed; then 1x1."""

    def __init__(self, inputs: int, outputs: int, rates: Sequence[int] = (1, 6, 12, 18)) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=rate, dilation=rate), nn.BatchNorm2d(outputs))
            for rate in rates
        )
        self.project = nn.Conv2d(outputs, outputs, 1)

    def forward(self, features: Tensor) -> Tensor:
        """``(B, outputs, H, W)`` of features ``(B, inputs, H, W)``."""
        total = torch.stack([branch(features) for branch in self.branches]).sum(dim=0)
        projected: Tensor = self.project(total)
        return projected


class JoinedAtrousPyramid(nn.Module):
    """The variant of CMAformer: dilated 3x3 convolutions, ReLU, batch normalisation, concatenated; then 1x1."""

    def __init__(self, inputs: int, outputs: int, rates: Sequence[int] = (6, 12, 18)) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(inputs, outputs, 3, padding=rate, dilation=rate), nn.ReLU(), nn.BatchNorm2d(outputs)
            )
            for rate in rates
        )
        self.project = nn.Conv2d(outputs * len(rates), outputs, 1)

    def forward(self, features: Tensor) -> Tensor:
        """``(B, outputs, H, W)`` of features ``(B, inputs, H, W)``."""
        projected: Tensor = self.project(torch.cat([branch(features) for branch in self.branches], dim=1))
        return projected
