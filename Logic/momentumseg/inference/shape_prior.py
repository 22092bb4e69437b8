"""A shape prior from the slices that were drawn on the very volume that is segmented.

Between two drawn slices a structure's outline is near the linear interpolation of their signed distances (Raya and
Udupa, "Shape-based interpolation of multidimensional objects", IEEE TMI 1990), bulged, as organs are round: from the
middle to a tip it is not a cone. Beyond the outermost drawn slices it tapers.
How far to trust that decreases with the distance to the nearest drawn slice, where the network's appearance takes over;
it decreases sooner for ragged structures (white matter, bowel), whose outline changes from slice to slice.

A single drawn slice does not tell whether it is the largest one or lies near an end, and neighbouring ones hardly
more. Outside their outline the prior is therefore less sure than inside, and beyond the outermost drawn slice it grows
where the network sees more than there, and shrinks where it sees less.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from momentumseg.inference.signed_distance import signed_distance

# Where the network's evidence is looked for: so much farther from the outline, mm, for each mm to the drawn slice.
_REACH_GROWTH = 0.5


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
        growth_outside_alone: as ``growth``, outside the outline of the only drawn slice; it falls to ``growth`` as the
            drawn slices come to span the radius of the largest of them.
        bulge: of the outline between drawn slices, as a part of an ellipsoid's through both.
        elongation: of that ellipsoid through the slices.
        outside_cells: the additional uncertainty outside an outline stays below this, in feature cells: far from every
            drawn slice there is nothing, whatever a network sees there.
        evidence: mm that the outline moves outwards beyond the outermost drawn slice for each mm that the network's
            own region gains in radius (of the disc of its area) over that slice.
        counter_evidence: mm that it moves inwards for each mm that the network's own region loses.
        reach_cells: that region is looked for up to so far from the outline, in feature cells.
    """

    weight: float = 2.0
    sharpness_cells: float = 1.0
    growth: float = 0.25
    taper: float = 0.75
    taper_gain: float = 2.0
    growth_outside_alone: float = 0.6
    bulge: float = 0.7
    elongation: float = 4 / 3
    outside_cells: float = 4.0
    evidence: float = 1.5
    counter_evidence: float = 1.0
    reach_cells: float = 3.0


class ShapePrior:
    """Logit of the prior for any slice of one label.

    Args:
        masks: network slice -> mask ``(size, size)``, foreground > 0; at least one, none empty.
        pixel_spacing: mm.
        slice_spacing: mm.
        cell: mm of a feature cell.
        config: constants.
        network: the network's own logits ``(n, h, w)`` of network slices 0 .. n-1; drawn slices may lie outside.
    """

    def __init__(
        self,
        masks: Mapping[int, np.ndarray],
        pixel_spacing: float,
        slice_spacing: float,
        cell: float,
        config: ShapePriorConfig,
        network: np.ndarray,
    ) -> None:
        self._slices = sorted(masks)
        self._distances = [signed_distance(masks[s] > 0, (pixel_spacing, pixel_spacing)) for s in self._slices]
        self._radii = [max(float(distance.max()), pixel_spacing) for distance in self._distances]
        self._disc_radii = [_disc_radius(masks[s] > 0, pixel_spacing) for s in self._slices]
        self._fullness = [min(1.0, radius / disc) for radius, disc in zip(self._radii, self._disc_radii, strict=True)]
        self._slice_spacing = slice_spacing
        fullness = float(np.mean(self._fullness))
        self._growth = config.growth / fullness
        span = (self._slices[-1] - self._slices[0]) * slice_spacing
        alone = max(0.0, 1 - span / max(self._disc_radii))
        self._growth_outside = (alone * config.growth_outside_alone + (1 - alone) * config.growth) / fullness
        self._largest_outside = config.outside_cells * cell / fullness
        self._sharpness = config.sharpness_cells * cell
        self._cell = cell
        self._network = network
        self._config = config

    def logit(self, s: int) -> np.ndarray:
        """Logit of the foreground on network slice ``s``, ``(size, size)`` float32."""
        distance, away = self._distance(s)
        inside = self._growth * away
        outside = min(self._growth_outside * away, self._largest_outside)
        spread = np.where(distance > 0, np.float32(self._sharpness + inside), np.float32(self._sharpness + outside))
        return np.float32(self._config.weight) / spread * distance

    def _distance(self, s: int) -> tuple[np.ndarray, float]:
        """Expected signed distance (mm, positive inside) and mm to the nearest drawn slice."""
        after = bisect_left(self._slices, s)
        if after == len(self._slices):
            return self._beyond(after - 1, s)
        if after == 0:
            return self._beyond(0, s)
        first, last = self._slices[after - 1], self._slices[after]
        share = (s - first) / (last - first)
        interpolated = (1 - share) * self._distances[after - 1] + share * self._distances[after]
        return interpolated + np.float32(self._bulge(after, share)), min(s - first, last - s) * self._slice_spacing

    def _bulge(self, after: int, share: float) -> float:
        """mm by which an ellipsoid exceeds the cone through drawn slices ``after - 1`` and ``after``."""
        first, last = self._disc_radii[after - 1], self._disc_radii[after]
        fullness = min(self._fullness[after - 1], self._fullness[after])
        height = (self._slices[after] - self._slices[after - 1]) * self._slice_spacing
        height *= fullness / self._config.elongation  # the ellipsoid becomes a sphere
        centre = (height**2 + last**2 - first**2) / (2 * height)
        round_radius = np.sqrt(first**2 + centre**2 - (share * height - centre) ** 2)
        return float(self._config.bulge * fullness * (round_radius - (1 - share) * first - share * last))

    def _beyond(self, outermost: int, s: int) -> tuple[np.ndarray, float]:
        away = abs(s - self._slices[outermost]) * self._slice_spacing
        smallness = 1 - self._radii[outermost] / max(self._radii)
        taper = (self._config.taper + self._config.taper_gain * smallness) * self._fullness[outermost]
        gain = self._gain(outermost, s, away)
        weight = self._config.evidence if gain > 0 else self._config.counter_evidence
        return self._distances[outermost] + np.float32(weight * gain - taper * away), away

    def _gain(self, outermost: int, s: int, away: float) -> float:
        """Radius in mm of the network's region on slice ``s``, less that on the outermost drawn slice."""
        drawn = self._slices[outermost]
        count, rows = self._network.shape[:2]
        if not (0 <= drawn < count and 0 <= s < count):
            return 0.0
        step = self._distances[outermost].shape[0] // rows
        reach = self._config.reach_cells * self._cell + _REACH_GROWTH * away
        near = self._distances[outermost][step // 2 :: step, step // 2 :: step] > -reach
        return self._seen_radius(s, near) - self._seen_radius(drawn, near)

    def _seen_radius(self, s: int, near: np.ndarray) -> float:
        cells = float(expit(self._network[s][near].astype(np.float32)).sum())
        return float(np.sqrt(cells / np.pi)) * self._cell


def _disc_radius(mask: np.ndarray, pixel_spacing: float) -> float:
    """Radius in mm of the disc of the same area."""
    return float(np.sqrt(mask.sum() / np.pi)) * pixel_spacing
