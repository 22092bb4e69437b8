"""The reference without a network: shape-based interpolation between drawn slices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from momentumseg.inference.signed_distance import signed_distance


def interpolate_drawn_slices(masks: np.ndarray, drawn: Sequence[int], pixel_spacing: Sequence[float]) -> np.ndarray:
    """Mask between drawn slices by linear interpolation of their signed distances (Raya and Udupa 1990).

    Args:
        masks: ``(S, H, W)``, foreground != 0; only the drawn slices are looked at.
        drawn: their indices.
        pixel_spacing: mm along H and W.

    Returns:
        Boolean ``(S, H, W)``; drawn slices as they are, nothing before the first and beyond the last one.
    """
    result = np.zeros(masks.shape, dtype=bool)
    ordered = sorted(set(drawn))
    distances = {index: signed_distance(masks[index] != 0, pixel_spacing) for index in ordered}
    for lower, upper in zip(ordered[:-1], ordered[1:], strict=True):
        for index in range(lower + 1, upper):
            weight = (index - lower) / (upper - lower)
            result[index] = (1 - weight) * distances[lower] + weight * distances[upper] > 0
    result[ordered] = masks[ordered] != 0
    return result
