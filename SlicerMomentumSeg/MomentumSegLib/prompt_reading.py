"""The prompts of a segment as the worker understands them: by slice, in the slice's own columns and rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from MomentumSegLib.prompt_nodes import (
    BOX,
    POSITIVE,
    choice_of_point,
    is_defined,
    kind_of,
    order_of_box,
    order_of_point,
)
from MomentumSegLib.prompt_request import SlicePrompts
from MomentumSegLib.segment_voxels import Crop
from MomentumSegLib.slice_geometry import SliceGeometry
from MomentumSegLib.translation import tr as _
from MomentumSegLib.volume_data import array_of, linear_transform_to_world

# Half-open ranges along I, J and K.
Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

_BOX_SLICE = "MomentumSeg.BoxSlice"


@dataclass(frozen=True, eq=False)
class ReadPrompts:
    """All prompts of a segment.

    Attributes:
        slices: by slice index.
        bounds: boxes deeper than one slice, as ((i0, i1), (j0, j1), (k0, k1)): following stays inside them.
        outside: names of nodes with prompts outside of the volume.
    """

    slices: Mapping[int, SlicePrompts]
    bounds: tuple[Box, ...] = ()
    outside: tuple[str, ...] = ()

    @property
    def warning(self) -> str:
        """One sentence on prompts that cannot be used; empty: all can."""
        if not self.outside:
            return ""
        names = ", ".join(f"'{name}'" for name in self.outside)
        return _("A prompt of {names} lies outside the volume: move it onto the image, or delete it.").format(
            names=names
        )


@dataclass
class _Gathered:
    """Prompts while they are read: (order, entry) by slice."""

    slices: dict[int, list[tuple[int, dict[str, Any]]]] = field(default_factory=dict)
    bounds: list[Box] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def add(self, slice_index: int, order: int, entry: dict[str, Any]) -> None:
        self.slices.setdefault(slice_index, []).append((order, entry))


def read_prompts(
    nodes: Iterable[Any],
    slices: SliceGeometry,
    scribbles: Iterable[tuple[bool, Crop]] = (),
    masks: Crop | None = None,
    slice_on_screen: int | None = None,
) -> ReadPrompts:
    """Read prompt nodes and scribbles.

    Args:
        nodes: prompt nodes of the segment, numbered.
        slices: of the volume; a prompt belongs to the slice that it lies in.
        scribbles: painted voxels, each with whether they are inside.
        masks: what the segment holds, to be refined: part of the prompts of every slice that has others.
        slice_on_screen: that a new box belongs to.

    Raises `UserError` for a node under a transform that is not linear.
    """
    gathered = _Gathered()
    for node in nodes:
        if kind_of(node) == BOX:
            _read_box(node, slices, slice_on_screen, gathered)
        else:
            _read_points(node, slices, gathered)
    strokes: dict[int, list[tuple[bool, np.ndarray]]] = {}
    for inside, crop in scribbles:
        for index, painted in slice_masks(crop, slices).items():
            strokes.setdefault(index, []).append((inside, painted))
            gathered.slices.setdefault(index, [])
    known = slice_masks(masks, slices) if masks is not None else {}
    found = {
        index: _slice_prompts(index, entries, strokes.get(index, ()), known.get(index))
        for index, entries in sorted(gathered.slices.items())
    }
    return ReadPrompts(found, tuple(gathered.bounds), tuple(dict.fromkeys(gathered.outside)))


def mask_prompts(masks: Crop, slices: SliceGeometry) -> dict[int, SlicePrompts]:
    """What a segment holds as the only prompts, slice by slice."""
    return {index: _slice_prompts(index, (), (), mask) for index, mask in slice_masks(masks, slices).items()}


def slice_masks(crop: Crop, slices: SliceGeometry) -> dict[int, np.ndarray]:
    """The slices of a crop that hold anything, as (rows, columns) uint8 of the whole slice."""
    found: dict[int, np.ndarray] = {}
    if not crop.voxels.size:
        return found
    first = crop.origin[slices.axis]
    row, column = (start for axis, start in enumerate(crop.origin) if axis != slices.axis)
    for offset, part in enumerate(np.moveaxis(crop.voxels, slices.axis, 0)):
        if part.any():
            whole = np.zeros(slices.slice_shape, dtype=np.uint8)
            whole[row : row + part.shape[0], column : column + part.shape[1]] = part
            found[first + offset] = whole
    return found


def _slice_prompts(
    index: int,
    entries: Iterable[tuple[int, dict[str, Any]]],
    strokes: Iterable[tuple[bool, np.ndarray]],
    mask: np.ndarray | None,
) -> SlicePrompts:
    """The mask that is refined comes first, then scribbles, then points and boxes in the order they were given."""
    written: list[dict[str, Any]] = []
    arrays: dict[str, np.ndarray] = {}
    if mask is not None:
        arrays[f"mask {index}"] = mask
        written.append({"kind": "mask", "mask": f"mask {index}"})
    # What is outside means something only after something is inside.
    for inside, painted in sorted(strokes, key=lambda stroke: not stroke[0]):
        name = f"scribble {index} {'inside' if inside else 'outside'}"
        arrays[name] = painted
        written.append({"kind": "scribble", "mask": name, "positive": inside})
    written += [entry for _order, entry in sorted(entries, key=lambda entry: entry[0])]
    state = hashlib.sha1(json.dumps(written, sort_keys=True).encode(), usedforsecurity=False)
    for array in arrays.values():
        state.update(array.tobytes())
    return SlicePrompts(tuple(written), arrays, state.hexdigest())


def _read_points(node: Any, slices: SliceGeometry, gathered: _Gathered) -> None:
    positive = kind_of(node) == POSITIVE
    to_ijk = np.linalg.inv(slices.volume.ijk_to_ras)
    for number in range(node.GetNumberOfControlPoints()):
        if not is_defined(node, number):
            continue
        kji = (to_ijk @ (*node.GetNthControlPointPositionWorld(number), 1.0))[2::-1]
        if not all(-0.5 <= value < count - 0.5 for value, count in zip(kji, slices.volume.shape, strict=True)):
            gathered.outside.append(node.GetName())
            continue
        y, x = (value for axis, value in enumerate(kji) if axis != slices.axis)
        entry = {"kind": "point", "x": _short(x), "y": _short(y), "positive": positive}
        choice = choice_of_point(node, number)
        if choice is not None:
            entry["choice"] = choice
        gathered.add(int(np.floor(kji[slices.axis] + 0.5)), order_of_point(node, number), entry)


def _read_box(node: Any, slices: SliceGeometry, slice_on_screen: int | None, gathered: _Gathered) -> None:
    """A box is a prompt on one slice; where it is deeper than that, it bounds following."""
    if not node.GetControlPointPlacementComplete():
        return
    if node.GetAttribute(_BOX_SLICE) is None:
        flatten_new_box(node, slices, slice_on_screen)
    low, high = _reach(node, slices)
    first, last = int(np.ceil(low[slices.axis] - 1e-3)), int(np.floor(high[slices.axis] + 1e-3))
    first, last = max(first, 0), min(last, slices.count - 1)
    index = _slice_of_box(node, slices, first, last)
    if index is None or (high < -0.5).any() or (low > np.array(slices.volume.shape) - 0.5).any():
        gathered.outside.append(node.GetName())
        return
    (y0, y1), (x0, x1) = ((low[axis], high[axis]) for axis in range(3) if axis != slices.axis)
    entry = {"kind": "box", "x0": _short(x0), "y0": _short(y0), "x1": _short(x1), "y1": _short(y1)}
    gathered.add(index, order_of_box(node), entry)
    if last > first:
        ranges = [
            (max(0, int(np.ceil(low[axis] - 1e-3))), min(count, int(np.floor(high[axis] + 1e-3)) + 1))
            for axis, count in enumerate(slices.volume.shape)
        ]
        gathered.bounds.append((ranges[2], ranges[1], ranges[0]))


def flatten_new_box(node: Any, slices: SliceGeometry, slice_on_screen: int | None) -> None:
    """A box that was just placed in a view is as deep as it is wide; make it one slice deep, on its slice."""
    index = slices.index_at(node.GetCenterWorld())
    if index is None:
        index = slice_on_screen
    if index is None:
        return
    node.SetAttribute(_BOX_SLICE, f"{slices.plane} {index}")
    axes = array_of(node.GetObjectToWorldMatrix())[:3, :3]
    deep = int(np.argmax(np.abs(axes.T @ slices.normal)))
    step = slices.volume.ijk_to_ras[:3, 2 - slices.axis]
    size = list(node.GetSize())
    size[deep] = float(abs(step @ slices.normal))
    node.SetSize(*size)


def _slice_of_box(node: Any, slices: SliceGeometry, first: int, last: int) -> int | None:
    """The slice that a box was placed on while it reaches there, else the one in its middle."""
    plane, _separator, index = (node.GetAttribute(_BOX_SLICE) or "").partition(" ")
    if plane == slices.plane and first <= int(index) <= last:
        return int(index)
    return slices.index_at(node.GetCenterWorld())


def _reach(node: Any, slices: SliceGeometry) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest (k, j, i) of a box, its corners where it is turned against the volume."""
    signs = np.array([(a, b, c) for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)])
    corners = np.column_stack([signs * np.array(node.GetSize()) / 2, np.ones(8)])
    to_world = linear_transform_to_world(node) @ array_of(node.GetObjectToNodeMatrix())
    kji = np.linalg.solve(slices.volume.ijk_to_ras, to_world @ corners.T)[2::-1]
    return kji.min(axis=1), kji.max(axis=1)


def _short(value: float) -> float:
    """Hundredths of a voxel: positions come back from a file with other last digits."""
    return round(float(value), 2) + 0.0
