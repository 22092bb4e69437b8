"""Signed distance to the outline of a drawn mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage


def signed_distance(mask: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Distance in mm to the outline, positive inside, ``(rows, columns)`` float32.

    The outline runs half-way between pixels of both sides. A mask without another side is as far inside or outside as
    its image is large.

    Args:
        mask: boolean ``(rows, columns)``.
        spacing: mm along rows and columns.
    """
    if mask.all() or not mask.any():
        far = float(np.hypot(*np.multiply(mask.shape, spacing)))
        return np.full(mask.shape, far if mask.all() else -far, dtype=np.float32)
    half = min(spacing) / 2
    inward = ndimage.distance_transform_edt(mask, sampling=spacing)
    outward = ndimage.distance_transform_edt(~mask, sampling=spacing)
    return np.where(mask, inward - half, half - outward).astype(np.float32)
