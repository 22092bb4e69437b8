"""Scalar volumes that show arrays of the worker: made once, updated in place, in the place of a volume's voxels."""

from __future__ import annotations

import numpy as np
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.util.vtkConstants import VTK_FLOAT
from vtkmodules.vtkCommonDataModel import vtkImageData

from MomentumSegLib.slice_geometry import nodes_of_class
from MomentumSegLib.volume_data import VolumeGeometry, linear_transform_to_world, vtk_matrix


def find_overlay(scene: object, role: str, source_node_id: str | None = None) -> object | None:
    """The volume node with an attribute ``role``; of one source volume, when given."""
    for node in nodes_of_class(scene, "vtkMRMLScalarVolumeNode"):
        if node.GetAttribute(role) is None:
            continue
        # The reference follows the volume when scenes are merged; the attribute still knows a volume that was deleted.
        if source_node_id in (None, node.GetNodeReferenceID(role) or node.GetAttribute(role)):
            return node
    return None


def new_overlay(scene: object, role: str, name: str, source: VolumeGeometry) -> object:
    """New, empty scalar volume node of a source volume, found again by `find_overlay`."""
    node = scene.CreateNodeByClass("vtkMRMLScalarVolumeNode")
    node.UnRegister(None)
    node.SetName(scene.GenerateUniqueName(name))
    node.SetAttribute(role, source.node_id)
    node = scene.AddNode(node)
    node.SetNodeReferenceID(role, source.node_id)
    node.CreateDefaultDisplayNodes()
    # Else its histogram is computed, for most of a second, each time that the voxels change.
    node.GetScalarVolumeDisplayNode().SetAutoWindowLevel(False)
    node.GetScalarVolumeDisplayNode().SetAutoThreshold(False)
    return node


def set_overlay_voxels(node: object, voxels: np.ndarray, origin: tuple[int, int, int], source: VolumeGeometry) -> None:
    """Show (K, J, I) float32 voxels whose first is voxel (k, j, i) ``origin`` of a source volume.

    The node goes under the source's transform, so that it moves with it.
    """
    image = new_image(voxels.shape)
    voxels_of(image)[...] = voxels
    set_overlay_image(node, image, origin, source)


def set_overlay_image(node: object, image: vtkImageData, origin: tuple[int, int, int], source: VolumeGeometry) -> None:
    """Show an image whose first voxel is voxel (k, j, i) ``origin`` of a source volume; see `set_overlay_voxels`."""
    scene = node.GetScene()
    source_node = scene.GetNodeByID(source.node_id)
    node.SetAndObserveTransformNodeID(source_node.GetTransformNodeID() if source_node is not None else None)
    shift = np.eye(4)
    shift[:3, 3] = origin[::-1]
    local = np.linalg.solve(linear_transform_to_world(node), source.ijk_to_ras) @ shift
    was_modifying = node.StartModify()
    node.SetIJKToRASMatrix(vtk_matrix(local))
    shown = node.GetImageData()
    if shown is None:
        node.SetAndObserveImageData(image)
    else:  # the views go on with the image that they know; its voxels are taken over without a copy
        shown.ShallowCopy(image)
        shown.Modified()
    node.EndModify(was_modifying)


def new_image(shape: tuple[int, int, int]) -> vtkImageData:
    """A float32 image of (K, J, I) voxels, whose values are still to be set."""
    image = vtkImageData()
    image.SetDimensions(*shape[::-1])
    image.AllocateScalars(VTK_FLOAT, 1)
    return image


def voxels_of(image: vtkImageData) -> np.ndarray:
    """(K, J, I) view of an image's memory: a large overlay is copied once."""
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
