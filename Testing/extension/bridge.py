"""Helpers of the bridge's tests: a scene with a small oblique volume, and segments drawn as an editor would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from a_scene import add_volume, new_scene
from vtkmodules.vtkCommonTransforms import vtkTransform

from MomentumSegLib.segment_voxels import oriented_image, read_segment
from MomentumSegLib.segmentation_output import add_segment, create_output_segmentation
from MomentumSegLib.volume_data import VolumeData, read_volume_node, vtk_matrix

SHAPE = (9, 10, 11)


def rotation(degrees: float, axis: tuple[float, float, float] = (1.0, 2.0, 3.0)) -> np.ndarray:
    """4x4 rotation about an axis."""
    transform = vtkTransform()
    transform.RotateWXYZ(degrees, *axis)
    matrix = transform.GetMatrix()
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def oblique() -> np.ndarray:
    """(i, j, k) to RAS of a left-handed, turned, anisotropic scan."""
    scale = np.diag([-0.7, 0.9, 2.5, 1.0])
    matrix = rotation(20) @ scale
    matrix[:3, 3] = (11.0, -40.5, 7.25)
    return matrix


def right_handed() -> np.ndarray:
    """As `oblique`, with the columns the other way round, as most files have it."""
    return oblique() @ np.diag([-1.0, 1.0, 1.0, 1.0])


def add_linear_transform(scene: Any, matrix: np.ndarray, name: str = "moved") -> Any:
    """Linear transform node of a 4x4 matrix."""
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
    node.SetMatrixTransformToParent(vtk_matrix(matrix))
    return node


@dataclass
class Desk:
    """A scene with a volume, its output segmentation and a segment editor's undo, masking and overwrite mode."""

    scene: Any
    logics: list[Any]
    volume_node: Any
    volume: VolumeData
    segmentation: Any
    editor_node: Any
    editor: Any

    def add(self, name: str = "organ") -> str:
        """New segment; returns its ID."""
        return add_segment(self.segmentation, name)

    def draw(self, segment_id: str, mask: np.ndarray, axis: int | None = None, index: int = 0) -> None:
        """Have a segment hold a (K, J, I) mask, or on one slice along ``axis`` a 2D mask, in one undo step."""
        whole = mask
        if axis is not None:
            whole = self.content(segment_id)
            np.moveaxis(whole, axis, 0)[index] = mask
        self.editor.SaveStateForUndo()
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        image = oriented_image(whole, (0, 0, 0), storage_matrix(self.segmentation, self.volume))
        logic.SetBinaryLabelmapToSegment(image, self.segmentation, segment_id, logic.MODE_REPLACE)

    def content(self, segment_id: str) -> np.ndarray:
        """(K, J, I) uint8 of a segment in the volume's grid."""
        return read_segment(self.segmentation, segment_id, self.volume).window((0, 0, 0), self.volume.shape)


def storage_matrix(segmentation: Any, volume: VolumeData) -> np.ndarray:
    """(i, j, k) of a volume to a segmentation's own RAS."""
    from MomentumSegLib.volume_data import linear_transform_to_world

    return np.linalg.solve(linear_transform_to_world(segmentation), volume.ijk_to_ras)


def a_desk_of(shape: tuple[int, int, int] = SHAPE, matrix: np.ndarray | None = None, parent: Any = None) -> Desk:
    """A desk with a volume of growing numbers; ``parent`` is the 4x4 of a transform that it lies under."""
    scene, logics = new_scene()
    voxels = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    volume_node = add_volume(scene, voxels, oblique() if matrix is None else matrix)
    if parent is not None:
        volume_node.SetAndObserveTransformNodeID(add_linear_transform(scene, parent).GetID())
    segmentation = create_output_segmentation(scene, volume_node)
    editor_node = scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    editor_node.SetOverwriteMode(editor_node.OverwriteNone)
    editor = slicer.vtkSlicerSegmentEditorLogic()
    editor.SetMRMLScene(scene)
    editor.SetSegmentEditorNode(editor_node)
    editor.SetSegmentationNode(segmentation)
    editor.SetSourceVolumeNode(volume_node)
    return Desk(scene, logics, volume_node, read_volume_node(volume_node), segmentation, editor_node, editor)


def disk(shape: tuple[int, int], centre: tuple[float, float], radius: float) -> np.ndarray:
    """(rows, columns) uint8 disk."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return ((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2).astype(np.uint8)


def ball(shape: tuple[int, int, int] = SHAPE, centre: tuple[float, ...] = (4, 5, 5), radius: float = 3) -> np.ndarray:
    """(K, J, I) uint8 ball."""
    k, j, i = np.ogrid[: shape[0], : shape[1], : shape[2]]
    return ((k - centre[0]) ** 2 + (j - centre[1]) ** 2 + (i - centre[2]) ** 2 <= radius**2).astype(np.uint8)
