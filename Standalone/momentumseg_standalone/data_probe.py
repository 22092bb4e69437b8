"""What lies under the mouse: position, voxel and segments, in one line."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtWidgets

_LETTERS = (("R", "L"), ("A", "P"), ("S", "I"))


class DataProbe(QtWidgets.QLabel):
    """Follows the scene's crosshair node, into which the slice views write where the mouse is.

    Args:
        scene: vtkMRMLScene.
        application_logic: gives the logic of the slice view under the mouse.
    """

    def __init__(self, scene: Any, application_logic: Any) -> None:
        super().__init__()
        self.setObjectName("DataProbe")
        self.setAccessibleName("Position and voxel under the mouse")
        self._scene, self._application_logic = scene, application_logic
        self._crosshair = scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        if self._crosshair is None:
            self._crosshair = scene.AddNewNodeByClass("vtkMRMLCrosshairNode")
        self._tag = self._crosshair.AddObserver(self._crosshair.CursorPositionModifiedEvent, self._moved)

    def _moved(self, *_: Any) -> None:
        ras, xyz = [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]
        slice_node = self._crosshair.GetCursorPositionXYZ(xyz)
        if slice_node is None or not self._crosshair.GetCursorPositionRAS(ras):
            self.setText("")
            return
        logic = self._application_logic.GetSliceLogic(slice_node)
        self.setText("   ".join(part for part in (_position_text(ras), *self._layers(logic, xyz)) if part))

    def _layers(self, logic: Any, xyz: list[float]) -> list[str]:
        if logic is None:
            return []
        layers = [logic.GetBackgroundLayer(), logic.GetForegroundLayer()]
        return [*(_voxel_text(layer, xyz) for layer in layers if layer and layer.GetVolumeNode()), self._segments()]

    def _segments(self) -> str:
        ras = [0.0, 0.0, 0.0]
        self._crosshair.GetCursorPositionRAS(ras)
        names: list[str] = []
        for index in range(self._scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")):
            names += _segments_at(self._scene.GetNthNodeByClass(index, "vtkMRMLSegmentationNode"), ras)
        return ", ".join(names)

    def _release(self) -> None:
        self._crosshair.RemoveObserver(self._tag)


def _position_text(ras: list[float]) -> str:
    parts = [f"{_LETTERS[axis][int(value < 0)]} {abs(value):.1f}" for axis, value in enumerate(ras)]
    return f"({', '.join(parts)}) mm"


def _voxel_text(layer: Any, xyz: list[float]) -> str:
    volume = layer.GetVolumeNode()
    image = volume.GetImageData()
    if image is None:
        return volume.GetName()
    ijk = [round(value) for value in layer.GetXYToIJKTransform().TransformDoublePoint(xyz)]
    if any(not 0 <= value < size for value, size in zip(ijk, image.GetDimensions(), strict=True)):
        return f"{volume.GetName()}: outside"
    values = [image.GetScalarComponentAsDouble(*ijk, part) for part in range(image.GetNumberOfScalarComponents())]
    return f"{volume.GetName()} [{ijk[0]}, {ijk[1]}, {ijk[2]}]: {', '.join(f'{value:g}' for value in values)}"


def _segments_at(node: Any, ras: list[float]) -> list[str]:
    """Names of the visible segments at a position (world RAS, mm)."""
    display, segmentation = node.GetDisplayNode(), node.GetSegmentation()
    if node.GetHideFromEditors() or display is None or not display.GetVisibility():
        return []
    to_segmentation = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, node.GetParentTransformNode(), to_segmentation)
    point = to_segmentation.TransformPoint(ras)
    return [
        segmentation.GetSegment(segment_id).GetName()
        for segment_id in segmentation.GetSegmentIDs()
        if display.GetSegmentVisibility(segment_id) and _contains(segmentation.GetSegment(segment_id), point)
    ]


def _contains(segment: Any, point: Any) -> bool:
    image = segment.GetRepresentation("Binary labelmap")
    if image is None or image.IsEmpty():
        return False
    to_image = vtk.vtkMatrix4x4()
    image.GetWorldToImageMatrix(to_image)
    ijk = [round(value) for value in to_image.MultiplyPoint((*point, 1.0))[:3]]
    extent = image.GetExtent()
    if any(not extent[2 * axis] <= ijk[axis] <= extent[2 * axis + 1] for axis in range(3)):
        return False
    return image.GetScalarComponentAsDouble(*ijk, 0) == segment.GetLabelValue()
