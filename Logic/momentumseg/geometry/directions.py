"""What an IJK-to-RAS matrix says: voxel sizes and the patient axis that each voxel axis follows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np

from momentumseg.errors import GeometryError

_SMALLEST_SPACING = 1e-6  # mm: below it a spacing is a header error
_SMALLEST_VOLUME = 1e-4  # of a parallelepiped with edges of length 1: below it the axes lie in one plane


@dataclass(frozen=True)
class PatientAxis:
    """The voxel axis nearest to one of the patient's axes.

    ``axis`` indexes (K, J, I) arrays; ``increases`` says whether a growing index goes the way of the RAS axis
    (to the right, the front or the head).
    """

    axis: int
    increases: bool


def checked_ijk_to_ras(matrix: object) -> np.ndarray:
    """(4, 4) float64 read-only copy of an IJK-to-RAS matrix (mm).

    Raises `GeometryError` when it is not a finite, invertible affine matrix.
    """
    try:
        checked = np.array(matrix, dtype=np.float64)
    except (TypeError, ValueError):
        raise GeometryError("The IJK-to-RAS matrix is not made of numbers; give a 4x4 matrix in millimetres.") from None
    if checked.shape != (4, 4):
        raise GeometryError(f"The IJK-to-RAS matrix has shape {checked.shape}; give a 4x4 matrix in millimetres.")
    if not np.isfinite(checked).all():
        raise GeometryError("The volume's geometry contains NaN or infinite numbers; export the volume again.")
    if not np.allclose(checked[3], (0, 0, 0, 1)):
        raise GeometryError("The last row of the IJK-to-RAS matrix is not 0 0 0 1; give an affine matrix.")
    spacing = np.linalg.norm(checked[:3, :3], axis=0)
    if spacing.min() < _SMALLEST_SPACING:
        raise GeometryError(f"The voxel spacing {spacing.tolist()} mm is zero along an axis; export the volume again.")
    if abs(np.linalg.det(checked[:3, :3] / spacing)) < _SMALLEST_VOLUME:
        raise GeometryError("The volume's axes lie in one plane, so it has no orientation; export the volume again.")
    checked.setflags(write=False)
    return checked


def spacing_of(ijk_to_ras: np.ndarray) -> tuple[float, float, float]:
    """Distance of neighbouring voxels (si, sj, sk) in mm."""
    si, sj, sk = np.linalg.norm(ijk_to_ras[:3, :3], axis=0)
    return float(si), float(sj), float(sk)


def patient_axes(ijk_to_ras: np.ndarray) -> tuple[PatientAxis, PatientAxis, PatientAxis]:
    """The voxel axes nearest to the patient's left-right, posterior-anterior and inferior-superior axis.

    Each voxel axis is given to exactly one patient axis, by the largest product of cosines: the product of an
    invertible matrix's best assignment is never zero, so that every sign is defined.
    """
    directions = ijk_to_ras[:3, :3] / np.linalg.norm(ijk_to_ras[:3, :3], axis=0)
    # Rounded, so that directions at exactly 45 degrees are decided by order and not by the last bit.
    cosines = np.round(directions, 6)
    best = max(permutations(range(3)), key=lambda ijk: abs(np.prod(cosines[range(3), ijk])))
    left_right, posterior_anterior, inferior_superior = (
        PatientAxis(axis=2 - ijk_axis, increases=bool(directions[patient, ijk_axis] > 0))
        for patient, ijk_axis in enumerate(best)
    )
    return left_right, posterior_anterior, inferior_superior
