"""Slices of a running segmentation as they arrive: a segmentation of its own that vanishes at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import slicer

from MomentumSegLib.segment_voxels import share_with_image
from MomentumSegLib.slice_geometry import SliceGeometry, nodes_of_class

_ROLE = "MomentumSeg.Preview"


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
        # Zeros that nothing writes to cost no memory: the whole volume can have its voxels.
        self._labels = np.zeros(slices.volume.shape, dtype=np.uint8)
        self._image = slicer.vtkOrientedImageData()
        share_with_image(self._image, self._labels, slices.volume.ijk_to_ras)
        node = _hidden_node(scene, f"{segmentation_node.GetName()} preview")
        _copy_display(segmentation_node, node)
        self.node_id: str = node.GetID()
        self._add_segments(node.GetSegmentation(), targets)

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
        pixels = np.moveaxis(self._labels, self._slices.axis, 0)[slice_index]
        pixels[...] = 0
        if labels is not None:
            (row, column), (rows, columns) = origin, labels.shape
            pixels[row : row + rows, column : column + columns] = labels
        self._image.GetPointData().GetScalars().Modified()
        self._image.Modified()
        if node.GetSegmentation().GetNumberOfSegments():
            node.GetSegmentation().GetNthSegment(0).Modified()

    def remove(self) -> None:
        """Take the preview out of the scene."""
        node, self.node_id = self.node, ""
        if node is not None:
            _remove_with_display(self._scene, node)

    def _add_segments(self, segmentation: object, targets: Mapping[int, PreviewTarget]) -> None:
        """One segment a label, all of them in the same image."""
        name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
        for label, target in targets.items():
            segment = slicer.vtkSegment()
            segment.SetName(target.name)
            segment.SetColor(*target.color)
            segment.SetLabelValue(int(label))
            segment.AddRepresentation(name, self._image)
            segmentation.AddSegment(segment, f"label{label}")


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
