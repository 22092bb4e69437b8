"""Segments as exact arrays in a volume's grid: shared layers, crops, other grids, transforms, what cannot be read."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
import slicer
from bridge import SHAPE, a_desk_of, add_linear_transform, ball, oblique, rotation

from MomentumSegLib.errors import UserError
from MomentumSegLib.segment_voxels import Crop, bounds_of, grid_of, oriented_image, read_segment, regrid
from MomentumSegLib.segmentation_output import add_segment
from MomentumSegLib.volume_data import VolumeGeometry, vtk_matrix


def _random(seed: int, shape: tuple[int, int, int] = SHAPE, density: float = 0.3) -> np.ndarray:
    return (np.random.default_rng(seed).random(shape) < density).astype(np.uint8)


def test_segments_that_share_a_layer_are_told_apart() -> None:
    desk = a_desk_of()
    ids = [desk.add(name) for name in "abc"]
    masks = [ball(centre=(4, 3, 3), radius=2), ball(centre=(4, 7, 7), radius=2), ball(centre=(1, 1, 9), radius=1)]
    for segment_id, mask in zip(ids, masks, strict=True):
        desk.draw(segment_id, mask)
    assert desk.segmentation.GetSegmentation().GetNumberOfLayers() == 1
    for segment_id, mask in zip(ids, masks, strict=True):
        assert np.array_equal(desk.content(segment_id), mask)


def test_overlapping_segments_are_read_exactly() -> None:
    desk = a_desk_of()
    ids = [desk.add(name) for name in "abc"]
    for seed, segment_id in enumerate(ids):
        desk.draw(segment_id, _random(seed))
    for seed, segment_id in enumerate(ids):
        assert np.array_equal(desk.content(segment_id), _random(seed))


def test_crops_are_trimmed_and_empty_segments_are_empty() -> None:
    desk = a_desk_of()
    segment_id = desk.add()
    assert read_segment(desk.segmentation, segment_id, desk.volume).is_empty
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:4, 5, 6:9] = 1
    desk.draw(segment_id, mask)
    crop = read_segment(desk.segmentation, segment_id, desk.volume)
    assert (crop.origin, crop.voxels.shape, crop.end) == ((2, 5, 6), (2, 1, 3), (4, 6, 9))
    assert crop.voxels.all()


def test_volume_and_segmentation_under_one_transform_or_each_under_another() -> None:
    desk = a_desk_of(parent=rotation(25))
    segment_id = desk.add()
    desk.draw(segment_id, ball())
    assert np.array_equal(desk.content(segment_id), ball())
    one_voxel_up = np.eye(4)
    one_voxel_up[:3, 3] = desk.volume.ijk_to_ras[:3, 2]
    moved = add_linear_transform(desk.scene, one_voxel_up @ rotation(25))
    desk.segmentation.SetAndObserveTransformNodeID(moved.GetID())
    assert np.array_equal(desk.content(segment_id), np.roll(ball(), 1, axis=0))


def test_a_non_linear_transform_is_refused() -> None:
    desk = a_desk_of()
    segment_id = desk.add()
    desk.draw(segment_id, ball())
    warp = desk.scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "warp")
    desk.segmentation.SetAndObserveTransformNodeID(warp.GetID())
    with pytest.raises(UserError, match="harden"):
        desk.content(segment_id)


def _segmentation_on(desk, shape: tuple[int, int, int], matrix: np.ndarray, mask: np.ndarray) -> tuple[object, str]:
    node = desk.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "other")
    segment_id = add_segment(node, "organ")
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    logic.SetBinaryLabelmapToSegment(oriented_image(mask, (0, 0, 0), matrix), node, segment_id, logic.MODE_REPLACE)
    return node, segment_id


def test_every_axis_order_and_flip_of_another_grid_is_read_exactly() -> None:
    desk = a_desk_of()
    mask = _random(7)
    for order, flips in product(permutations(range(3)), product((False, True), repeat=3)):
        # (k, j, i) of the stored array are the axes `order` of the volume's, some of them backwards.
        stored = np.transpose(mask, order)
        to_volume = np.zeros((4, 4))
        to_volume[3, 3] = 1
        for axis, (source, flip) in enumerate(zip(order, flips, strict=True)):
            stored = np.flip(stored, axis) if flip else stored
            to_volume[2 - source, 2 - axis] = -1 if flip else 1
            to_volume[2 - source, 3] = SHAPE[source] - 1 if flip else 0
        node, segment_id = _segmentation_on(desk, stored.shape, desk.volume.ijk_to_ras @ to_volume, stored)
        read = read_segment(node, segment_id, desk.volume).window((0, 0, 0), SHAPE)
        assert np.array_equal(read, mask), (order, flips)


def test_a_finer_grid_is_read_at_the_nearest_voxel() -> None:
    desk = a_desk_of()
    finer = np.diag([1 / 3, 1 / 3, 1 / 3, 1.0])
    finer[:3, 3] = -1 / 3  # the middle of each 3x3x3 block is a voxel of the volume
    mask = ball()
    fine = mask.repeat(3, 0).repeat(3, 1).repeat(3, 2)
    node, segment_id = _segmentation_on(desk, fine.shape, desk.volume.ijk_to_ras @ finer, fine)
    assert np.array_equal(read_segment(node, segment_id, desk.volume).window((0, 0, 0), SHAPE), mask)


def test_voxels_outside_the_volume_are_left_out_and_a_segment_outside_is_refused() -> None:
    desk = a_desk_of()
    shifted = np.eye(4)
    shifted[:3, 3] = (-3, 0, 2)
    node, segment_id = _segmentation_on(desk, SHAPE, desk.volume.ijk_to_ras @ shifted, np.ones(SHAPE, np.uint8))
    expected = np.zeros(SHAPE, np.uint8)
    expected[2:, :, :-3] = 1
    assert np.array_equal(read_segment(node, segment_id, desk.volume).window((0, 0, 0), SHAPE), expected)
    far = np.eye(4)
    far[:3, 3] = 500
    node, segment_id = _segmentation_on(desk, SHAPE, desk.volume.ijk_to_ras @ far, ball())
    with pytest.raises(UserError, match='segment "organ" of "other" lies outside the volume "scan"'):
        read_segment(node, segment_id, desk.volume)


def test_a_segment_that_is_gone_and_surfaces_are_refused() -> None:
    desk = a_desk_of()
    with pytest.raises(UserError, match='The segment "gone" is no longer in'):
        read_segment(desk.segmentation, "gone", desk.volume)
    segment_id = desk.add()
    desk.draw(segment_id, ball())
    desk.segmentation.CreateClosedSurfaceRepresentation()
    desk.segmentation.SetSourceRepresentationToClosedSurface()
    with pytest.raises(UserError, match="holds surfaces instead of voxels"):
        read_segment(desk.segmentation, segment_id, desk.volume)


def test_the_grid_is_known_before_anything_is_drawn() -> None:
    desk = a_desk_of()
    matrix, origin, shape = grid_of(desk.segmentation)
    assert np.allclose(matrix, oblique(), atol=1e-6)
    assert (origin, shape) == ((0, 0, 0), SHAPE)
    assert grid_of(desk.scene.AddNewNodeByClass("vtkMRMLSegmentationNode")) is None


def test_regrid_there_and_back_is_the_identity() -> None:
    crop = Crop(ball(), (0, 0, 0)).trimmed()
    to_other = rotation(90, (0, 0, 1))
    there = regrid(crop, to_other, None)
    back = regrid(there, np.linalg.inv(to_other), SHAPE)
    assert np.array_equal(back.window((0, 0, 0), SHAPE), ball())


def test_bounds_and_windows() -> None:
    assert bounds_of(np.zeros((2, 3), np.uint8)) is None
    assert bounds_of(np.zeros((0, 3), np.uint8)) is None
    crop = Crop(np.ones((1, 2, 3), np.uint8), (4, 5, 6))
    assert crop.window((4, 6, 0), (6, 8, 8)).sum() == 2
    assert crop.window((0, 0, 0), (2, 2, 2)).sum() == 0
    assert Crop.nothing().window((0, 0, 0), (2, 2, 2)).sum() == 0
    assert Crop.nothing().trimmed().is_empty


def test_the_same_place_is_the_same_grid_up_to_rounding_of_files() -> None:
    volume = VolumeGeometry("", "", SHAPE, oblique())
    assert volume.is_same_grid(SHAPE, oblique() + 1e-5)
    assert not volume.is_same_grid(SHAPE, oblique() @ np.diag([1.01, 1, 1, 1]))
    assert not volume.is_same_grid((9, 10, 12), oblique())
    assert np.allclose(vtk_matrix(oblique()).GetElement(0, 3), 11.0)
