"""One grid whatever the file's axis order: what automatic networks are trained and applied on, and the way back.

Axis 0 of a grid goes through the slices of its plane, axes 1 and 2 are rows and columns, in the orders of
`network_space`. "volume" is the axial order of patches in 3D. Coordinates are voxel centres (see `in_plane_axis`):
where the spacing fits, voxels are copied, so that the way back is the exact inverse; elsewhere images and
probabilities are interpolated linearly, after a Gaussian where the grid is coarser, and labels take the nearest
voxel. Grid and volume cover the same box: no voxel of the volume is outside the grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isfinite

import numpy as np
from scipy.sparse import csr_array

from momentumseg.errors import GeometryError, InputError
from momentumseg.geometry.directions import checked_ijk_to_ras, patient_axes, spacing_of
from momentumseg.geometry.in_plane_axis import InPlaneAxis
from momentumseg.geometry.network_space import PLANE_ORDER, checked_shape, named_plane

VOLUME = "volume"

Spacing = tuple[float, float, float]

# Files keep spacings in 32 bits: an axis whose ends drift apart by less than this part of a voxel is copied.
_SAME_SPACING_DRIFT = 0.01
# Part of a grid voxel that may stay uncovered, so that rounding does not add a voxel.
_COVERED = 1e-3


@dataclass(frozen=True)
class CanonicalGrid:
    """Mapping between a volume (K, J, I) and its canonical grid (D, H, W). Made by `of`.

    ``source_shape`` (K, J, I) voxels of the volume; ``plane`` axial, coronal or sagittal; ``axes`` the grid's three
    axes, each naming the volume's axis it follows; ``spacing`` (d, h, w) of the grid in mm.
    """

    source_shape: tuple[int, int, int]
    plane: str
    axes: tuple[InPlaneAxis, InPlaneAxis, InPlaneAxis]
    spacing: Spacing

    @classmethod
    def of(
        cls,
        shape: tuple[int, int, int],
        ijk_to_ras: np.ndarray,
        *,
        spacing: Sequence[float | None] | None = None,
        plane: str = VOLUME,
    ) -> CanonicalGrid:
        """Grid of a volume of ``shape`` (K, J, I) voxels.

        Args:
            shape: number of voxels (K, J, I).
            ijk_to_ras: (4, 4) voxel centre (i, j, k, 1) to RAS mm.
            spacing: (d, h, w) of the grid in mm, None entries (or None) keep the volume's own.
            plane: volume (the order of axial slices), axial, coronal, sagittal or acquisition (the plane the volume
                was taken in: across the largest spacing).

        Raises:
            InputError: an unknown plane or a spacing that is not positive.
            GeometryError: the matrix is no geometry.
        """
        matrix = checked_ijk_to_ras(ijk_to_ras)
        shape = checked_shape(shape)
        patient = patient_axes(matrix)
        own = spacing_of(matrix)[::-1]  # by (K, J, I) axis
        plane = named_plane("axial" if plane == VOLUME else plane, patient, shape, own)
        wanted = _checked_spacing(spacing)
        axes, spacings = [], []
        for (patient_axis, follows_ras), millimetres in zip(PLANE_ORDER[plane], wanted, strict=True):
            axis, increases = patient[patient_axis].axis, patient[patient_axis].increases
            scale = 1.0 if millimetres is None else millimetres / own[axis]
            axes.append(_covering_axis(axis, shape[axis], increases != follows_ras, scale))
            spacings.append(own[axis] if axes[-1].is_copy else float(millimetres or own[axis]))
        return cls(shape, plane, (axes[0], axes[1], axes[2]), (spacings[0], spacings[1], spacings[2]))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of grid voxels (D, H, W)."""
        depth, height, width = self.axes
        return depth.size, height.size, width.size

    @property
    def slice_axis(self) -> int:
        """The axis of (K, J, I) arrays that the grid's axis 0 follows."""
        return self.axes[0].axis

    @property
    def is_copy(self) -> bool:
        """Whether grid voxels are the volume's voxels in another order, so that every way back is exact."""
        return all(axis.is_copy for axis in self.axes)

    def oriented(self, array: np.ndarray) -> np.ndarray:
        """View of a (K, J, I) array with the grid's axis order and directions; writing to it writes to the array."""
        view = array.transpose([axis.axis for axis in self.axes])
        return view[tuple(slice(None, None, -1 if axis.flipped else 1) for axis in self.axes)]

    def forward_image(self, array: np.ndarray) -> np.ndarray:
        """(D, H, W) float32 grid values of a (K, J, I) image, linear, smoothed along axes that get coarser."""
        self._check(array.shape, self.source_shape)
        oriented = np.ascontiguousarray(self.oriented(array), dtype=np.float32)
        return _resampled(oriented, [None if axis.is_copy else axis.image_weights for axis in self.axes])

    def forward_labels(self, labelmap: np.ndarray) -> np.ndarray:
        """(D, H, W) grid labels of a (K, J, I) label map, nearest voxel, same type."""
        self._check(labelmap.shape, self.source_shape)
        return np.ascontiguousarray(self.oriented(labelmap)[np.ix_(*(axis.nearest_voxels for axis in self.axes))])

    def backward_labels(self, labels: np.ndarray) -> np.ndarray:
        """(K, J, I) labels of a (D, H, W) label map of the grid, nearest grid voxel, same type."""
        self._check(labels.shape, self.shape)
        return np.ascontiguousarray(self._unoriented(labels[np.ix_(*(axis.nearest_pixels for axis in self.axes))]))

    def backward_probabilities(self, probabilities: np.ndarray) -> np.ndarray:
        """(C, K, J, I) float32 values of probabilities (C, D, H, W) of the grid, linear; exact where copied."""
        if probabilities.ndim != 4:
            raise GeometryError(f"Probabilities of shape {probabilities.shape} are not (classes, D, H, W).")
        self._check(probabilities.shape[1:], self.shape)
        weights = [None if axis.is_copy else axis.probability_weights for axis in self.axes]
        values = np.empty((len(probabilities), *self.source_shape), dtype=np.float32)
        for channel, target in zip(probabilities, values, strict=True):
            target[:] = self._unoriented(_resampled(np.asarray(channel, dtype=np.float32), weights))
        return values

    def _unoriented(self, array: np.ndarray) -> np.ndarray:
        """View (K, J, I) of an array in the grid's axis order; the inverse of `oriented`."""
        view = array[tuple(slice(None, None, -1 if axis.flipped else 1) for axis in self.axes)]
        return view.transpose(np.argsort([axis.axis for axis in self.axes]))

    def _check(self, shape: tuple[int, ...], expected: tuple[int, int, int]) -> None:
        if tuple(shape) != expected:
            raise GeometryError(f"An array of {tuple(shape)} voxels does not belong to a grid of {expected} voxels.")


