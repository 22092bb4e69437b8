"""Slices of a volume in a plane: which array axis they follow, where they lie, and which one a view shows.

The rule is that of the engine's `NetworkSpace` (the test compares the two); the engine itself is not imported in the
window's process.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np

from MomentumSegLib.errors import UserError
from MomentumSegLib.volume_data import VolumeGeometry, array_of, spacing_of

PLANES = ("axial", "coronal", "sagittal")
ACQUISITION = "acquisition"

_PATIENT_AXIS = {"sagittal": 0, "coronal": 1, "axial": 2}
_PLANE = {axis: plane for plane, axis in _PATIENT_AXIS.items()}
_LARGER_SPACING = 1.001  # below this ratio two spacings count as equal
_PARALLEL = 0.9  # cosine above which a view counts as showing the slices of a plane


@dataclass(frozen=True, eq=False)
class SliceGeometry:
    """The slices of a volume in one plane.

    Attributes:
        volume: whose slices they are.
        plane: axial, coronal or sagittal.
        axis: of (K, J, I) arrays, along which slices are counted.
    """

    volume: VolumeGeometry
    plane: str
    axis: int

    @classmethod
    def of(cls, volume: VolumeGeometry, plane: str) -> SliceGeometry:
        """Slices of a volume in ``plane``: axial, coronal, sagittal, or acquisition (the thickest slices)."""
        plane = named_plane(volume.shape, volume.ijk_to_ras, plane)
        return cls(volume, plane, patient_axes(volume.ijk_to_ras)[_PATIENT_AXIS[plane]])

    @property
    def count(self) -> int:
        """Number of slices."""
        return self.volume.shape[self.axis]

    @property
    def slice_shape(self) -> tuple[int, int]:
        """Rows and columns of a slice in the volume's own layout: the two other axes, in order."""
        rows, columns = (count for axis, count in enumerate(self.volume.shape) if axis != self.axis)
        return rows, columns

    @property
    def normal(self) -> np.ndarray:
        """(3,) unit vector across the slices in world RAS, along growing indices."""
        rows, columns = (2 - axis for axis in range(3) if axis != self.axis)
        across = np.cross(self.volume.ijk_to_ras[:3, rows], self.volume.ijk_to_ras[:3, columns])
        across /= np.linalg.norm(across)
        along = self.volume.ijk_to_ras[:3, 2 - self.axis]
        return across if across @ along > 0 else -across

    def ras_of(self, slice_index: int, row_column: tuple[float, float] | None = None) -> tuple[float, float, float]:
        """World RAS (mm) of a point on a slice: its middle, or ``row_column`` of the slice's array."""
        rows, columns = self.slice_shape
        row, column = ((rows - 1) / 2, (columns - 1) / 2) if row_column is None else row_column
        kji = np.insert([float(row), float(column)], self.axis, float(slice_index))
        r, a, s = (self.volume.ijk_to_ras @ (*kji[::-1], 1.0))[:3]
        return float(r), float(a), float(s)

    def index_at(self, ras: object) -> int | None:
        """Slice that a point of the world lies in; None outside the volume's slices."""
        ijk = np.linalg.solve(self.volume.ijk_to_ras, np.array([*ras, 1.0]))
        index = int(np.floor(ijk[2 - self.axis] + 0.5))
        return index if 0 <= index < self.count else None

    def index_in_view(self, slice_node: object) -> int | None:
        """Slice at the middle of a slice view; None when the view is not along the slices or outside them."""
        return self.index_at(array_of(slice_node.GetSliceToRAS())[:3, 3]) if self.is_along(slice_node) else None

    def is_along(self, slice_node: object) -> bool:
        """Whether a slice view is along the slices, roughly."""
        return bool(abs(array_of(slice_node.GetSliceToRAS())[:3, 2] @ self.normal) >= _PARALLEL)

    def show(self, scene: object, slice_index: int, mask: np.ndarray | None = None) -> None:
        """Move the slice views of a scene through a slice; those across it, through the middle of ``mask``.

        Without a mask, (rows, columns) of the slice, the views across it stay where the user has them.

        Raises `UserError` when there is no such slice.
        """
        if not 0 <= slice_index < self.count:
            raise UserError(f"Slice {slice_index} does not exist: the {self.plane} slices are 0 to {self.count - 1}.")
        middle = None if mask is None or not mask.any() else tuple(np.argwhere(mask).mean(axis=0))
        ras = self.ras_of(slice_index, middle)
        for slice_node in nodes_of_class(scene, "vtkMRMLSliceNode"):
            if middle is not None or self.is_along(slice_node):
                slice_node.JumpSliceByOffsetting(*ras)


def patient_axes(ijk_to_ras: np.ndarray) -> tuple[int, int, int]:
    """(K, J, I) array axes nearest to the patient's left-right, posterior-anterior and inferior-superior axis."""
    # Rounded, so that directions at exactly 45 degrees are decided by order and not by the last bit.
    cosines = np.round(ijk_to_ras[:3, :3] / spacing_of(ijk_to_ras), 6)
    best = max(permutations(range(3)), key=lambda ijk: abs(np.prod(cosines[range(3), ijk])))
    left_right, posterior_anterior, inferior_superior = (2 - axis for axis in best)
    return left_right, posterior_anterior, inferior_superior


def named_plane(shape: tuple[int, int, int], ijk_to_ras: np.ndarray, plane: str) -> str:
    """axial, coronal or sagittal; ``acquisition`` resolved to the plane of the thickest slices (axial for none)."""
    if plane in PLANES:
        return plane
    if plane != ACQUISITION:
        raise UserError(f'There is no plane "{plane}": choose axial, coronal or sagittal.')
    axes = patient_axes(ijk_to_ras)
    single = [axis for axis in range(3) if shape[axis] == 1]
    if len(single) == 1:
        return _PLANE[axes.index(single[0])]
    spacing = spacing_of(ijk_to_ras)[::-1]
    chosen = 2
    for patient in (1, 0):
        if spacing[axes[patient]] > spacing[axes[chosen]] * _LARGER_SPACING:
            chosen = patient
    return _PLANE[chosen]


def nodes_of_class(scene: object, class_name: str) -> list:
    """Nodes of a class in a scene, as a list that does not change while nodes are added or removed."""
    return [scene.GetNthNodeByClass(index, class_name) for index in range(scene.GetNumberOfNodesByClass(class_name))]
