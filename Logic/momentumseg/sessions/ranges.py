"""Which part of a volume is asked for: slice ranges and boxes in the volume's own indexing."""

from __future__ import annotations

from collections.abc import Sequence

from momentumseg.errors import InputError
from momentumseg.geometry.network_space import NetworkSpace
from momentumseg.sessions.few_shot_result import Box


def checked_box(box: Sequence[Sequence[int]] | None, space: NetworkSpace) -> Box | None:
    """Half-open ((i0, i1), (j0, j1), (k0, k1)) cut to the volume, or None.

    Raises:
        InputError: not three ranges, or nothing of the volume is inside.
    """
    return checked_box_of(box, space.shape)


def checked_box_of(box: Sequence[Sequence[int]] | None, shape: tuple[int, int, int]) -> Box | None:
    """The same for a volume of ``shape`` (K, J, I)."""
    if box is None:
        return None
    if len(box) != 3 or any(len(bounds) != 2 for bounds in box):
        raise InputError(f"The box {box} cannot be used: give three half-open ranges (i0, i1), (j0, j1), (k0, k1).")
    i, j, k = (
        _cut(bounds, count, f"box along {name}") for bounds, count, name in zip(box, shape[::-1], "ijk", strict=True)
    )
    return i, j, k


def checked_slice_range(slice_range: range | tuple[int, int] | None, box: Box | None, space: NetworkSpace) -> range:
    """Network slices of a half-open range of the volume's slices that also lie in the box.

    Raises:
        InputError: a range that cannot be used or that leaves no slice.
    """
    first, end = 0, space.slice_count
    if slice_range is not None:
        first, end = _cut(_bounds(slice_range), space.slice_count, "slice range")
    if box is not None:
        box_first, box_end = box[2 - space.slice_axis]
        first, end = max(first, box_first), min(end, box_end)
        if first >= end:
            raise InputError("The slice range and the box have no slice in common: change one of them.")
    ends = space.network_index(first), space.network_index(end - 1)
    return range(min(ends), max(ends) + 1)


def _bounds(slice_range: range | tuple[int, int]) -> Sequence[int]:
    if isinstance(slice_range, range):
        if slice_range.step != 1:
            raise InputError(f"The slice range {slice_range} leaves slices out: give consecutive slices.")
        return slice_range.start, slice_range.stop
    if len(slice_range) != 2:
        raise InputError(f"The slice range {slice_range} cannot be used: give its first slice and the one behind it.")
    return slice_range


def _cut(bounds: Sequence[int], count: int, what: str) -> tuple[int, int]:
    first, end = max(int(bounds[0]), 0), min(int(bounds[1]), count)
    if first >= end:
        raise InputError(
            f"The {what} from {bounds[0]} to {bounds[1]} contains nothing of the volume: it goes from 0 to {count}."
        )
    return first, end
