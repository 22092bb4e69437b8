"""Label maps on the voxels of another volume."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from momentumseg.errors import GeometryError
from momentumseg.volumes.resample import have_same_geometry, resample_labelmap_to
from momentumseg.volumes.volume import Volume


def test_the_same_geometry_is_no_work(a_phantom_labelmap, a_phantom_volume):
    same = resample_labelmap_to(a_phantom_labelmap, a_phantom_volume)
    assert same.array is a_phantom_labelmap.array


def test_a_tiny_difference_is_the_same_geometry(a_phantom_labelmap, a_phantom_volume):
    matrix = a_phantom_labelmap.ijk_to_ras.copy()
    matrix[0, 3] += 0.04 * 1.5
    moved = Volume(a_phantom_labelmap.array, matrix)
    assert have_same_geometry(moved, a_phantom_volume)
    resampled = resample_labelmap_to(moved, a_phantom_volume)
    np.testing.assert_array_equal(resampled.ijk_to_ras, a_phantom_volume.ijk_to_ras)


def test_a_mask_of_another_axis_order_finds_its_voxels(a_phantom_labelmap, a_phantom_volume):
    reordered = np.ascontiguousarray(a_phantom_labelmap.array.transpose(2, 0, 1)[::-1])
    swap = np.zeros((4, 4))  # (i, j, k) of the reordered map to (i, j, k) of the phantom
    swap[1, 0] = swap[2, 1] = swap[3, 3] = 1.0
    swap[0, 2], swap[0, 3] = -1.0, a_phantom_labelmap.shape[2] - 1
    labelmap = Volume(reordered, a_phantom_labelmap.ijk_to_ras @ swap)
    back = resample_labelmap_to(labelmap, a_phantom_volume)
    np.testing.assert_array_equal(back.array, a_phantom_labelmap.array)
    assert back.array.dtype == np.uint8


def test_a_cropped_mask_is_put_in_its_place(a_phantom_labelmap, a_phantom_volume):
    matrix = a_phantom_labelmap.ijk_to_ras.copy()
    matrix[:3, 3] = (matrix @ (5, 4, 2, 1))[:3]
    cropped = Volume(a_phantom_labelmap.array[2:10, 4:34, 5:45].copy(), matrix)
    expected = np.zeros_like(a_phantom_labelmap.array)
    expected[2:10, 4:34, 5:45] = cropped.array
    np.testing.assert_array_equal(resample_labelmap_to(cropped, a_phantom_volume).array, expected)


def test_large_labels_and_bool_keep_their_type(a_phantom_labelmap, a_phantom_volume):
    matrix = a_phantom_labelmap.ijk_to_ras.copy()
    matrix[0, 3] += 1.5
    large = Volume(a_phantom_labelmap.array.astype(np.uint16) * 1000, matrix)
    assert resample_labelmap_to(large, a_phantom_volume).array.max() == 2000
    assert resample_labelmap_to(large.like(large.array > 0), a_phantom_volume).array.dtype == bool


def test_a_rotated_mask_agrees_with_its_definition(a_phantom_labelmap, a_phantom_volume):
    """Naive reference: every voxel of the volume asks the mask's voxel nearest to it."""
    matrix = np.eye(4)
    matrix[:3, :3] = (
        Rotation.from_euler("xyz", (5, 8, -12), degrees=True).as_matrix() @ a_phantom_labelmap.ijk_to_ras[:3, :3]
    )
    matrix[:3, 3] = a_phantom_labelmap.ijk_to_ras[:3, 3] + (1.1, -2.3, 0.7)
    rotated = Volume(a_phantom_labelmap.array, matrix)
    resampled = resample_labelmap_to(rotated, a_phantom_volume).array
    to_mask = np.linalg.solve(matrix, a_phantom_volume.ijk_to_ras)
    expected = np.zeros_like(resampled)
    for k, j, i in np.ndindex(resampled.shape):
        nearest = np.floor((to_mask @ (i, j, k, 1))[2::-1] + 0.5).astype(int)
        if (nearest >= 0).all() and (nearest < rotated.shape).all():
            expected[k, j, i] = rotated.array[tuple(nearest)]
    np.testing.assert_array_equal(resampled, expected)


def test_a_mask_elsewhere_is_refused(a_phantom_labelmap, a_phantom_volume):
    matrix = a_phantom_labelmap.ijk_to_ras.copy()
    matrix[2, 3] += 500
    with pytest.raises(GeometryError, match="phantom labels lies outside phantom"):
        resample_labelmap_to(Volume(a_phantom_labelmap.array, matrix, "phantom labels"), a_phantom_volume)
