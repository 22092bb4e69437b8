"""What an IJK-to-RAS matrix says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from momentumseg.errors import GeometryError
from momentumseg.geometry.directions import checked_ijk_to_ras, patient_axes, spacing_of


def test_spacing_is_the_length_of_the_columns():
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", (10, 20, 30), degrees=True).as_matrix() * (0.5, 1.0, 4.0)
    assert spacing_of(matrix) == pytest.approx((0.5, 1.0, 4.0))


def test_every_patient_axis_has_its_voxel_axis(an_axis_order):
    matrix = np.eye(4)
    matrix[:3, :3] = an_axis_order
    for patient, found in enumerate(patient_axes(matrix)):
        ijk_axis = 2 - found.axis
        assert an_axis_order[patient, ijk_axis] == (1 if found.increases else -1)


def test_a_small_rotation_changes_no_axis(an_axis_order):
    straight, tilted = np.eye(4), np.eye(4)
    straight[:3, :3] = an_axis_order
    tilted[:3, :3] = Rotation.from_euler("xyz", (20, -15, 25), degrees=True).as_matrix() @ an_axis_order
    assert patient_axes(tilted) == patient_axes(straight)


def test_a_doubly_oblique_volume_uses_every_axis_once():
    for angles in np.random.default_rng(0).uniform(-180, 180, (200, 3)):
        matrix = np.eye(4)
        matrix[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
        assert sorted(found.axis for found in patient_axes(matrix)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("matrix", "reason"),
    [
        (np.eye(3), r"shape \(3, 3\)"),
        (np.full((4, 4), np.nan), "NaN"),
        (np.diag((1.0, 0.0, 1.0, 1.0)), "zero along an axis"),
        (np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "one plane"),
        (np.diag((1.0, 1.0, 1.0, 2.0)), "last row"),
        ("no matrix", "not made of numbers"),
    ],
)
def test_a_matrix_that_is_no_geometry_is_refused(matrix, reason):
    with pytest.raises(GeometryError, match=reason):
        checked_ijk_to_ras(matrix)


def test_the_checked_matrix_cannot_be_changed():
    given = np.eye(4)
    checked = checked_ijk_to_ras(given)
    given[0, 0] = 5
    assert checked[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        checked[0, 0] = 2
