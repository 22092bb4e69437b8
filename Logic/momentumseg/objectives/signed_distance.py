"""Signed distance maps of label maps, and what is learned from them.

Source: Xue et al., "Shape-aware organ segmentation by predicting signed distance maps", AAAI 2020.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from momentumseg.errors import InputError


def signed_distance_maps(labels: Tensor, classes: int, spacing: Sequence[float] | None = None) -> Tensor:
    """Normalised signed distance to the border of each structure, ``(B, classes - 1, *S)`` float32 in [-1, 1].

    Inside ``-d / max d``, outside ``d / max d``, on voxels that touch the other side the smallest values. A structure
    that is nowhere is far away everywhere (1); one that is everywhere has no outside (-1).

    Args:
        labels: ``(B, *S)`` of 0 .. classes - 1.
        classes: background and structures.
        spacing: mm of a voxel along each axis; default all equal.

    Raises:
        InputError: no structure, or a spacing of another number of axes.
    """
    if classes < 2:
        raise InputError(f"Distances need a background and at least one structure, not {classes} classes.")
    if spacing is not None and len(spacing) != labels.ndim - 1:
        raise InputError(
            f"The spacing {list(spacing)} does not belong to {labels.ndim - 1}D images; give one per axis."
        )
    values = labels.detach().cpu().numpy()
    maps = np.stack([[_signed_distance(item == label, spacing) for label in range(1, classes)] for item in values])
    return torch.from_numpy(maps).to(labels.device)


def distance_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference between tanh of predicted maps ``(B, structures, *S)`` and signed distance maps."""
    return functional.l1_loss(torch.tanh(predicted.float()), target.float())


def _signed_distance(mask: np.ndarray, spacing: Sequence[float] | None) -> np.ndarray:
    if not mask.any():
        return np.ones(mask.shape, dtype=np.float32)
    if mask.all():
        return -np.ones(mask.shape, dtype=np.float32)
    inside = ndimage.distance_transform_edt(mask, sampling=spacing)
    outside = ndimage.distance_transform_edt(~mask, sampling=spacing)
    signed: np.ndarray = (outside / outside.max() - inside / inside.max()).astype(np.float32)
    return signed
