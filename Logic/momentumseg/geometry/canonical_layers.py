"""From a canonical grid back to a volume in layers: what a network finds is never in memory as a whole.

Layers are consecutive slices of the grid's first axis. They come in order, and as soon as all that a slice of voxels
needs has come, that slice is made. Only a box of the volume may be asked for; the network then sees a part of the grid.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csr_array, eye_array

from momentumseg.geometry.canonical_grid import CanonicalGrid
from momentumseg.geometry.in_plane_axis import InPlaneAxis

Box = Sequence[tuple[int, int]]
"""Half-open ranges (i0, i1), (j0, j1), (k0, k1)."""

_Ranges = tuple[slice, slice, slice]

_PIECE_BYTES = 1 << 26  # of values that are interpolated at once


@dataclass(frozen=True)
class GridPart:
    """A box of the volume, and the part of the grid that a network sees for it. Made by `of`.

    ``voxels`` are ranges of the volume along the grid's axes, in their directions (see `CanonicalGrid.oriented`);
    ``pixels`` are ranges of the grid (D, H, W), with a margin where only a box is asked for.
    """

    grid: CanonicalGrid
    voxels: _Ranges
    pixels: _Ranges

    @classmethod
    def of(cls, grid: CanonicalGrid, box: Box | None, sides: Sequence[int]) -> GridPart:
        """Part for a box that lies in the volume, or for all of it.

        Args:
            grid: of the volume.
            box: half-open voxel ranges; None for the whole volume.
            sides: of a network's patch (D, H, W) on the grid: half of it is the margin, and where the grid is as large
                as a patch, the part is too.
        """
        if box is None:
            return cls(grid, _all(axis.count for axis in grid.axes), _all(grid.shape))
        voxels = [_oriented_range(axis, box[2 - axis.axis]) for axis in grid.axes]
        pixels = [_seen_range(axis, wanted, side) for axis, wanted, side in zip(grid.axes, voxels, sides, strict=True)]
        return cls(grid, (voxels[0], voxels[1], voxels[2]), (pixels[0], pixels[1], pixels[2]))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels of the box along the grid's axes."""
        depth, height, width = (span.stop - span.start for span in self.voxels)
        return depth, height, width

    def view(self, array: np.ndarray) -> np.ndarray:
        """The box of a (K, J, I) array with the grid's axis order; writing to it writes to the array."""
        return self.grid.oriented(array)[self.voxels]

    def voxels_of(self, layers: Iterable[tuple[int, np.ndarray]]) -> Iterator[tuple[int, np.ndarray]]:
        """Probabilities of the box's voxels, from those of the grid's part; linear, exact where voxels are copied.

        Args:
            layers: (first slice, float32 (C, n, H, W)) of the part, in order and without gaps.

        Yields:
            (first slice, float32 (C, m, h, w)) of `view`, in order and without gaps.
        """
        along, rows, columns = self._weights
        first, last = _needed(along)
        kept, begin, done = None, 0, 0
        for piece in _pieces(layers, rows.shape[0] * columns.shape[0]):
            in_plane = _in_plane(piece, rows, columns)
            kept = in_plane if kept is None else np.concatenate([kept, in_plane], axis=1)
            here = begin + kept.shape[1]
            ready = int(np.searchsorted(last, here))  # slices whose last needed one is there
            if ready > done:
                for start, stop in _spans(done, ready, kept.shape[1]):
                    yield start, _along(kept, along[start:stop, begin:here])
                done = ready
            if done == len(first):
                return
            drop = min(max(int(first[done]) - begin, 0), kept.shape[1])
            kept, begin = kept[:, drop:], begin + drop

    @cached_property
    def _weights(self) -> tuple[csr_array, csr_array, csr_array]:
        """(voxels, pixels) weights of the part along each axis."""
        along, rows, columns = (
            csr_array(_axis_weights(axis)[voxels, pixels])
            for axis, voxels, pixels in zip(self.grid.axes, self.voxels, self.pixels, strict=True)
        )
        return along, rows, columns


def _all(sizes: Iterable[int]) -> _Ranges:
    depth, height, width = (slice(0, size) for size in sizes)
    return depth, height, width


def _oriented_range(axis: InPlaneAxis, bounds: tuple[int, int]) -> slice:
    start, stop = bounds
    return slice(axis.count - stop, axis.count - start) if axis.flipped else slice(start, stop)


def _seen_range(axis: InPlaneAxis, voxels: slice, side: int) -> slice:
    """Grid voxels that the wanted voxels are made of, with the margin, and at least a patch where there are so many."""
    first, last = _needed(csr_array(_axis_weights(axis)[voxels]))
    start = max(int(first.min()) - side // 2, 0)
    stop = min(max(int(last.max()) + 1 + side // 2, start + side), axis.size)
    return slice(max(min(start, stop - side), 0), stop)


def _axis_weights(axis: InPlaneAxis) -> csr_array:
    """(count, size) weights of grid voxels in voxels."""
    if axis.is_copy:
        return csr_array(eye_array(axis.count, dtype=np.float32, format="csr"))
    return axis.probability_weights


def _needed(weights: csr_array) -> tuple[np.ndarray, np.ndarray]:
    """First and last column that each row needs; neither falls from row to row."""
    rows = [weights.indices[start:stop] for start, stop in zip(weights.indptr, weights.indptr[1:], strict=False)]
    first = np.array([row.min() for row in rows])
    last = np.array([row.max() for row in rows])
    return first, last


def _pieces(layers: Iterable[tuple[int, np.ndarray]], pixels: int) -> Iterator[np.ndarray]:
    """The layers in pieces that stay small when a slice grows to so many pixels."""
    for _, layer in layers:
        step = max(1, _PIECE_BYTES // (4 * len(layer) * pixels))
        for start in range(0, layer.shape[1], step):
            yield layer[:, start : start + step]


def _spans(start: int, stop: int, step: int) -> Iterator[tuple[int, int]]:
    for first in range(start, stop, step):
        yield first, min(first + step, stop)


def _in_plane(piece: np.ndarray, rows: csr_array, columns: csr_array) -> np.ndarray:
    """(C, n, h, w) of (C, n, H, W)."""
    return _along(_along(piece, rows, 2), columns, 3)


def _along(values: np.ndarray, weights: csr_array, axis: int = 1) -> np.ndarray:
    """One axis multiplied by weights."""
    if _is_identity(weights):
        return values
    moved = np.moveaxis(values, axis, 0)
    flat = np.ascontiguousarray(moved, dtype=np.float32).reshape(len(moved), -1)
    return np.moveaxis((weights @ flat).reshape(-1, *moved.shape[1:]), 0, axis)


def _is_identity(weights: csr_array) -> bool:
    count = weights.shape[0]
    return (
        weights.shape == (count, count)
        and weights.nnz == count
        and bool((weights.data == 1.0).all())
        and bool((weights.indices == np.arange(count)).all())
    )
