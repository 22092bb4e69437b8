"""Which voxels a brush stroke or an outline covers. Pure geometry: numpy only, nothing of Qt or MRML."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Of a voxel's thickness: a plane between two slices belongs to one of them, whatever the rounding.
_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Grid:
    """A voxel grid.

    Attributes:
        ijk_to_ras: 4x4, voxel centres to mm.
        extent: first and last index along I, J, K: (i0, i1, j0, j1, k0, k1).
    """

    ijk_to_ras: np.ndarray
    extent: tuple[int, int, int, int, int, int]


@dataclass(frozen=True, eq=False)
class Mask:
    """A crop of voxels.

    Attributes:
        voxels: (K, J, I) bool.
        extent: where it lies in the grid: (i0, i1, j0, j1, k0, k1).
    """

    voxels: np.ndarray
    extent: tuple[int, int, int, int, int, int]


@dataclass(frozen=True, eq=False)
class Plane:
    """A plane with axes.

    Attributes:
        origin: a point on it, mm.
        axes: (3, 3), rows: the two directions in the plane and the normal; orthonormal.
    """

    origin: np.ndarray
    axes: np.ndarray


def stroke_mask(grid: Grid, plane: Plane, path: np.ndarray, radius: float, *, sphere: bool = False) -> Mask | None:
    """Voxels under a round brush that is drawn along a path.

    A flat brush covers the voxels that the plane cuts and whose centre, projected onto the plane, is at most ``radius``
    from the path. A sphere covers the voxels whose centre is at most ``radius`` from the path.

    Args:
        grid: of the segmentation.
        plane: the slice.
        path: (N, 3) points in the plane, mm.
        radius: mm.
        sphere: three-dimensional brush.

    Returns:
        None if no voxel is covered.
    """
    depth = radius if sphere else _half_thickness(grid, plane)
    local = (path - plane.origin) @ plane.axes.T
    low, high = local.min(axis=0) - radius, local.max(axis=0) + radius
    low[2], high[2] = local[:, 2].min() - depth, local[:, 2].max() + depth
    extent = _extent_of_box(grid, plane, low, high)
    if extent is None:
        return None
    centres = _local_centres(grid, plane, extent)
    dimensions = 3 if sphere else 2
    covered = np.zeros(centres.shape[:-1], dtype=bool)
    points = local if len(local) > 1 else np.repeat(local, 2, axis=0)
    for start, end in zip(points[:-1], points[1:], strict=True):
        distance = _squared_distance(centres[..., :dimensions], start[:dimensions], end[:dimensions])
        covered |= distance <= radius**2 * (1 + 1e-9)
    if not sphere:
        covered &= _cut(centres[..., 2] - local[0, 2], depth)
    return _cropped(covered, extent)


def outline_mask(grid: Grid, plane: Plane, outline: np.ndarray, *, through: bool = False) -> Mask | None:
    """Voxels whose centre, projected onto the plane, lies inside a closed outline (even-odd rule).

    Args:
        grid: of the segmentation.
        plane: the slice.
        outline: (N, 3) points in the plane, mm; the last is joined to the first.
        through: all voxels in front of and behind the plane; otherwise those that the plane cuts.

    Returns:
        None if no voxel is inside.
    """
    local = (outline - plane.origin) @ plane.axes.T
    depth = _half_thickness(grid, plane)
    low, high = local.min(axis=0), local.max(axis=0)
    low[2], high[2] = local[0, 2] - depth, local[0, 2] + depth
    if through:
        low[2], high[2] = -np.inf, np.inf
    extent = _extent_of_box(grid, plane, low, high)
    if extent is None:
        return None
    centres = _local_centres(grid, plane, extent)
    inside = points_in_polygon(centres[..., :2].reshape(-1, 2), local[:, :2]).reshape(centres.shape[:-1])
    if not through:
        inside &= _cut(centres[..., 2] - local[0, 2], depth)
    return _cropped(inside, extent)


def points_in_polygon(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Whether each of (N, 2) points lies inside an (M, 2) polygon, by the even-odd rule."""
    inside = np.zeros(len(points), dtype=bool)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        crosses = (points[:, 1] < y0) != (points[:, 1] < y1)
        inside ^= crosses & (points[:, 0] < x0 + (points[:, 1] - y0) * (x1 - x0) / (y1 - y0))
    return inside


def _half_thickness(grid: Grid, plane: Plane) -> float:
    """Half of a voxel's extent along the normal: for slices along the grid half of the slice distance."""
    return float(np.abs(plane.axes[2] @ grid.ijk_to_ras[:3, :3]).sum() / 2)


def _cut(distance: np.ndarray, depth: float) -> np.ndarray:
    slack = _TOLERANCE * depth
    return (distance > slack - depth) & (distance <= depth + slack) if depth else np.abs(distance) < _TOLERANCE


def _extent_of_box(
    grid: Grid, plane: Plane, low: np.ndarray, high: np.ndarray
) -> tuple[int, int, int, int, int, int] | None:
    """Smallest extent that holds a box given in the plane's coordinates, inside the grid. None if it is outside."""
    first, last = np.array(grid.extent[::2]), np.array(grid.extent[1::2])
    if np.isfinite(low).all() and np.isfinite(high).all():
        corners = np.stack(np.meshgrid(*zip(low, high, strict=True), indexing="ij"), axis=-1).reshape(-1, 3)
        ras = corners @ plane.axes + plane.origin
        ijk = np.linalg.solve(grid.ijk_to_ras, np.c_[ras, np.ones(len(ras))].T)[:3]
        first = np.maximum(first, np.floor(ijk.min(axis=1) - 1e-6).astype(int))
        last = np.minimum(last, np.ceil(ijk.max(axis=1) + 1e-6).astype(int))
    if (first > last).any():
        return None
    return tuple(int(value) for pair in zip(first, last, strict=True) for value in pair)  # type: ignore[return-value]


def _local_centres(grid: Grid, plane: Plane, extent: tuple[int, ...]) -> np.ndarray:
    """(K, J, I, 3) voxel centres in the plane's coordinates, mm."""
    to_plane = np.eye(4)
    to_plane[:3, :3], to_plane[:3, 3] = plane.axes, -plane.axes @ plane.origin
    matrix = to_plane @ grid.ijk_to_ras
    i, j, k = (np.arange(extent[2 * axis], extent[2 * axis + 1] + 1) for axis in range(3))
    return (
        k[:, None, None, None] * matrix[:3, 2]
        + j[None, :, None, None] * matrix[:3, 1]
        + i[None, None, :, None] * matrix[:3, 0]
        + matrix[:3, 3]
    )


def _squared_distance(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Squared distance of points to a line segment."""
    along = end - start
    length = float(along @ along)
    offset = points - start
    if length == 0:
        return (offset**2).sum(axis=-1)
    share = np.clip(offset @ along / length, 0, 1)
    return ((offset - share[..., None] * along) ** 2).sum(axis=-1)


def _cropped(voxels: np.ndarray, extent: tuple[int, ...]) -> Mask | None:
    """The smallest crop that holds all set voxels."""
    if not voxels.any():
        return None
    slices, cropped = [], []
    for axis in range(3):  # K, J, I
        used = np.flatnonzero(voxels.any(axis=tuple(other for other in range(3) if other != axis)))
        slices.append(slice(int(used[0]), int(used[-1]) + 1))
        start = extent[2 * (2 - axis)]
        cropped.append((start + int(used[0]), start + int(used[-1])))
    i, j, k = reversed(cropped)
    return Mask(voxels[tuple(slices)].copy(), (*i, *j, *k))
