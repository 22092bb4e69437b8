"""Slices of a running segmentation as they arrive: a segmentation of its own that vanishes at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import slicer

from MomentumSegLib.segment_voxels import set_oriented_image
from MomentumSegLib.slice_geometry import SliceGeometry, nodes_of_class

_ROLE = "MomentumSeg.Preview"
# Voxels that the stored box grows beyond what it must hold, so that it is not copied for every slice.
_MARGIN = 16


class PreviewTarget(Protocol):
    """The segment that a label will be written to; ``segment_id`` may be empty when it does not exist yet."""

    segment_id: str
    name: str
    color: tuple[float, float, float]


class ResultPreview:
    """Shows the slices of one run in the colours of the segments that they will become.

    The node is hidden from menus and not saved. Nothing happens once it is gone.

    Args:
        scene: the MRML scene.
        segmentation_node: the output segmentation; its display is copied.
        slices: of the volume that is segmented.
        targets: segment of each label number.
    """

    def __init__(
        self, scene: object, segmentation_node: object, slices: SliceGeometry, targets: Mapping[int, PreviewTarget]
    ) -> None:
        self._scene = scene
        self._slices = slices
        self._origin = np.zeros(3, dtype=int)
        self._labels = np.zeros((0, 0, 0), dtype=np.uint8)
        self._image: object | None = None
        self._targets = {label: (target.name, tuple(target.color)) for label, target in targets.items()}
        node = _hidden_node(scene, f"{segmentation_node.GetName()} preview")
        _copy_display(segmentation_node, node)
        self.node_id: str = node.GetID()

    @property
    def node(self) -> object | None:
        """The preview's node, or None when it is gone."""
        return self._scene.GetNodeByID(self.node_id) if self.node_id else None

    def show_slice(self, slice_index: int, origin: tuple[int, int] = (0, 0), labels: np.ndarray | None = None) -> None:
        """Show the labels of one slice, instead of what was shown there.

        Args:
            slice_index: along the volume's slice axis.
            origin: (row, column) of the first pixel of ``labels`` in the slice.
            labels: (rows, columns) label numbers; None: nothing was found on this slice.
        """
        node = self.node
        if node is None:
            return
        axis = self._slices.axis
        at = slice_index - self._origin[axis]
        was_there = 0 <= at < self._labels.shape[axis]
        if was_there:
            np.moveaxis(self._labels, axis, 0)[at] = 0
        if labels is not None and labels.size:
            first = np.insert(np.array(origin), axis, slice_index)
            size = np.insert(np.array(labels.shape), axis, 1)
            self._make_room(first, first + size)
            begin = first - self._origin
            part = tuple(slice(b, b + n) for b, n in zip(begin, size, strict=True))
            self._labels[part] = np.expand_dims(labels, axis)
        elif not was_there:
            return
        self._show(node)

    def remove(self) -> None:
        """Take the preview out of the scene."""
        node, self.node_id = self.node, ""
        if node is not None:
            _remove_with_display(self._scene, node)
        self._image = None
        self._labels = np.zeros((0, 0, 0), dtype=np.uint8)

    def _make_room(self, first: np.ndarray, end: np.ndarray) -> None:
        """Have the stored box hold voxels from ``first`` to before ``end`` (k, j, i)."""
        if self._labels.size:
            low, high = self._origin, self._origin + self._labels.shape
            if (first >= low).all() and (end <= high).all():
                return
            first, end = np.minimum(first, low), np.maximum(end, high)
        first = np.maximum(first - _MARGIN, 0)
        end = np.minimum(end + _MARGIN, self._slices.volume.shape)
        grown = np.zeros(end - first, dtype=np.uint8)
        begin = self._origin - first
        if self._labels.size:
            old = tuple(slice(b, b + n) for b, n in zip(begin, self._labels.shape, strict=True))
            grown[old] = self._labels
        self._origin = first
        is_new = self._image is None
        self._image = slicer.vtkOrientedImageData() if is_new else self._image
        k, j, i = first.tolist()
        self._labels = set_oriented_image(self._image, grown, (k, j, i), self._slices.volume.ijk_to_ras)
        if is_new:
            self._add_segments()

    def _add_segments(self) -> None:
        """One segment a label, all of them in the same image."""
        name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
        segmentation = self.node.GetSegmentation()
        for label, (title, color) in self._targets.items():
            segment = slicer.vtkSegment()
            segment.SetName(title)
            segment.SetColor(*color)
            segment.SetLabelValue(int(label))
            segment.AddRepresentation(name, self._image)
            segmentation.AddSegment(segment, f"label{label}")

    def _show(self, node: object) -> None:
        """Tell the views that the voxels changed."""
        if self._image is not None:
            self._image.GetPointData().GetScalars().Modified()
            self._image.Modified()
            node.GetSegmentation().GetNthSegment(0).Modified()


def remove_leftover_previews(scene: object) -> None:
    """Take previews out of a scene that a crashed or reloaded module left there."""
    for node in nodes_of_class(scene, "vtkMRMLSegmentationNode"):
        if node.GetAttribute(_ROLE):
            _remove_with_display(scene, node)


def _hidden_node(scene: object, name: str) -> object:
    node = scene.CreateNodeByClass("vtkMRMLSegmentationNode")
    node.UnRegister(None)
    node.SetName(name)
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    node.SetAttribute(_ROLE, "1")
    node = scene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetSaveWithScene(False)
    return node


def _copy_display(source: object, target: object) -> None:
    display = source.GetDisplayNode()
    if display is not None:
        target.GetDisplayNode().SetOpacity2DFill(display.GetOpacity2DFill())
        target.GetDisplayNode().SetOpacity2DOutline(display.GetOpacity2DOutline())
    target.GetDisplayNode().SetVisibility3D(False)


def _remove_with_display(scene: object, node: object) -> None:
    display_nodes = [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
    scene.RemoveNode(node)
    for display in filter(None, display_nodes):
        if display.GetScene() is scene:
            scene.RemoveNode(display)
