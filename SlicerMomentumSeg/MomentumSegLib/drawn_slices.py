"""Which slices of an output segmentation the user drew, before and after results were written into it.

The user draws straight into the output segmentation. Before the first result every slice with voxels is drawn. After
it, a slice counts as drawn when it differs from what the result left there; a slice that the user emptied is kept
empty. See `slice_memory` for how an Undo is told from a correction. What is remembered is saved with the scene, in a
hidden node that the segmentation refers to.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from vtkmodules.vtkCommonCore import reference

from MomentumSegLib import drawn_slices_storage as storage
from MomentumSegLib.drawn_slices_transfer import transferred_marks
from MomentumSegLib.errors import UserError
from MomentumSegLib.segment_voxels import Crop, read_segment
from MomentumSegLib.sequences import is_in_sequence
from MomentumSegLib.slice_geometry import SliceGeometry
from MomentumSegLib.slice_memory import MOMENTS, Marks, Moment, digest, digests, read_marks, reference_moment
from MomentumSegLib.volume_data import VolumeGeometry, linear_transform_to_world

DRAWN = "drawn"
CORRECTED = "corrected"
KEPT_EMPTY = "kept empty"

# Tells a segment from a later one with the same ID; travels with the segment through undo, saving and loading.
_TAG = "MomentumSeg.DrawnSlices"
# Marks a segment of scribbles, which are prompts: neither drawn slices nor results.
SCRIBBLE_TAG = "MomentumSeg.Scribble"


@dataclass(frozen=True, eq=False)
class Drawn:
    """One segment drawn on one slice.

    Attributes:
        segment_id: in the segmentation that was drawn in.
        slice_index: along the slice axis of the volume.
        mask: (rows, columns) uint8 of the whole slice, in the volume's own layout.
        state: "drawn" or "corrected" (after a result).
        volume_node_id: of the volume that was drawn on.
    """

    segment_id: str
    slice_index: int
    mask: np.ndarray
    state: str
    volume_node_id: str


@dataclass(frozen=True)
class DrawnRow:
    """One line of the table of drawn slices: a slice, the segments on it, and "drawn", "corrected" or "kept empty"."""

    slice_index: int
    segment_ids: tuple[str, ...]
    segment_names: tuple[str, ...]
    state: str


@dataclass(frozen=True, eq=False)
class Collected:
    """What the user drew.

    Attributes:
        supports: for the worker, by segment and slice.
        rows: for the table.
        untouched: for each segment the slices, drawn or kept empty, that a result must leave as they are.
        warnings: sentences for the user.
    """

    supports: tuple[Drawn, ...]
    rows: tuple[DrawnRow, ...]
    untouched: Mapping[str, frozenset[int]]
    warnings: tuple[str, ...] = ()


class DrawnSlices:
    """Remembers what was drawn in one segmentation. Known by the node's ID; the node may vanish at any time.

    Args:
        segmentation_node: the output segmentation. What was saved with it is read.
    """

    def __init__(self, segmentation_node: object) -> None:
        self._scene = segmentation_node.GetScene()
        self.segmentation_node_id = segmentation_node.GetID()
        self._memory = storage.read(segmentation_node)

    @property
    def segmentation_node(self) -> object | None:
        """The segmentation, or None when it was deleted."""
        return self._scene.GetNodeByID(self.segmentation_node_id)

    def collect(self, volume: VolumeGeometry, plane: str, segment_ids: Sequence[str] | None = None) -> Collected:
        """What is drawn now, on slices of ``volume`` in ``plane`` (axial, coronal or sagittal).

        Args:
            segment_ids: the segments to look at; None: all.

        Raises:
            UserError: the segmentation is gone, or everything drawn in it lies outside the volume.
        """
        node = self._existing_node()
        slices = SliceGeometry.of(volume, plane)
        names, marks, outside = {}, {}, []
        for segment_id in existing_segments(node, segment_ids):
            try:
                crop = read_segment(node, segment_id, volume)
            except UserError as error:
                outside.append(error)
                continue
            names[segment_id] = node.GetSegmentation().GetSegment(segment_id).GetName()
            marks[segment_id] = read_marks(self._history(node, segment_id, volume, crop), crop, slices.axis)
        if outside and not any(mark.drawn for mark in marks.values()):
            raise outside[0]
        return Collected(
            supports=_supports(marks, slices),
            rows=_rows(marks, names),
            untouched={segment_id: frozenset(mark.drawn) | mark.kept_empty for segment_id, mark in marks.items()},
            warnings=tuple(str(error) for error in outside),
        )

    def remove(
        self, volume: VolumeGeometry, plane: str, slice_index: int, segment_ids: Sequence[str] | None = None
    ) -> None:
        """Let a slice count no longer, as drawn or as kept empty, until something is drawn on it again.

        Its voxels stay: the next result replaces them. Raises as `collect`.
        """
        node = self._existing_node()
        axis = SliceGeometry.of(volume, plane).axis
        for segment_id in existing_segments(node, segment_ids):
            crop = read_segment(node, segment_id, volume)
            history = self._history(node, segment_id, volume, crop)
            marks = list(_all_marks(history, crop))
            marks[axis] = _without(marks[axis], slice_index)
            history.append(_moment(crop, marks, reference_moment(history, crop, axis).has_result))
        self._save()

    def remember_result(
        self, volume: VolumeGeometry, before: Mapping[str, Crop], after: Mapping[str, Crop], plane: str
    ) -> None:
        """Remember that a result was just written: call it with what `segmentation_output.write_result` returns.

        Args:
            volume: in whose grid the crops are.
            before, after: content of each segment that the result was for.
            plane: of the slices that had been drawn.
        """
        node = self._existing_node()
        axis = SliceGeometry.of(volume, plane).axis
        grid = self._grid(node, volume)
        is_frame = is_in_sequence(node)
        for segment_id in existing_segments(node, list(after)):
            history = self._history(node, segment_id, volume, before[segment_id])
            had_result = reference_moment(history, before[segment_id], axis).has_result
            marks = _marks_in_plane(history, before[segment_id], axis)
            history.append(_moment(before[segment_id], marks, had_result))
            history.append(replace(_after_result(after[segment_id], marks, axis), is_frame=is_frame))
            del history[:-MOMENTS]
            token = self._token(node, segment_id)
            grid.results[token] = 1 + max(other.results.get(token, 0) for other in self._memory.grids)
        self._save()

    def forget(self) -> None:
        """Forget all results and what was drawn: every slice with voxels counts as drawn again."""
        self._memory = storage.Memory()
        self._save()

    def _existing_node(self) -> object:
        node = self.segmentation_node
        if node is None:
            raise UserError("The output segmentation was deleted: choose or create another.")
        return node

    def _grid(self, node: object, volume: VolumeGeometry) -> storage.Grid:
        """What is remembered in the grid of a volume, wherever volume and segmentation were moved together."""
        matrix = np.linalg.solve(linear_transform_to_world(node), volume.ijk_to_ras)
        for grid in self._memory.grids:
            if replace(volume, ijk_to_ras=matrix).is_same_grid(grid.shape, grid.ijk_to_segmentation):
                return grid
        self._memory.grids.append(storage.Grid(tuple(volume.shape), matrix))
        return self._memory.grids[-1]

    def _history(self, node: object, segment_id: str, volume: VolumeGeometry, crop: Crop) -> list[Moment]:
        """Moments of a segment in the grid of a volume, to append to.

        What is known in another grid, where the last result was written, is taken over first.
        """
        grid = self._grid(node, volume)
        token = self._token(node, segment_id)
        history = grid.histories.setdefault(token, [])
        known = max(self._memory.grids, key=lambda other: other.results.get(token, 0))
        if known.results.get(token, 0) > grid.results.get(token, 0):
            history.append(self._taken_over(node, segment_id, known, grid, crop))
            grid.results[token] = known.results[token]
        return history

    def _taken_over(self, node: object, segment_id: str, known: storage.Grid, grid: storage.Grid, crop: Crop) -> Moment:
        """What a segment holds now, with what counts as drawn in another grid."""
        history = known.histories[self._token(node, segment_id)]
        geometry = VolumeGeometry("", "", known.shape, linear_transform_to_world(node) @ known.ijk_to_segmentation)
        there = read_segment(node, segment_id, geometry)
        marks = transferred_marks(_all_marks(history, there), known, grid)
        return _moment(crop, marks, has_result=True)

    def _token(self, node: object, segment_id: str) -> str:
        """What tells a segment from a later one with its ID; the frames of a sequence share it."""
        segment = node.GetSegmentation().GetSegment(segment_id)
        token = segment_tag(segment, _TAG)
        if not token:
            known = self._memory.tokens.get(segment_id) if is_in_sequence(node) else None
            token = known or uuid.uuid4().hex[:12]
            segment.SetTag(_TAG, token)
        self._memory.tokens[segment_id] = token
        return token

    def _save(self) -> None:
        node = self.segmentation_node
        if node is not None:
            storage.write(node, self._memory)


def all_drawn(
    segmentation_node: object, volume: VolumeGeometry, plane: str, segment_ids: Sequence[str] | None = None
) -> tuple[Drawn, ...]:
    """Every slice with voxels of a finished segmentation, as supports for another volume.

    Raises as `DrawnSlices.collect`; also when nothing is drawn at all.
    """
    slices = SliceGeometry.of(volume, plane)
    marks = {}
    for segment_id in existing_segments(segmentation_node, segment_ids):
        marks[segment_id] = read_marks([], read_segment(segmentation_node, segment_id, volume), slices.axis)
    supports = _supports(marks, slices)
    if not supports:
        raise UserError(f'The segmentation "{segmentation_node.GetName()}" is empty: choose one with drawn segments.')
    return supports


def evenly_chosen(supports: Sequence[Drawn], largest_count: int) -> tuple[Drawn, ...]:
    """At most ``largest_count`` slices of each segment, evenly spread over those that are drawn, the ends left out."""
    chosen: list[Drawn] = []
    for segment_id in dict.fromkeys(support.segment_id for support in supports):
        own = [support for support in supports if support.segment_id == segment_id]
        count = min(len(own), largest_count)
        chosen += [own[int((index + 0.5) * len(own) / count)] for index in range(count)]
    return tuple(chosen)


def existing_segments(segmentation_node: object, segment_ids: Iterable[str] | None = None) -> list[str]:
    """IDs of those of ``segment_ids`` that exist, in the segmentation's order; of all but scribbles when None."""
    segmentation = segmentation_node.GetSegmentation()
    ids = [segmentation.GetNthSegmentID(index) for index in range(segmentation.GetNumberOfSegments())]
    if segment_ids is None:
        return [segment_id for segment_id in ids if not segment_tag(segmentation.GetSegment(segment_id), SCRIBBLE_TAG)]
    return [segment_id for segment_id in ids if segment_id in set(segment_ids)]


