"""Resampling of one axis as a small matrix; a separable image operation is ``rows @ image @ columns.T``."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def linear_matrix(positions: np.ndarray, length: int) -> Tensor:
    """Weights ``(P, length)`` that read P positions of an axis linearly; beyond its ends the end value counts.

    Args:
        positions: ``(P,)`` in samples, whole numbers are sample centres.
        length: samples of the axis.
    """
    inside = np.clip(positions, 0, length - 1)
    lower = np.minimum(np.floor(inside).astype(np.int64), max(length - 2, 0))
    share = (inside - lower).astype(np.float32)
    matrix = np.zeros((len(positions), length), dtype=np.float32)
    target = np.arange(len(positions))
    matrix[target, lower] = 1 - share
    matrix[target, np.minimum(lower + 1, length - 1)] += share
    return torch.from_numpy(matrix)


def area_matrix(outputs: int, inputs: int) -> Tensor:
    """Weights ``(outputs, inputs)`` that average what each output sample covers, parts of samples included."""
    edges = np.arange(outputs + 1) * (inputs / outputs)
    sample = np.arange(inputs)
    overlap = np.minimum(edges[1:, None], sample + 1) - np.maximum(edges[:-1, None], sample)
    return torch.from_numpy((np.clip(overlap, 0, None) * (outputs / inputs)).astype(np.float32))
