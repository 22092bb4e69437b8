"""What the slices of a segment held at each Apply, and what therefore was drawn since.

Slices are remembered by digests: a whole organ takes a few kilobytes. A `Moment` is what a segment held just before
or just after a result was written, together with what counted as drawn then. The moment that the segment resembles
now tells an Undo (the moment before) from a correction (the moment after, and a slice that differs from it).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from MomentumSegLib.segment_voxels import Crop, bounds_of

# So many moments are remembered: as far back as an Undo is told apart, and one for each frame of a sequence.
MOMENTS = 256

Digests = dict[int, str]


@dataclass(frozen=True, eq=False)
class SliceMask:
    """The drawn pixels of one slice: a (rows, columns) crop of 0/1 and the place of its first pixel."""

    pixels: np.ndarray
    origin: tuple[int, int]

    def whole(self, slice_shape: tuple[int, int]) -> np.ndarray:
        """(rows, columns) uint8 of the whole slice."""
        whole = np.zeros(slice_shape, dtype=np.uint8)
        (row, column), (rows, columns) = self.origin, self.pixels.shape
        whole[row : row + rows, column : column + columns] = self.pixels
        return whole


@dataclass(frozen=True)
class Marks:
    """What counts in one plane: drawn slices, which of them were corrections, and slices that are kept empty."""

    drawn: Mapping[int, SliceMask] = field(default_factory=dict)
    corrected: frozenset[int] = frozenset()
    kept_empty: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Moment:
    """Content of a segment at one time.

    Attributes:
        digests: for each array axis (K, J, I), digest of each slice that was not empty.
        marks: for each array axis.
        has_result: whether a result was written before that time.
        is_frame: whether it is a frame's of a sequence, which is shown again and again.
    """

    digests: tuple[Digests, Digests, Digests]
    marks: tuple[Marks, Marks, Marks]
    has_result: bool
    is_frame: bool = False


NOTHING = Moment(({}, {}, {}), (Marks(), Marks(), Marks()), has_result=False)


def slice_mask(crop: Crop, axis: int, slice_index: int) -> SliceMask:
    """The pixels of one slice of a crop, trimmed. The slice must hold some."""
    pixels = np.take(crop.voxels, slice_index - crop.origin[axis], axis=axis)
    rows, columns = bounds_of(pixels) or (slice(0, 0), slice(0, 0))
    row, column = (first for other, first in enumerate(crop.origin) if other != axis)
    return SliceMask(np.array(pixels[rows, columns]), (row + rows.start, column + columns.start))


def digests(crop: Crop, axis: int) -> Digests:
    """Digest of each slice along ``axis`` that holds a voxel, by slice index; see `_weights`. Kept with the crop."""
    if axis not in crop.digests:
        crop.digests[axis] = _digests(crop, axis)
    return crop.digests[axis]


def digest(mask: SliceMask) -> str:
    """Digest of a slice's pixels and their place; equal to that of the same slice in a crop along any axis."""
    return _digests(Crop(mask.pixels[None], (0, *mask.origin)), 0)[0]


def _digests(crop: Crop, axis: int) -> Digests:
    if not crop.voxels.size:
        return {}
    rows, columns = (other for other in range(3) if other != axis)
    packed = _packed(crop, columns)
    count = packed.shape[axis]
    weights = _weights(crop.origin[rows], packed.shape[rows], crop.origin[columns] // 8, packed.shape[columns])
    sums = (packed * np.expand_dims(weights, axis)).sum(axis=(rows, columns), dtype=np.uint64)
    used = packed.any(axis=(rows, columns))
    return {crop.origin[axis] + s: f"{int(sums[s]):016x}" for s in range(count) if used[s]}


def _packed(crop: Crop, axis: int) -> np.ndarray:
    """uint64 array with 8 voxels along ``axis`` in each number, the first at a multiple of 8 of the whole volume."""
    before = crop.origin[axis] % 8
    if before:
        padding = [(before if other == axis else 0, 0) for other in range(3)]
        return np.packbits(np.pad(crop.voxels, padding), axis=axis).astype(np.uint64)
    return np.packbits(crop.voxels, axis=axis).astype(np.uint64)


def _weights(row: int, rows: int, column: int, columns: int) -> np.ndarray:
    """(rows, columns) uint64: one pseudo-random number for each place of a slice, the same on every machine.

    The digest of a slice is the sum of its packed pixels times these numbers, modulo 2^64: empty surroundings change
    nothing, and two different slices agree once in 10^16. The numbers are those of the generator SplitMix64.
    """
    place = (np.arange(row, row + rows, dtype=np.uint64)[:, None] << np.uint64(24)) + np.arange(
        column, column + columns, dtype=np.uint64
    )
    mixed = (place + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def read_marks(history: list[Moment], crop: Crop, axis: int) -> Marks:
    """What counts as drawn now in the slices along ``axis``.

    Args:
        history: moments of the segment, oldest first; may be empty.
        crop: what the segment holds now.
        axis: of (K, J, I).
    """
    now = digests(crop, axis)
    reference = _reference(history, now, axis)
    before, marks = reference.digests[axis], reference.marks[axis]
    differing = {s for s in before.keys() | now.keys() if before.get(s) != now.get(s)}
    changed = differing & now.keys()
    emptied = differing - now.keys() if reference.has_result else frozenset()
    drawn = {s: mask for s, mask in marks.drawn.items() if s not in differing}
    drawn.update({s: slice_mask(crop, axis, s) for s in changed})
    return Marks(
        drawn=dict(sorted(drawn.items())),
        corrected=frozenset((marks.corrected - differing) | (changed if reference.has_result else set())),
        kept_empty=frozenset((marks.kept_empty | emptied) - now.keys()),
    )


def reference_moment(history: list[Moment], crop: Crop, axis: int) -> Moment:
    """The moment that a segment is compared with: the one it has changed least from."""
    return _reference(history, digests(crop, axis), axis)


def _reference(history: list[Moment], now: Digests, axis: int) -> Moment:
    """The moment that the segment has changed least from.

    As long as a predicted slice is as a result left it, only moments with results count: erasing most slices of a
    small result keeps these empty, and does not make the rest look drawn.
    """
    moments = [NOTHING, *history]
    exact = [moment for moment in moments if moment.digests[axis] == now]
    if exact:
        return exact[-1]
    alive = [moment for moment in moments if moment.has_result and _has_predicted(moment, now, axis)]
    candidates = alive or [moment for moment in moments if not moment.has_result]
    return min(reversed(candidates), key=lambda moment: len(dict(moment.digests[axis].items() ^ now.items())))


def _has_predicted(moment: Moment, now: Digests, axis: int) -> bool:
    drawn = moment.marks[axis].drawn
    return any(s not in drawn and now.get(s) == value for s, value in moment.digests[axis].items())
