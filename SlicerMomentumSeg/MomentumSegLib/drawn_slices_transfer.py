"""What was drawn on the slices of one grid, on the same slices counted in another.

The grid changes when another volume is chosen, and when a scene is loaded: a volume that was made with left-handed axes
comes back from its file with its slices in the opposite order.
"""

from __future__ import annotations

import numpy as np

from MomentumSegLib.drawn_slices_storage import Grid
from MomentumSegLib.segment_voxels import Crop, regrid
from MomentumSegLib.slice_memory import Marks, SliceMask, slice_mask

_SAME_DIRECTION = 1e-4  # of a slice, for each slice: below it two grids count slices alike
_SAME_SLICE = 0.05  # of a slice

AllMarks = tuple[Marks, Marks, Marks]


def transferred_marks(marks: AllMarks, source: Grid, target: Grid) -> AllMarks:
    """Marks along each axis of a grid, along the axes of another.

    Slices that the other grid does not have, or only cut through, count no longer.
    """
    to_target = np.linalg.solve(target.ijk_to_segmentation, source.ijk_to_segmentation)
    found = [Marks(), Marks(), Marks()]
    for axis, own in enumerate(marks):
        other_axis = _same_axis(to_target, axis)
        if other_axis is not None:
            found[other_axis] = _transferred(own, axis, other_axis, to_target, source, target)
    return found[0], found[1], found[2]


def _same_axis(to_target: np.ndarray, axis: int) -> int | None:
    """Array axis of the target along which the slices across ``axis`` are counted too; None: there is none."""
    step = to_target[:3, 2 - axis]
    along = int(np.argmax(np.abs(step)))
    others = np.delete(to_target[along, :3], 2 - axis)
    unit = np.zeros(3)
    unit[along] = np.sign(step[along])
    is_same = np.abs(step - unit).max() < _SAME_DIRECTION and np.abs(others).max() < _SAME_DIRECTION
    return 2 - along if is_same else None


def _transferred(marks: Marks, axis: int, other_axis: int, to_target: np.ndarray, source: Grid, target: Grid) -> Marks:
    middle = np.append((np.array(source.shape[::-1]) - 1) / 2, 1.0)
    indices: dict[int, int] = {}
    for s in {*marks.drawn, *marks.kept_empty}:
        middle[2 - axis] = s
        position = float((to_target @ middle)[2 - other_axis])
        index = round(position)
        if abs(position - index) < _SAME_SLICE and 0 <= index < target.shape[other_axis]:
            indices[s] = index
    drawn = {}
    for s, mask in marks.drawn.items():
        crop = regrid(_as_crop(mask, axis, s), to_target, target.shape)
        if s in indices and not crop.is_empty:
            drawn[indices[s]] = slice_mask(crop, other_axis, indices[s])
    return Marks(
        drawn=dict(sorted(drawn.items())),
        corrected=frozenset(indices[s] for s in marks.corrected if s in indices) & drawn.keys(),
        kept_empty=frozenset(indices[s] for s in marks.kept_empty if s in indices),
    )


def _as_crop(mask: SliceMask, axis: int, slice_index: int) -> Crop:
    k, j, i = np.insert(mask.origin, axis, slice_index).tolist()
    return Crop(np.expand_dims(mask.pixels, axis), (k, j, i))
