"""Masks from prompts into the segment: in one undo step, and beside what the segment held before.

What a segment held before the first accepted mask is its base. As long as nobody else changes the segment, a later mask
of the same prompts replaces the earlier one, on top of that base; so another click corrects a mask, while nothing that
was drawn otherwise is lost. When the mask is refined, the answer replaces what is on its slice.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from MomentumSegLib.drawn_slices import segment_tag
from MomentumSegLib.errors import UserError
from MomentumSegLib.interfaces import UndoStack
from MomentumSegLib.prompt_reading import slice_masks
from MomentumSegLib.prompt_request import LABEL, PromptRequest
from MomentumSegLib.segment_voxels import Crop, read_segment
from MomentumSegLib.segmentation_output import Region, Result, Written, update_surface, write_result
from MomentumSegLib.slice_geometry import SliceGeometry
from MomentumSegLib.translation import tr as _

# A segment's tag: which prompts are in it already, as JSON {slice: key}. Tags travel through Undo, saving and loading.
_ACCEPTED_TAG = "MomentumSeg.AcceptedPrompts"
# Undo goes back so many states.
_REMEMBERED = 11

OnFollowed = Callable[[PromptRequest, SliceGeometry, Written], None]


@dataclass(eq=False)
class _Base:
    """What a segment held before, and the contents that came of it."""

    content: Crop
    followers: deque[Crop] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def is_of(self, content: Crop) -> bool:
        return any(_is_same(content, known) for known in (self.content, *self.followers))


class PromptWriter:
    """Writes accepted masks and followed segments.

    Args:
        scene: the MRML scene.
        undo: keeps the undo state before a change; None: nothing to undo.
        editor_node: returns the segment editor node whose masking and overwrite mode are obeyed, or None.
        on_followed: called after a followed segment was written: it is a result, while an accepted mask is as drawn.
    """

    def __init__(
        self,
        scene: Any,
        undo: UndoStack | None,
        editor_node: Callable[[], Any],
        on_followed: OnFollowed | None = None,
    ) -> None:
        self._scene = scene
        self._undo = undo
        self._editor_node = editor_node
        self._on_followed = on_followed
        self._bases: dict[tuple[str, ...], _Base] = {}

    def forget(self) -> None:
        """The scene closes."""
        self._bases.clear()

    def base(self, request: PromptRequest, slices: SliceGeometry) -> Crop:
        """What the segment held before masks were accepted that nobody changed since. Raises `UserError`."""
        node = self._segmentation(request)
        content = read_segment(node, request.segment_id, slices.volume)
        key = (request.volume_id, request.segmentation_id, request.segment_id)
        known = self._bases.get(key)
        if known is None or not known.is_of(content):
            self._bases[key] = known = _Base(content)
        return known.content

    def write_slices(
        self, request: PromptRequest, slices: SliceGeometry, masks: Mapping[int, np.ndarray], keys: Mapping[int, str]
    ) -> Written:
        """Write the masks of some slices, each (rows, columns) of the whole slice. Raises `UserError`.

        Args:
            request: whose segment is written.
            slices: of the volume.
            masks: by slice.
            keys: of the prompts that the masks came of, by slice.
        """
        base = self.base(request, slices)
        first, last = min(masks), max(masks)
        planes = np.zeros((last - first + 1, *slices.slice_shape), dtype=np.uint8)
        kept = {} if request.refine else _planes(base, slices, masks)
        for index, mask in masks.items():
            planes[index - first] = mask | kept[index] if index in kept else mask
        between = [index for index in range(first, last + 1) if index not in masks]
        origin, region = [0, 0, 0], [(0, count) for count in slices.volume.shape]
        origin[slices.axis], region[slices.axis] = first, (first, last + 1)
        return self._write(
            request,
            slices,
            Crop(np.ascontiguousarray(np.moveaxis(planes, 0, slices.axis)), (origin[0], origin[1], origin[2])),
            (region[0], region[1], region[2]),
            between,
            {**self.accepted(request), **keys},
        )

    def write_followed(
        self, request: PromptRequest, slices: SliceGeometry, found: Crop, keys: Mapping[int, str]
    ) -> Written:
        """Write a segment that was followed through the volume. Raises `UserError`."""
        base = self.base(request, slices)
        region: Region | None = None
        if request.refine and found.voxels.size:
            ends = [(0, count) for count in slices.volume.shape]
            ends[slices.axis] = (found.origin[slices.axis], found.end[slices.axis])
            region = (ends[0], ends[1], ends[2])
        elif base.voxels.size:
            found = _union(base, found)
        written = self._write(request, slices, found, region, (), dict(keys))
        if self._on_followed is not None:
            self._on_followed(request, slices, written)
        return written

    def accepted(self, request: PromptRequest) -> dict[int, str]:
        """Keys of the prompts whose masks are in the segment, by slice."""
        node = self._scene.GetNodeByID(request.segmentation_id)
        segment = node.GetSegmentation().GetSegment(request.segment_id) if node is not None else None
        written = segment_tag(segment, _ACCEPTED_TAG) if segment is not None else ""
        return {int(index): str(key) for index, key in json.loads(written or "{}").get(request.plane, {}).items()}

    def finish_surface(self, segmentation_id: str) -> None:
        """Bring the 3D surface up to date where it is shown."""
        node = self._scene.GetNodeByID(segmentation_id)
        if node is not None:
            update_surface(node)

    def _write(
        self,
        request: PromptRequest,
        slices: SliceGeometry,
        found: Crop,
        region: Region | None,
        untouched: Any,
        accepted: Mapping[int, str],
    ) -> Written:
        node = self._segmentation(request)
        segment = node.GetSegmentation().GetSegment(request.segment_id)
        result = Result(
            labelmap=found.voxels if found.voxels.size else np.zeros((1, 1, 1), dtype=np.uint8),
            origin=found.origin,
            segments={LABEL: request.segment_id},
            slice_axis=slices.axis,
            names={request.segment_id: segment.GetName()},
            region=region,
            untouched={request.segment_id: untouched},
        )
        written = write_result(
            node,
            slices.volume,
            result,
            editor_node=self._editor_node(),
            volume_node=self._scene.GetNodeByID(request.volume_id),
            save_state=self._undo.saveStateForUndo if self._undo is not None else None,
        )
        self._remember(request, written)
        plane = {request.plane: {str(index): key for index, key in accepted.items()}}
        others = json.loads(segment_tag(segment, _ACCEPTED_TAG) or "{}")
        segment.SetTag(_ACCEPTED_TAG, json.dumps({**others, **plane}, sort_keys=True))
        return written

    def _remember(self, request: PromptRequest, written: Written) -> None:
        base = self._bases[(request.volume_id, request.segmentation_id, request.segment_id)]
        base.followers.append(written.after[request.segment_id])

    def _segmentation(self, request: PromptRequest) -> Any:
        node = self._scene.GetNodeByID(request.segmentation_id)
        if node is None:
            raise UserError(_("The output segmentation is not in the scene any more: choose or create another."))
        if node.GetSegmentation().GetSegment(request.segment_id) is None:
            raise UserError(_("The segment was deleted meanwhile: choose or add another."))
        return node


def _planes(crop: Crop, slices: SliceGeometry, wanted: Mapping[int, Any]) -> dict[int, np.ndarray]:
    return {index: mask for index, mask in slice_masks(crop, slices).items() if index in wanted}


def _union(first: Crop, second: Crop) -> Crop:
    if not second.voxels.size:
        return first
    k, j, i = np.minimum(first.origin, second.origin).tolist()
    end_k, end_j, end_i = np.maximum(first.end, second.end).tolist()
    origin, end = (k, j, i), (end_k, end_j, end_i)
    return Crop(first.window(origin, end) | second.window(origin, end), origin)


def _is_same(first: Crop, second: Crop) -> bool:
    if not first.voxels.size or not second.voxels.size:
        return first.voxels.size == second.voxels.size
    return first.origin == second.origin and np.array_equal(first.voxels, second.voxels)
