"""A labelmap in which slices are drawn, on its way to becoming supports."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from momentumseg.errors import EmptySupportError, GeometryError, InputError
from momentumseg.sessions.supports import LARGEST_LABEL
from momentumseg.volumes.resample import resample_labelmap_to
from momentumseg.volumes.volume import Volume


def labels_at_voxels_of(labelmap: Volume | np.ndarray, volume: Volume) -> np.ndarray:
    """Whole numbers (K, J, I) at the voxels of ``volume``; a labelmap of another geometry is resampled.

    Raises:
        InputError: values that are not whole numbers.
        GeometryError: the labelmap lies elsewhere, or an array has another shape.
        EmptySupportError: what is drawn falls between the voxels of ``volume``.
    """
    if isinstance(labelmap, Volume):
        labelmap = labelmap.like(checked_labels(labelmap.array))
        resampled = resample_labelmap_to(labelmap, volume)
        if labelmap.array.any() and not resampled.array.any():
            raise EmptySupportError(
                "Nothing of the support mask falls on a voxel of the volume: draw it with the volume's geometry."
            )
        return resampled.array
    array = checked_labels(np.asarray(labelmap))
    if array.shape != volume.shape:
        raise GeometryError(
            f"The support mask has {array.shape} voxels but the volume has {volume.shape}: give a mask of this volume."
        )
    return array


def checked_labels(labels: np.ndarray) -> np.ndarray:
    """``labels`` as integers, of any shape.

    Raises:
        InputError: values that are not whole numbers, negative, or too large.
    """
    if labels.dtype.kind == "f":
        if not np.isfinite(labels).all() or (labels != np.rint(labels)).any():
            raise InputError(
                "The support mask holds values that are not whole numbers: give a labelmap (0 is background), "
                "not an image or a probability."
            )
        labels = labels.astype(np.int64)
    elif labels.dtype.kind not in "biu":
        raise InputError(f"The support mask holds values of type {labels.dtype}: give a labelmap of whole numbers.")
    if labels.size and labels.dtype.kind != "b" and (labels.min() < 0 or labels.max() > LARGEST_LABEL):
        raise InputError(
            f"The support mask has labels from {labels.min()} to {labels.max()}: use 0 for background and 1 to "
            f"{LARGEST_LABEL} for structures."
        )
    return labels


def labels_on_slices(labelmap: np.ndarray, slice_axis: int, wanted: Iterable[int] | None) -> list[tuple[int, int]]:
    """``(slice index, label)`` of everything drawn in a labelmap ``(K, J, I)``, slice by slice.

    Raises:
        EmptySupportError: nothing is drawn, or a wanted label is not.
    """
    chosen = None if wanted is None else {int(label) for label in wanted}
    found = [
        (index, label)
        for index, labels in enumerate(np.moveaxis(labelmap, slice_axis, 0))
        if labels.any()
        for label in (int(value) for value in np.unique(labels))
        if label != 0 and (chosen is None or label in chosen)
    ]
    missing = sorted((chosen or set()) - {label for _, label in found})
    if missing:
        raise EmptySupportError(f"Label {missing[0]} is nowhere in the support mask: draw it or leave it out.")
    if not found:
        raise EmptySupportError("The support mask is empty: draw the structure on at least one slice.")
    return found
