"""Volumes as boxes in the patient: the same box, or boxes that overlap."""

from __future__ import annotations

from itertools import product

import numpy as np

# Voxels. A shift of this size changes no nearest neighbour, and files keep angles and spacings in 32 bits.
SAME_GEOMETRY_TOLERANCE = 0.05
_PARALLEL = 1e-9


def is_same_geometry(
    shape: tuple[int, int, int],
    ijk_to_ras: np.ndarray,
    other_shape: tuple[int, int, int],
    other_ijk_to_ras: np.ndarray,
) -> bool:
    """Whether two volumes have the same voxels in the same places.

    Shapes (K, J, I) are equal and no corner of the one is further than 5 % of a voxel from that of the other.
    """
    if tuple(shape) != tuple(other_shape):
        return False
    corners = _corners(shape)
    distance = np.abs(np.linalg.solve(ijk_to_ras, other_ijk_to_ras @ corners) - corners)
    return bool(distance.max() <= SAME_GEOMETRY_TOLERANCE)


def boxes_overlap(
    shape: tuple[int, int, int],
    ijk_to_ras: np.ndarray,
    other_shape: tuple[int, int, int],
    other_ijk_to_ras: np.ndarray,
) -> bool:
    """Whether two volumes share a region of the patient (oblique ones too; touching is not enough).

    Separating axis theorem: two convex boxes are apart when they are on one of the 6 face normals or 9 products of
    edges.
    """
    edges, other_edges = ijk_to_ras[:3, :3].T, other_ijk_to_ras[:3, :3].T
    normals = [np.cross(own[a], own[b]) for own in (edges, other_edges) for a, b in ((0, 1), (0, 2), (1, 2))]
    normals += [np.cross(edge, other) for edge, other in product(edges, other_edges)]
    points, other_points = (ijk_to_ras @ _corners(shape))[:3], (other_ijk_to_ras @ _corners(other_shape))[:3]
    return not any(_separates(normal, points, other_points) for normal in normals)


def _separates(normal: np.ndarray, points: np.ndarray, other_points: np.ndarray) -> bool:
    length = np.linalg.norm(normal)
    if length < _PARALLEL:
        return False
    along, other_along = normal / length @ points, normal / length @ other_points
    touching = 1e-6  # mm
    return bool(along.max() <= other_along.min() + touching or other_along.max() <= along.min() + touching)


def _corners(shape: tuple[int, int, int]) -> np.ndarray:
    """(4, 8) homogeneous (i, j, k) of a volume's outer corners, half a voxel beyond the outermost centres."""
    return np.array([(*corner, 1.0) for corner in product(*((-0.5, count - 0.5) for count in shape[::-1]))]).T
