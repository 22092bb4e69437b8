"""Scribbles: what is painted, with the Segment Editor's brush, into helper segments beside the segment.

A helper segment lies in the same segmentation, so that painting, erasing and Undo work as everywhere; tags say whose
helper it is and that it is neither a result nor a drawn slice.
"""

from __future__ import annotations

from typing import Any

from MomentumSegLib.drawn_slices import SCRIBBLE_TAG, segment_tag
from MomentumSegLib.errors import UserError
from MomentumSegLib.segment_voxels import Crop, read_segment
from MomentumSegLib.translation import tr as _
from MomentumSegLib.volume_data import VolumeGeometry

_OWNER_TAG = "MomentumSeg.ScribbleOf"
_INSIDE, _OUTSIDE = "inside", "outside"
_COLORS = {_INSIDE: (0.20, 0.85, 0.30), _OUTSIDE: (0.95, 0.25, 0.20)}


def scribble_segment(segmentation_node: Any, segment_id: str, *, inside: bool) -> str:
    """ID of the helper segment for scribbles inside or outside of a segment; made when there is none."""
    segmentation, kind = segmentation_node.GetSegmentation(), _INSIDE if inside else _OUTSIDE
    for helper in _helpers(segmentation, segment_id):
        if segment_tag(segmentation.GetSegment(helper), SCRIBBLE_TAG) == kind:
            return helper
    name = _("{segment}: scribble inside") if inside else _("{segment}: scribble outside")
    name = name.format(segment=segmentation.GetSegment(segment_id).GetName())
    helper = segmentation.AddEmptySegment("", name, _COLORS[kind])
    segment = segmentation.GetSegment(helper)
    segment.SetTag(SCRIBBLE_TAG, kind)
    segment.SetTag(_OWNER_TAG, segment_id)
    return str(helper)


def owner_of(segmentation_node: Any, segment_id: str) -> str:
    """The segment that a scribble's segment helps; the segment itself when it is no scribble."""
    segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
    if segment is None or not segment_tag(segment, SCRIBBLE_TAG):
        return segment_id
    return segment_tag(segment, _OWNER_TAG)


def is_inside(segmentation_node: Any, segment_id: str) -> bool:
    """Whether a segment holds scribbles inside of another one."""
    segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
    return segment is not None and segment_tag(segment, SCRIBBLE_TAG) == _INSIDE


def read_scribbles(segmentation_node: Any, segment_id: str, volume: VolumeGeometry) -> list[tuple[bool, Crop]]:
    """Painted voxels of a segment's scribbles, each with whether they are inside."""
    segmentation, found = segmentation_node.GetSegmentation(), []
    for helper in _helpers(segmentation, segment_id):
        try:
            crop = read_segment(segmentation_node, helper, volume)
        except UserError:
            continue  # outside of the volume: painted on another one
        if crop.voxels.size:
            found.append((is_inside(segmentation_node, helper), crop))
    return found


def remove_scribbles(segmentation_node: Any, segment_id: str) -> None:
    """Take a segment's scribbles out of its segmentation."""
    for helper in _helpers(segmentation_node.GetSegmentation(), segment_id):
        segmentation_node.GetSegmentation().RemoveSegment(helper)


def _helpers(segmentation: Any, segment_id: str) -> list[str]:
    ids = [segmentation.GetNthSegmentID(index) for index in range(segmentation.GetNumberOfSegments())]
    return [
        helper
        for helper in ids
        if segment_tag(segmentation.GetSegment(helper), SCRIBBLE_TAG)
        and segment_tag(segmentation.GetSegment(helper), _OWNER_TAG) == segment_id
    ]
