"""Boundary-aware contrast: a slice's predicted distance maps of student and teacher belong together, others do not.

Sources: You et al., "SimCVD", TMI 2022; Zheng et al., 2024, eq. 4.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from momentumseg.errors import InputError


class BoundaryContrast(nn.Module):
    """InfoNCE between projections of predicted signed distance maps.

    The maps are averaged to a coarse grid and projected by a two-layer network to the unit sphere. Positives are the
    same image seen by student and teacher, negatives the other images of the batch. The student alone gets a gradient.

    Args:
        structures: channels of the maps.
        dimensions: 2 or 3.
        grid: cells of the coarse grid along each axis.
        width: of the projection.
        temperature: tau > 0.

    Raises:
        InputError: another temperature or number of dimensions.
    """

    def __init__(
        self, structures: int, dimensions: int = 2, grid: int = 8, width: int = 64, temperature: float = 0.5
    ) -> None:
        super().__init__()
        if not temperature > 0:
            raise InputError(f"The temperature is {temperature}; choose a number above 0.")
        if dimensions not in (2, 3):
            raise InputError(f"There is no contrast for {dimensions}D images; choose 2 or 3.")
        self.temperature = temperature
        self.pool = nn.AdaptiveAvgPool3d(grid) if dimensions == 3 else nn.AdaptiveAvgPool2d(grid)
        cells = structures * grid**dimensions
        self.project = nn.Sequential(nn.Linear(cells, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Mean loss, a scalar, of predicted maps ``(B, structures, *S)`` before the tanh.

        Raises:
            InputError: a single image, which has no negatives.
        """
        with torch.no_grad():
            reference = self.embedded(teacher)
        return info_nce(self.embedded(student), reference, self.temperature)

    def embedded(self, maps: Tensor) -> Tensor:
        """``(B, width)`` of length one."""
        cells = self.pool(torch.tanh(maps.float())).flatten(1)
        return functional.normalize(cast(Tensor, self.project(cells)), dim=1)


def info_nce(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """``-log(exp(t_i s_i / tau) / sum_k exp(t_i s_k / tau))``, mean over i; embeddings ``(N, D)`` of length one.

    Raises:
        InputError: N = 1.
    """
    if len(student) < 2:
        raise InputError("Contrast compares the images of a batch, and there is only one; choose a batch of 2 or more.")
    similarity = teacher @ student.T / temperature
    return functional.cross_entropy(similarity, torch.arange(len(student), device=student.device))
