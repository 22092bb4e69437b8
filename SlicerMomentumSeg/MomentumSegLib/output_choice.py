"""The segmentation that is drawn in: found or created for the chosen volume, and observed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer

from MomentumSegLib.drawn_slices import segment_tag
from MomentumSegLib.segmentation_output import create_output_segmentation
from MomentumSegLib.slice_geometry import nodes_of_class
from MomentumSegLib.translation import tr as _

# Marks the segment that a new segmentation begins with, by the name that it was given.
_FIRST_SEGMENT_TAG = "MomentumSeg.FirstSegment"


class OutputChoice:
    """Gives each volume its segmentation, so that the user can draw at once.

    Args:
        scene: the MRML scene.
        on_changed: called when the observed segmentation changes.
    """

    def __init__(self, scene: Any, *, on_changed: Callable[[], None]) -> None:
        self._scene = scene
        self._on_changed = on_changed
        self._observed: Any = None
        self._tags: list[int] = []
        self._created: set[str] = set()

    def segmentation_for(self, volume_node: Any) -> Any:
        """Return the segmentation that was made for a volume, else a new one with a first, empty segment.

        One that was created here for another volume and never used goes.
        """
        self._remove_unused(volume_node)
        for node in nodes_of_class(self._scene, "vtkMRMLSegmentationNode"):
            if not node.GetHideFromEditors() and _volume_of(node) is volume_node:
                return node
        node = create_output_segmentation(self._scene, volume_node)
        name = _("Structure 1")
        segment_id = node.GetSegmentation().AddEmptySegment("", name)
        node.GetSegmentation().GetSegment(segment_id).SetTag(_FIRST_SEGMENT_TAG, name)
        self._created.add(node.GetID())
        return node

    def belongs_to_another(self, segmentation_node: Any, volume_node: Any) -> bool:
        """Whether a segmentation was made for another volume of the scene."""
        owner = _volume_of(segmentation_node)
        return owner is not None and owner is not volume_node

    def observe(self, segmentation_node: Any) -> None:
        """Observe this segmentation instead of the one before; None: none."""
        if segmentation_node is self._observed:
            return
        self.stop()
        self._observed = segmentation_node
        if segmentation_node is None:
            return
        events = slicer.vtkSegmentation
        for event in (
            events.SourceRepresentationModified,
            events.SegmentAdded,
            events.SegmentRemoved,
            events.SegmentModified,
        ):
            self._tags.append(segmentation_node.AddObserver(event, self._changed))

    def stop(self) -> None:
        for tag in self._tags:
            self._observed.RemoveObserver(tag)
        self._tags = []
        self._observed = None

    def _changed(self, caller: Any, event: str) -> None:
        self._on_changed()

    def _remove_unused(self, volume_node: Any) -> None:
        for node_id in list(self._created):
            node = self._scene.GetNodeByID(node_id)
            if node is None or not _is_untouched(node):
                self._created.discard(node_id)
            elif _volume_of(node) is not volume_node:
                self._created.discard(node_id)
                self._scene.RemoveNode(node)


def _volume_of(segmentation_node: Any) -> Any:
    return segmentation_node.GetNodeReference(segmentation_node.GetReferenceImageGeometryReferenceRole())


def is_unused(segment: Any) -> bool:
    """Whether a segment still is as it was made here, with a new segmentation: neither drawn in nor renamed."""
    return segment_tag(segment, _FIRST_SEGMENT_TAG) == segment.GetName() and _is_empty(segment)


def _is_untouched(segmentation_node: Any) -> bool:
    """Whether it still is as it was created: one segment without voxels."""
    segmentation = segmentation_node.GetSegmentation()
    if segmentation.GetNumberOfSegments() != 1:
        return segmentation.GetNumberOfSegments() == 0
    return _is_empty(segmentation.GetNthSegment(0))


def _is_empty(segment: Any) -> bool:
    bounds = [0.0] * 6
    segment.GetBounds(bounds)
    return bounds[0] > bounds[1]
