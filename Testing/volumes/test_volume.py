"""Voxels and geometry that travel together."""

from __future__ import annotations

import numpy as np
import pytest

from momentumseg.errors import GeometryError, InputError
from momentumseg.volumes.volume import Volume


def test_a_volume_knows_its_shape_and_spacing(a_geometry):
    volume = Volume(np.zeros((2, 3, 4), np.int16), a_geometry, "scan")
    assert volume.shape == (2, 3, 4)
    assert volume.spacing == (1.5, 1.5, 5.0)


def test_like_keeps_the_geometry(a_phantom_volume):
    other = a_phantom_volume.like(np.zeros(a_phantom_volume.shape, np.uint8))
    assert other.name == a_phantom_volume.name
    np.testing.assert_array_equal(other.ijk_to_ras, a_phantom_volume.ijk_to_ras)
    with pytest.raises(GeometryError, match="cannot take the geometry"):
        a_phantom_volume.like(np.zeros((1, 1, 1)))


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((3, 4)), "scan has 2 dimensions"),
        (np.zeros((2, 3, 4, 5)), "scan has 4 dimensions"),
        (np.zeros((0, 3, 4)), "no voxels"),
        (np.zeros((1, 1, 1), complex), "complex128"),
        (np.full((1, 1, 1), "a"), "one real number a voxel"),
    ],
)
def test_voxels_that_are_no_volume_are_refused(array, reason):
    with pytest.raises(InputError, match=reason):
        Volume(array, np.eye(4), "scan")


def test_a_matrix_that_is_no_geometry_is_refused():
    with pytest.raises(GeometryError, match="shape"):
        Volume(np.zeros((1, 1, 1)), np.eye(3))


def test_a_volume_cannot_be_changed_by_accident(a_phantom_volume):
    with pytest.raises(AttributeError):
        a_phantom_volume.name = "other"
    with pytest.raises(ValueError, match="read-only"):
        a_phantom_volume.ijk_to_ras[0, 0] = 9
