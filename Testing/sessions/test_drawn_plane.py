"""The plane of a drawing is found from the drawing, whatever the axis order of the file."""

from __future__ import annotations

import numpy as np
import pytest

from momentumseg.sessions.drawn_plane import drawn_plane
from momentumseg.volumes.volume import Volume

STRAIGHT = np.eye(4)
THICK_CORONAL = np.diag([1.0, 4.0, 1.0, 1.0])


def drawn(*where: slice | int, ijk_to_ras: np.ndarray = STRAIGHT) -> Volume:
    labels = np.zeros((10, 12, 14), dtype=np.uint8)
    labels[where] = 1
    return Volume(labels, ijk_to_ras)


@pytest.mark.parametrize(
    ("labelmap", "plane"),
    [
        (drawn(4, slice(2, 7), slice(3, 9)), "axial"),
        (drawn(slice(2, 7), 4, slice(3, 9)), "coronal"),
        (drawn(slice(2, 7), slice(3, 9), 4), "sagittal"),
        (drawn(slice(1, 9, 3), slice(2, 8), slice(2, 8)), "axial"),
        (drawn(slice(2, 7), slice(3, 8), slice(4, 9)), "axial"),
        (drawn(slice(2, 7), slice(3, 8), slice(4, 9), ijk_to_ras=THICK_CORONAL), "coronal"),
        (drawn(slice(0, 0), ijk_to_ras=THICK_CORONAL), "coronal"),
    ],
    ids=["one axial", "one coronal", "one sagittal", "three axial", "a cube", "a cube, thick slices", "nothing"],
)
def test_plane(labelmap: Volume, plane: str) -> None:
    assert drawn_plane(labelmap) == plane


def test_plane_is_the_patients_not_the_files() -> None:
    rolled = np.eye(4)[[1, 2, 0, 3]]  # i runs superior, j right, k anterior
    assert drawn_plane(drawn(4, slice(2, 7), slice(3, 9), ijk_to_ras=rolled)) == "coronal"
