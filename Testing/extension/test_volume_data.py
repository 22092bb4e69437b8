"""A volume node as an array: exact voxels, world geometry, what is refused, and when it has to be sent again."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from a_scene import add_volume, new_scene
from bridge import add_linear_transform, oblique, rotation
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonDataModel import vtkImageData

from MomentumSegLib.errors import UserError
from MomentumSegLib.volume_data import (
    copy_in_pieces,
    read_volume_node,
    volume_fingerprint,
    volume_is_unchanged,
    vtk_matrix,
)


@pytest.fixture
def a_scene():
    scene, logics = new_scene()
    yield scene
    scene.Clear(True)


def _voxels(dtype: type = np.int16) -> np.ndarray:
    return np.arange(5 * 4 * 3).reshape(5, 4, 3).astype(dtype)


def _shown(node: object) -> np.ndarray:
    return vtk_to_numpy(node.GetImageData().GetPointData().GetScalars())


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_voxels_are_an_exact_copy_in_the_nodes_type(a_scene, dtype) -> None:
    node = add_volume(a_scene, _voxels(dtype), oblique(), "CT")
    volume = read_volume_node(node)
    assert volume.voxels.dtype == dtype
    assert np.array_equal(volume.voxels, _voxels(dtype))
    assert (volume.name, volume.node_id, volume.shape, volume.warnings) == ("CT", node.GetID(), (5, 4, 3), ())
    _shown(node)[:] = 0
    assert np.array_equal(volume.voxels, _voxels(dtype))


def test_geometry_is_that_of_the_world_with_nested_parent_transforms(a_scene) -> None:
    node = add_volume(a_scene, _voxels(), oblique())
    inner, outer = rotation(30), rotation(-50, (0, 1, 0))
    inner[:3, 3] = 5, 6, 7
    inner_node, outer_node = add_linear_transform(a_scene, inner), add_linear_transform(a_scene, outer)
    inner_node.SetAndObserveTransformNodeID(outer_node.GetID())
    node.SetAndObserveTransformNodeID(inner_node.GetID())
    assert np.allclose(read_volume_node(node).ijk_to_ras, outer @ inner @ oblique(), atol=1e-12)


def test_a_non_linear_transform_is_refused_with_what_to_do(a_scene) -> None:
    node = add_volume(a_scene, _voxels(), np.eye(4), "MR")
    warp = a_scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "warp")
    node.SetAndObserveTransformNodeID(warp.GetID())
    with pytest.raises(UserError, match='"MR" is under the non-linear transform "warp": harden'):
        read_volume_node(node)


def test_no_volume_and_no_image_are_refused(a_scene) -> None:
    with pytest.raises(UserError, match="No volume is chosen"):
        read_volume_node(None)
    with pytest.raises(UserError, match="No volume is chosen"):
        read_volume_node(a_scene.AddNewNodeByClass("vtkMRMLModelNode"))
    empty = a_scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "hollow")
    with pytest.raises(UserError, match='"hollow" holds no image'):
        read_volume_node(empty)
    empty.SetAndObserveImageData(vtkImageData())
    with pytest.raises(UserError, match='"hollow" holds no image'):
        read_volume_node(empty)


def _add_vector_volume(scene: object, components: int, dtype: type) -> tuple[object, np.ndarray]:
    voxels = np.arange(5 * 4 * 3 * components).reshape(5, 4, 3, components).astype(dtype)
    image = vtkImageData()
    image.SetDimensions(3, 4, 5)
    image.GetPointData().SetScalars(numpy_to_vtk(voxels.reshape(-1, components), deep=True))
    node = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "vectors")
    node.SetAndObserveImageData(image)
    return node, voxels


def test_colour_images_are_refused_and_other_components_use_the_first(a_scene) -> None:
    photo, _ = _add_vector_volume(a_scene, 3, np.uint8)
    with pytest.raises(UserError, match="Vector to Scalar Volume"):
        read_volume_node(photo)
    flow, voxels = _add_vector_volume(a_scene, 3, np.float32)
    volume = read_volume_node(flow)
    assert np.array_equal(volume.voxels, voxels[..., 0])
    assert volume.warnings == ('The volume "vectors" has 3 components: the first is used.',)
    flow.SetVoxelVectorType(slicer.vtkMRMLVolumeNode.VoxelVectorTypeColorRGB)
    with pytest.raises(UserError, match="is a colour image"):
        read_volume_node(flow)


def test_one_slice_is_a_volume(a_scene) -> None:
    node = add_volume(a_scene, _voxels()[:1], oblique())
    assert np.array_equal(read_volume_node(node).voxels, _voxels()[:1])


def test_fingerprint_changes_with_voxels_geometry_and_transform_only(a_scene) -> None:
    node = add_volume(a_scene, _voxels(), oblique())
    fingerprint = read_volume_node(node).fingerprint
    node.SetName("renamed")
    node.Modified()
    assert volume_is_unchanged(node, fingerprint)
    _shown(node)[3] = 99
    node.GetImageData().GetPointData().GetScalars().Modified()
    assert not volume_is_unchanged(node, fingerprint)
    fingerprint = volume_fingerprint(node)
    node.SetSpacing(1, 1, 3)
    assert not volume_is_unchanged(node, fingerprint)
    fingerprint = volume_fingerprint(node)
    transform = add_linear_transform(a_scene, np.eye(4))
    node.SetAndObserveTransformNodeID(transform.GetID())
    assert volume_is_unchanged(node, fingerprint)
    transform.SetMatrixTransformToParent(vtk_matrix(rotation(1)))
    assert not volume_is_unchanged(node, fingerprint)


def test_a_deleted_volume_is_not_unchanged(a_scene) -> None:
    node = add_volume(a_scene, _voxels(), oblique())
    fingerprint = volume_fingerprint(node)
    a_scene.RemoveNode(node)
    assert not volume_is_unchanged(node, fingerprint)
    assert not volume_is_unchanged(None, fingerprint)


def test_copying_in_pieces_starts_again_when_voxels_change_meanwhile(a_scene, monkeypatch) -> None:
    monkeypatch.setitem(copy_in_pieces.__globals__, "_PIECE", 1)  # by name it would be a reloaded module's
    node = add_volume(a_scene, _voxels(), oblique())
    steps = copy_in_pieces(node)
    assert [next(steps), next(steps)] == [None, None]
    _shown(node)[:] = 7
    node.GetImageData().GetPointData().GetScalars().Modified()
    *nothing, volume = steps
    assert set(nothing) == {None}
    assert (volume.voxels == 7).all()


def test_copying_in_pieces_says_when_the_volume_vanishes(a_scene, monkeypatch) -> None:
    monkeypatch.setitem(copy_in_pieces.__globals__, "_PIECE", 1)
    node = add_volume(a_scene, _voxels(), oblique())
    steps = copy_in_pieces(node)
    next(steps)
    a_scene.RemoveNode(node)
    with pytest.raises(UserError, match='"scan" was deleted'):
        list(steps)