def _covering_axis(axis: int, count: int, flipped: bool, scale: float) -> InPlaneAxis:
    """Axis with as few grid voxels as cover all ``count`` voxels, centred; ``scale`` in voxels a grid voxel."""
    # A single slice is copied: it is not seen better when it is there several times.
    if count == 1 or abs(scale - 1.0) * count <= _SAME_SPACING_DRIFT:
        return InPlaneAxis(axis, count, flipped, count, 1.0, 0.0)
    size = max(ceil(count / scale - _COVERED), 1)
    return InPlaneAxis(axis, count, flipped, size, scale, (size - 1) / 2 - (count - 1) / (2 * scale))


def _resampled(array: np.ndarray, weights: Sequence[csr_array | None]) -> np.ndarray:
    """Array with each axis multiplied by its sparse weights (None: as it is), the most shrinking first."""
    shrinking = {axis: matrix.shape[0] / matrix.shape[1] for axis, matrix in enumerate(weights) if matrix is not None}
    for axis in sorted(shrinking, key=lambda axis: shrinking[axis]):
        moved = np.moveaxis(array, axis, 0)
        flat = np.ascontiguousarray(moved).reshape(len(moved), -1)
        array = np.moveaxis((weights[axis] @ flat).reshape(-1, *moved.shape[1:]), 0, axis)
    return np.ascontiguousarray(array)


def _checked_spacing(spacing: Sequence[float | None] | None) -> tuple[float | None, ...]:
    wanted = (None, None, None) if spacing is None else tuple(spacing)
    if len(wanted) != 3 or any(value is not None and not (isfinite(value) and value > 0) for value in wanted):
        raise InputError(f"The spacing {spacing} is not three positive lengths in mm; give (slices, rows, columns).")
    return wanted