def segment_tag(segment: object, name: str) -> str:
    """Value of a segment's tag; empty without it."""
    value = reference("")
    return str(value) if segment.GetTag(name, value) else ""


def _supports(marks: Mapping[str, Marks], slices: SliceGeometry) -> tuple[Drawn, ...]:
    return tuple(
        Drawn(
            segment_id,
            slice_index,
            mask.whole(slices.slice_shape),
            CORRECTED if slice_index in mark.corrected else DRAWN,
            slices.volume.node_id,
        )
        for segment_id, mark in marks.items()
        for slice_index, mask in mark.drawn.items()
    )


def _rows(marks: Mapping[str, Marks], names: Mapping[str, str]) -> tuple[DrawnRow, ...]:
    segments: dict[tuple[int, str], list[str]] = {}
    for segment_id, mark in marks.items():
        for s in mark.drawn:
            segments.setdefault((s, CORRECTED if s in mark.corrected else DRAWN), []).append(segment_id)
        for s in mark.kept_empty:
            segments.setdefault((s, KEPT_EMPTY), []).append(segment_id)
    return tuple(
        DrawnRow(s, tuple(ids), tuple(names[segment_id] for segment_id in ids), state)
        for (s, state), ids in sorted(segments.items())
    )


def _all_marks(history: list[Moment], crop: Crop) -> tuple[Marks, Marks, Marks]:
    first, second, third = (read_marks(history, crop, axis) for axis in range(3))
    return first, second, third


