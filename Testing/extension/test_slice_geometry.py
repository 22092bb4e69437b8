"""Slices as the engine counts them, and slice views moved to them."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
import slicer
from a_scene import add_volume, new_scene
from bridge import oblique, rotation

from momentumseg.geometry.network_space import NetworkSpace
from MomentumSegLib.errors import UserError
from MomentumSegLib.slice_geometry import SliceGeometry, named_plane
from MomentumSegLib.volume_data import VolumeGeometry, read_volume_geometry, vtk_matrix

SHAPE = (7, 8, 9)
AXIS_ORDERS = list(product(permutations(range(3)), product((1, -1), repeat=3)))
TURNS = [np.eye(4), rotation(15), rotation(44.9, (0, 0, 1)), rotation(45, (1, 0, 0)), rotation(-70, (3, -1, 2))]


def _matrix(order: tuple[int, ...], signs: tuple[int, ...], turn: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = turn[:3, :3] @ (np.eye(3)[:, order] * signs * spacing)
    matrix[:3, 3] = 12.0, -7.5, 100.25
    return matrix


def _geometry(matrix: np.ndarray, shape: tuple[int, int, int] = SHAPE) -> VolumeGeometry:
    return VolumeGeometry("vtkMRMLScalarVolumeNode1", "scan", shape, matrix)


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal", "acquisition"])
def test_slices_are_the_engines_for_48_axis_orders_and_oblique_directions(plane) -> None:
    for (order, signs), turn in product(AXIS_ORDERS, TURNS):
        for shape, spacing in ((SHAPE, (0.7, 0.9, 2.5)), (SHAPE, (1.0, 1.0, 1.0)), ((1, 8, 9), (3.0, 1.0, 1.0))):
            matrix = _matrix(order, signs, turn, spacing)
            ours = SliceGeometry.of(_geometry(matrix, shape), plane)
            engines = NetworkSpace.of(shape, matrix, plane=plane)
            assert (ours.axis, ours.plane, ours.count) == (engines.slice_axis, engines.plane, engines.slice_count)
            assert ours.slice_shape == engines.slice_shape


def test_an_unknown_plane_is_refused() -> None:
    with pytest.raises(UserError, match='no plane "oblique"'):
        named_plane(SHAPE, np.eye(4), "oblique")


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_positions_and_indices_are_inverse(plane) -> None:
    for order, signs in AXIS_ORDERS[::5]:
        slices = SliceGeometry.of(_geometry(_matrix(order, signs, rotation(15), (0.7, 0.9, 2.5))), plane)
        assert [slices.index_at(slices.ras_of(s)) for s in range(slices.count)] == list(range(slices.count))
        assert slices.index_at(slices.ras_of(-1)) is None
        assert slices.index_at(slices.ras_of(slices.count)) is None
        inside = slices.ras_of(2, (1, 3))
        kji = np.linalg.solve(slices.volume.ijk_to_ras, (*inside, 1))[2::-1]
        assert np.allclose(kji, np.insert([1.0, 3.0], slices.axis, 2.0))


@pytest.fixture
def a_scene_with_slice_views():
    scene, logics = new_scene()
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)
    for name, orientation in (("Red", "Axial"), ("Green", "Coronal"), ("Yellow", "Sagittal")):
        node = scene.CreateNodeByClass("vtkMRMLSliceNode")
        node.UnRegister(None)
        node.SetLayoutName(name)
        node = scene.AddNode(node)
        node.SetOrientation(orientation)
        node.SetFieldOfView(100, 100, 1)
        node.SetDimensions(100, 100, 1)
    yield scene
    scene.Clear(True)


def _views(scene: object) -> list:
    return [scene.GetNthNodeByClass(index, "vtkMRMLSliceNode") for index in range(3)]


@pytest.mark.parametrize(("plane", "view"), [("axial", 0), ("coronal", 1), ("sagittal", 2)])
@pytest.mark.parametrize("degrees", [0, 10])
def test_going_to_a_slice_shows_it_in_the_view_of_its_plane(a_scene_with_slice_views, plane, view, degrees) -> None:
    matrix = _matrix((1, 2, 0), (-1, 1, -1), rotation(degrees), (0.7, 0.9, 2.5))
    node = add_volume(a_scene_with_slice_views, np.zeros(SHAPE, np.int16), matrix)
    slices = SliceGeometry.of(read_volume_geometry(node), plane)
    for s in (0, 3, slices.count - 1):
        slices.show(a_scene_with_slice_views, s)
        views = _views(a_scene_with_slice_views)
        # A view along the patient crosses turned slices, and its middle lies in another slice.
        if degrees == 0:
            assert slices.index_in_view(views[view]) == s
        position = np.array(slices.ras_of(s))
        assert np.isclose(_distance(views[view], position), 0, atol=1e-6)
    assert all(slices.index_in_view(other) is None for index, other in enumerate(views) if index != view)


def _distance(slice_node: object, ras: np.ndarray) -> float:
    matrix = slice_node.GetSliceToRAS()
    normal = np.array([matrix.GetElement(row, 2) for row in range(3)])
    origin = np.array([matrix.GetElement(row, 3) for row in range(3)])
    return float(normal @ (ras - origin))


def test_going_to_a_drawing_crosses_it_in_the_other_views(a_scene_with_slice_views) -> None:
    slices = SliceGeometry.of(_geometry(np.diag([1.0, 1.0, 2.0, 1.0])), "axial")
    mask = np.zeros(slices.slice_shape, np.uint8)
    mask[2, 5:8] = 1
    slices.show(a_scene_with_slice_views, 4, mask)
    middle = np.array([6.0, 2.0, 8.0])
    assert [_distance(view, middle) for view in _views(a_scene_with_slice_views)] == pytest.approx([0, 0, 0])
    slices.show(a_scene_with_slice_views, 2)  # where nothing is drawn, the other views stay on what was looked at
    middle = np.array([6.0, 2.0, 4.0])
    assert [_distance(view, middle) for view in _views(a_scene_with_slice_views)] == pytest.approx([0, 0, 0])


def test_a_slice_that_does_not_exist_is_refused(a_scene_with_slice_views) -> None:
    slices = SliceGeometry.of(_geometry(oblique()), "axial")
    with pytest.raises(UserError, match="Slice 7 does not exist: the axial slices are 0 to 6"):
        slices.show(a_scene_with_slice_views, 7)


def test_a_view_turned_to_the_volume_shows_the_slice_that_it_lies_in(a_scene_with_slice_views) -> None:
    matrix = _matrix((0, 1, 2), (1, 1, 1), rotation(20), (0.7, 0.9, 2.5))
    slices = SliceGeometry.of(_geometry(matrix), "axial")
    view = _views(a_scene_with_slice_views)[0]
    to_ras = np.eye(4)
    to_ras[:3, :3] = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    to_ras[:3, 3] = slices.ras_of(5)
    view.GetSliceToRAS().DeepCopy(vtk_matrix(to_ras))
    view.UpdateMatrices()
    assert slices.index_in_view(view) == 5
