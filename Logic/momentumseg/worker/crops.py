"""The part of an array that is not zero, and what is measured in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from momentumseg.volumes.volume import Volume


class Crop(NamedTuple):
    """Part of a larger array that is zero elsewhere; without an element when it is zero everywhere."""

    array: np.ndarray
    origin: tuple[int, ...]


def bounding_crop(array: np.ndarray) -> Crop:
    """The smallest box with everything that is not zero, as a view."""
    ranges = []
    for axis in range(array.ndim):
        others = tuple(other for other in range(array.ndim) if other != axis)
        filled = np.flatnonzero(array.any(axis=others))
        if filled.size == 0:
            return Crop(array[(slice(0, 0),) * array.ndim], (0,) * array.ndim)
        ranges.append(slice(int(filled[0]), int(filled[-1]) + 1))
        array = array[(slice(None),) * axis + (ranges[-1],)]  # the next axis looks at less
    return Crop(array, tuple(found.start for found in ranges))


def statistics_of(
    labels: Crop, uncertainty: np.ndarray, wanted: Sequence[int], volume: Volume
) -> dict[int, tuple[float, float]]:
    """Label -> (volume in ml, mean uncertainty of its voxels 0 .. 1).

    Args:
        labels: crop of the label map (K, J, I).
        uncertainty: 0 .. 255, of the whole volume.
        wanted: labels; one without voxels has 0 of both.
        volume: whose voxels they are.
    """
    count = max(wanted) + 1
    voxels, doubts = np.zeros(count), np.zeros(count)
    place = tuple(slice(start, start + size) for start, size in zip(labels.origin, labels.array.shape, strict=True))
    for of_slice, doubt in zip(labels.array, uncertainty[place], strict=True):  # one slice of floats at a time
        flat = of_slice.ravel()
        voxels += np.bincount(flat, minlength=count)
        doubts += np.bincount(flat, weights=doubt.ravel(), minlength=count)
    ml = abs(float(np.linalg.det(volume.ijk_to_ras[:3, :3]))) / 1000.0
    return {
        label: (float(voxels[label] * ml), float(doubts[label] / max(voxels[label], 1.0) / 255.0)) for label in wanted
    }