def _marks_in_plane(history: list[Moment], crop: Crop, axis: int) -> list[Marks]:
    """Marks to remember with a result: what was drawn was drawn in one plane, and crosses the slices of the others."""
    known = reference_moment(history, crop, axis).marks
    return [read_marks(history, crop, axis) if other == axis else known[other] for other in range(3)]


def _after_result(crop: Crop, marks: Sequence[Marks], axis: int) -> Moment:
    """What a segment holds after a result: across the plane it may have changed what was drawn there earlier."""
    moment = _moment(crop, marks, has_result=True)
    kept = [
        own if other == axis else _still_there(own, now)
        for other, (own, now) in enumerate(zip(moment.marks, moment.digests, strict=True))
    ]
    return replace(moment, marks=(kept[0], kept[1], kept[2]))


def _still_there(marks: Marks, now: Mapping[int, str]) -> Marks:
    drawn = {s: mask for s, mask in marks.drawn.items() if now.get(s) == digest(mask)}
    return Marks(drawn, marks.corrected & drawn.keys(), marks.kept_empty - now.keys())


def _moment(crop: Crop, marks: Sequence[Marks], has_result: bool) -> Moment:
    first, second, third = (digests(crop, axis) for axis in range(3))
    return Moment((first, second, third), (marks[0], marks[1], marks[2]), has_result)


def _without(marks: Marks, slice_index: int) -> Marks:
    drawn = {s: mask for s, mask in marks.drawn.items() if s != slice_index}
    return Marks(drawn, marks.corrected - {slice_index}, marks.kept_empty - {slice_index})
