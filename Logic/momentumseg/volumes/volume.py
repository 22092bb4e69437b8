"""A volume: voxels with their place in the patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from momentumseg.errors import GeometryError, InputError
from momentumseg.geometry.directions import checked_ijk_to_ras, spacing_of


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels and geometry that travel together.

    ``array`` (K, J, I): one real number a voxel. ``ijk_to_ras`` (4, 4): voxel centre (i, j, k, 1) to RAS mm.
    ``name`` is for messages and file names. Raises `InputError` for voxels that are no volume and `GeometryError`
    for a matrix that is no geometry.
    """

    array: np.ndarray
    ijk_to_ras: np.ndarray
    name: str = ""

    def __post_init__(self) -> None:
        array = np.asanyarray(self.array)
        _check_voxels(array, self.name or "The volume")
        object.__setattr__(self, "array", array)
        object.__setattr__(self, "ijk_to_ras", checked_ijk_to_ras(self.ijk_to_ras))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels (K, J, I)."""
        k, j, i = self.array.shape
        return k, j, i

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxels (si, sj, sk) in mm."""
        return spacing_of(self.ijk_to_ras)

    def like(self, array: np.ndarray, name: str | None = None) -> Volume:
        """Other voxels (K, J, I) in the same place. Raises `GeometryError` when their number differs."""
        if array.shape != self.array.shape:
            raise GeometryError(
                f"An array of {array.shape} voxels cannot take the geometry of a volume of {self.shape} voxels."
            )
        return Volume(array, self.ijk_to_ras, self.name if name is None else name)


def _check_voxels(array: np.ndarray, name: str) -> None:
    if array.ndim != 3:
        raise InputError(f"{name} has {array.ndim} dimensions {array.shape}; give a volume with 3 (K, J, I).")
    if array.size == 0:
        raise InputError(f"{name} has no voxels {array.shape}; load the image again.")
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} has voxels of type {array.dtype}; give one real number a voxel.")
