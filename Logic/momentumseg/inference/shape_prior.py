"""A shape prior from the slices that were drawn on the very volume that is segmented.

Between two drawn slices a structure's outline is near the linear interpolation of their signed distances (Raya and
Udupa, "Shape-based interpolation of multidimensional objects", IEEE TMI 1990); beyond the outermost ones it tapers.
How far to trust that decreases with the distance to the nearest drawn slice, where the network's appearance takes over;
it decreases sooner for ragged structures (white matter, bowel), whose outline changes from slice to slice.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from momentumseg.inference.signed_distance import signed_distance


@dataclass(frozen=True)
class ShapePriorConfig:
    """Constants of the prior; ``Docs/accuracy.md`` tells on which volumes they were chosen.

    Attributes:
        weight: of the prior against the network's logit.
        sharpness_cells: uncertainty of an outline on a drawn slice, in feature cells (the network tells no less apart).
        growth: mm of additional uncertainty for each mm to the nearest drawn slice, for a disc; more for a ragged
            structure.
        taper: how fast a disc shrinks beyond the outermost drawn slice, mm a mm, if that slice is the largest one. What
            is ragged or long loses less of its smaller inner radius: it reaches through the slices as far as across.
        taper_gain: additional taper as the outermost slice becomes small against the largest: then the end is near.
    """

    weight: float = 2.0
    sharpness_cells: float = 1.0
    growth: float = 0.25
    taper: float = 0.75
    taper_gain: float = 2.0


class ShapePrior:
    """Logit of the prior for any slice of one label.

    Args:
        masks: network slice -> mask ``(size, size)``, foreground > 0; at least one, none empty.
        pixel_spacing: mm.
        slice_spacing: mm.
        cell: mm of a feature cell.
        config: constants.
    """

    def __init__(
        self,
        masks: Mapping[int, np.ndarray],
        pixel_spacing: float,
        slice_spacing: float,
        cell: float,
        config: ShapePriorConfig,
    ) -> None:
        self._slices = sorted(masks)
        self._distances = [signed_distance(masks[s] > 0, (pixel_spacing, pixel_spacing)) for s in self._slices]
        self._radii = [max(float(distance.max()), pixel_spacing) for distance in self._distances]
        self._fullness = [
            min(1.0, radius / _equivalent_radius(masks[s] > 0, pixel_spacing))
            for s, radius in zip(self._slices, self._radii, strict=True)
        ]
        self._slice_spacing = slice_spacing
        self._growth = config.growth / float(np.mean(self._fullness))
        self._sharpness = config.sharpness_cells * cell
        self._config = config

    def logit(self, s: int) -> np.ndarray:
        """Logit of the foreground on network slice ``s``, ``(size, size)`` float32."""
        distance, away = self._distance(s)
        spread = self._sharpness + self._growth * away
        return self._config.weight / spread * distance

    def _distance(self, s: int) -> tuple[np.ndarray, float]:
        """Expected signed distance (mm, positive inside) and mm to the nearest drawn slice."""
        after = bisect_left(self._slices, s)
        if after == len(self._slices):
            return self._beyond(after - 1, s - self._slices[-1])
        if after == 0:
            return self._beyond(0, self._slices[0] - s)
        first, last = self._slices[after - 1], self._slices[after]
        share = (s - first) / (last - first)
        interpolated = (1 - share) * self._distances[after - 1] + share * self._distances[after]
        return interpolated, min(s - first, last - s) * self._slice_spacing

    def _beyond(self, outermost: int, steps: int) -> tuple[np.ndarray, float]:
        away = steps * self._slice_spacing
        smallness = 1 - self._radii[outermost] / max(self._radii)
        taper = (self._config.taper + self._config.taper_gain * smallness) * self._fullness[outermost]
        return self._distances[outermost] - np.float32(taper * away), away


def _equivalent_radius(mask: np.ndarray, pixel_spacing: float) -> float:
    """Radius in mm of the disc of the same area."""
    return float(np.sqrt(mask.sum() / np.pi)) * pixel_spacing
