"""One in-plane axis of a network slice: which voxels each network pixel sees, and back.

Coordinates are pixel centres: voxel ``v`` covers [v - 0.5, v + 0.5], network pixel ``p`` covers [p - 0.5, p + 0.5],
both in network orientation (flips are done before), and

    p = v / scale + offset        v = (p - offset) * scale

with ``scale`` in voxels a network pixel. With a scale of one the offset is an integer: pixels are voxels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil, exp, floor

import numpy as np
from scipy.sparse import csr_array, diags

# A window may drift by this part of a pixel from one end to the other and still count as "the same spacing":
# files keep spacings in 32 bits.
_SAME_SPACING_DRIFT = 0.01
# Decimals kept before a position is rounded to its nearest neighbour, so that ties do not hang on the last bit.
_DECIMALS = 9
_GAUSSIAN_RADIUS = 4.0  # standard deviations


@dataclass(frozen=True)
class InPlaneAxis:
    """An axis of the volume seen as rows or columns of a network slice.

    ``axis`` indexes (K, J, I), ``count`` voxels, ``flipped`` against the network's order, ``size`` network pixels,
    ``scale`` voxels a network pixel, ``offset`` the network coordinate of the first voxel.
    """

    axis: int
    count: int
    flipped: bool
    size: int
    scale: float
    offset: float

    @classmethod
    def centred(cls, axis: int, count: int, flipped: bool, size: int, scale: float) -> InPlaneAxis:
        """Axis in the middle of the window; where pixels are voxels, up to half a pixel before it."""
        if abs(scale - 1.0) * size <= _SAME_SPACING_DRIFT:
            return cls(axis, count, flipped, size, 1.0, float(floor((size - count) / 2)))
        return cls(axis, count, flipped, size, scale, (size - 1) / 2 - (count - 1) / (2 * scale))

    @property
    def is_copy(self) -> bool:
        """Whether network pixels are voxels, merely shifted."""
        return self.scale == 1.0

    @property
    def copy_slices(self) -> tuple[slice, slice]:
        """(network pixels, voxels) that coincide, when `is_copy`."""
        shift = int(self.offset)
        first, end = max(shift, 0), min(shift + self.count, self.size)
        return slice(first, end), slice(first - shift, end - shift)

    @cached_property
    def voxel_positions(self) -> np.ndarray:
        """(size,) continuous voxel index under each network pixel."""
        return np.round((np.arange(self.size) - self.offset) * self.scale, _DECIMALS)

    @cached_property
    def pixel_positions(self) -> np.ndarray:
        """(count,) continuous network coordinate of each voxel."""
        return np.round(np.arange(self.count) / self.scale + self.offset, _DECIMALS)

    @cached_property
    def nearest_voxels(self) -> np.ndarray:
        """(size,) voxel nearest to each network pixel; outside the field of view -1."""
        return _nearest(self.voxel_positions, self.count)

    @cached_property
    def nearest_pixels(self) -> np.ndarray:
        """(count,) network pixel nearest to each voxel; outside the window -1."""
        return _nearest(self.pixel_positions, self.size)

    @cached_property
    def image_weights(self) -> csr_array:
        """(size, count) float32 weights of voxels in network pixels: linear, after a Gaussian when down-sampling.

        Rows sum to one inside the field of view and are empty outside it.
        """
        weights = _linear_weights(self.voxel_positions, self.count)
        if self.scale > 1.0:
            weights = weights @ _gaussian_weights(self.count, (self.scale - 1.0) / 2)
        return csr_array(weights, dtype=np.float32)

    @cached_property
    def probability_weights(self) -> csr_array:
        """(count, size) float32 linear weights of network pixels in voxels; rows outside the window are empty."""
        return csr_array(_linear_weights(self.pixel_positions, self.size), dtype=np.float32)


def _nearest(positions: np.ndarray, count: int) -> np.ndarray:
    """Index of the nearest of ``count`` cells; -1 outside their extent. Ties go to the larger index."""
    nearest = np.floor(positions + 0.5).astype(np.intp)
    return np.where((nearest >= 0) & (nearest < count), nearest, -1)


def _linear_weights(positions: np.ndarray, count: int) -> csr_array:
    """(len(positions), count) linear interpolation weights.

    Between the centre and the border of the outermost cells their value is held; beyond the border the row is empty.
    """
    inside = np.flatnonzero(_nearest(positions, count) >= 0)
    clamped = np.clip(positions[inside], 0, count - 1)
    lower = np.minimum(np.floor(clamped).astype(np.intp), max(count - 2, 0))
    upper = np.minimum(lower + 1, count - 1)
    fraction = clamped - lower
    rows = np.concatenate([inside, inside])
    columns = np.concatenate([lower, upper])
    values = np.concatenate([1.0 - fraction, fraction])
    return csr_array((values, (rows, columns)), shape=(len(positions), count))


def _gaussian_weights(count: int, sigma: float) -> csr_array:
    """(count, count) Gaussian smoothing; rows sum to one at the borders too. ``sigma`` in voxels."""
    radius = min(ceil(_GAUSSIAN_RADIUS * sigma), count - 1)
    offsets = range(-radius, radius + 1)
    bands = [np.full(count - abs(offset), exp(-0.5 * (offset / sigma) ** 2)) for offset in offsets]
    smoothing = csr_array(diags(bands, offsets=list(offsets), shape=(count, count)))
    return csr_array(diags(1.0 / smoothing.sum(axis=1)) @ smoothing)
