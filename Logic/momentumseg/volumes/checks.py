"""Intensities that a network can be given."""

from __future__ import annotations

import numpy as np

from momentumseg.errors import InputError
from momentumseg.volumes.volume import Volume


def checked_intensities(volume: Volume, *, keep_integers: bool = False) -> tuple[Volume, list[str]]:
    """The volume as float32 without NaN and infinite voxels, and a sentence for each thing that was changed.

    Voxels that are not finite take the smallest finite value. ``keep_integers`` returns integer voxels as they are
    (they are always finite), which spares a float copy of a large CT. Raises `InputError` when no voxel is finite
    or all have the same value, so that there is nothing to see.
    """
    name = volume.name or "The volume"
    if keep_integers and volume.array.dtype.kind in "iu":
        _check_contrast(name, float(volume.array.min()), float(volume.array.max()))
        return volume, []
    with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite, which is handled below
        array = volume.array.astype(np.float32)
    finite = np.isfinite(array)
    broken = array.size - int(np.count_nonzero(finite))
    if broken == array.size:
        raise InputError(f"{name} has only NaN or infinite voxels; load another image.")
    minimum = float(np.min(array, where=finite, initial=np.inf))
    _check_contrast(name, minimum, float(np.max(array, where=finite, initial=-np.inf)))
    if broken == 0:
        return volume.like(array), []
    array[~finite] = minimum
    return volume.like(array), [
        f"{name} has {broken} NaN or infinite voxels; they were replaced by its minimum ({minimum:g})."
    ]


def _check_contrast(name: str, minimum: float, maximum: float) -> None:
    if minimum == maximum:
        raise InputError(f"{name} has the same value ({minimum:g}) in every voxel; load an image with content.")
