"""Brings the outline of a result from the coarse feature grid to the edges of the image.

A guided filter (He, Sun and Tang, "Guided image filtering", IEEE TPAMI 2013) with the image as guide: within a small
window the probability becomes a linear function of the intensity, so that its edge falls on the image's edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

_SURE = 1e-3


@dataclass(frozen=True)
class EdgeConfig:
    """Constants of the filter; ``Docs/accuracy.md`` tells on which volumes they were chosen.

    Attributes:
        radius_cells: half width of the window, in feature cells (an outline is known to about one cell).
        smoothness: variance of the normalised intensities below which a window counts as flat and is only smoothed.
    """

    radius_cells: float = 1.5
    smoothness: float = 0.01


def refine_edges(logit: np.ndarray, image: np.ndarray, radius: int, smoothness: float) -> np.ndarray:
    """Logits ``(H, W)`` float32 whose foreground follows the edges of an image.

    A slice without foreground is returned as it is.

    Args:
        logit: of the foreground, ``(H, W)`` float32; not changed.
        image: normalised intensities ``(H, W)``.
        radius: half width of the window, pixels.
        smoothness: see :class:`EdgeConfig`.
    """
    box = _box_of(logit > 0, margin=2 * radius)
    if box is None or radius < 1:
        return logit
    filtered = guided_filter(image[box].astype(np.float32), 1 / (1 + np.exp(-logit[box])), radius, smoothness)
    probability = np.clip(filtered, _SURE, 1 - _SURE)
    result = logit.copy()
    result[box] = np.log(probability / (1 - probability))
    return result


def guided_filter(guide: np.ndarray, values: np.ndarray, radius: int, smoothness: float) -> np.ndarray:
    """Guided filter of ``values`` ``(H, W)`` by ``guide`` ``(H, W)`` with square windows (He et al., eq. 5-8)."""
    guide_mean, values_mean = _mean(guide, radius), _mean(values, radius)
    covariance = _mean(guide * values, radius) - guide_mean * values_mean
    variance = _mean(guide * guide, radius) - guide_mean * guide_mean
    slope = covariance / (variance + smoothness)
    offset = values_mean - slope * guide_mean
    return _mean(slope, radius) * guide + _mean(offset, radius)


def _mean(array: np.ndarray, radius: int) -> np.ndarray:
    return ndimage.uniform_filter(array, 2 * radius + 1, mode="nearest")


def _box_of(mask: np.ndarray, margin: int) -> tuple[slice, slice] | None:
    """Bounding box of a mask with a margin, within the image; None for an empty mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        return None
    return tuple(  # type: ignore[return-value]
        slice(max(0, int(found[0]) - margin), min(extent, int(found[-1]) + margin + 1))
        for found, extent in zip((rows, columns), mask.shape, strict=True)
    )
