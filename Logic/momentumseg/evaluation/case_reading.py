"""Reading a case: its volume, ready for a network, and its reference labels on the same grid."""

from __future__ import annotations

import numpy as np

from momentumseg.errors import GeometryError, InputError
from momentumseg.io.datasets import Case
from momentumseg.io.read import read_labelmap, read_volume
from momentumseg.volumes.checks import checked_intensities
from momentumseg.volumes.volume import Volume

_MATRIX_TOLERANCE = 1e-2


def read_case(case: Case) -> tuple[Volume, Volume]:
    """The volume of a case with checked float32 intensities, and its labelmap.

    Raises:
        InputError: a file cannot be used, or the case has no labelmap.
        GeometryError: volume and labelmap are not on the same grid.
    """
    if case.label is None:
        raise InputError(f"The case {case.name} has no labelmap; an evaluation needs one.")
    volume, _ = checked_intensities(read_volume(case.image))
    labelmap = read_labelmap(case.label)
    same = labelmap.shape == volume.shape
    if not same or not np.allclose(labelmap.ijk_to_ras, volume.ijk_to_ras, atol=_MATRIX_TOLERANCE):
        raise GeometryError(
            f"The labelmap {case.label.name} ({labelmap.shape}) is not on the grid of {case.image.name} "
            f"({volume.shape}); resample it to the volume."
        )
    return volume, labelmap
