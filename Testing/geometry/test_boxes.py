"""Boxes in the patient: the same, overlapping, apart."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from momentumseg.geometry.boxes import boxes_overlap, is_same_geometry

SHAPE = (10, 10, 10)


def moved(x: float, y: float = 0.0, z: float = 0.0, angle: float = 0.0) -> np.ndarray:
    """A box of 10 mm whose centre is moved by (x, y, z) mm and turned about z by ``angle`` degrees."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("z", angle, degrees=True).as_matrix()
    matrix[:3, 3] = np.array((x, y, z)) - matrix[:3, :3] @ (4.5, 4.5, 4.5)
    return matrix


@pytest.mark.parametrize(
    ("other", "overlap"),
    [
        (moved(0), True),
        (moved(9.9), True),
        (moved(10), False),  # only touching
        (moved(12), False),
        (moved(12, angle=45), True),  # the corner reaches 7.07 mm
        (moved(12.2, angle=45), False),
        (moved(0, 0, 11), False),
        (moved(8.6, 8.6, angle=45), False),  # face to corner: axis-aligned bounds overlap, the boxes do not
        (moved(8.4, 8.4, angle=45), True),
    ],
)
def test_overlap(other, overlap):
    assert boxes_overlap(SHAPE, moved(0), SHAPE, other) is overlap
    assert boxes_overlap(SHAPE, other, SHAPE, moved(0)) is overlap


def test_edges_that_pass_each_other():
    """Two thin rods, crosswise: only a product of their edges separates them."""
    rod = np.diag((0.1, 10.0, 0.1, 1.0))
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_euler("zx", (90, 30), degrees=True).as_matrix() * (0.1, 10.0, 0.1)
    turned[:3, 3] = -turned[:3, :3] @ (0, 4.5, 0) + (0, 45, 0)
    assert boxes_overlap((1, 10, 1), rod, (1, 10, 1), turned)
    turned[2, 3] += 0.3
    assert not boxes_overlap((1, 10, 1), rod, (1, 10, 1), turned)


def test_same_geometry_allows_a_twentieth_of_a_voxel():
    assert is_same_geometry(SHAPE, moved(0), SHAPE, moved(0.04))
    assert not is_same_geometry(SHAPE, moved(0), SHAPE, moved(0.06))
    assert not is_same_geometry(SHAPE, moved(0), (10, 10, 11), moved(0))


def test_same_geometry_looks_at_the_far_corner():
    stretched = np.diag((1.006, 1.0, 1.0, 1.0))
    assert is_same_geometry((2, 2, 2), np.eye(4), (2, 2, 2), stretched)
    assert not is_same_geometry((2, 2, 100), np.eye(4), (2, 2, 100), stretched)
