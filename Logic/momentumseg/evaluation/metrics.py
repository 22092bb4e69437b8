"""Overlap, surface and volume measures between a predicted and a reference mask."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from momentumseg.errors import GeometryError

_CUBIC_MM_PER_ML = 1000.0


@dataclass(frozen=True)
class Confusion:
    """Voxel counts of a binary segmentation; counts of slices add up to those of their volume.

    Attributes:
        true_positive, false_positive, false_negative: voxels.
    """

    true_positive: int = 0
    false_positive: int = 0
    false_negative: int = 0

    @classmethod
    def of(cls, prediction: np.ndarray, reference: np.ndarray) -> Confusion:
        """Counts of two masks of the same shape, foreground != 0.

        Raises:
            GeometryError: the shapes differ.
        """
        predicted, real = _binary_pair(prediction, reference)
        both = int(np.count_nonzero(predicted & real))
        return cls(both, int(np.count_nonzero(predicted)) - both, int(np.count_nonzero(real)) - both)

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(
            self.true_positive + other.true_positive,
            self.false_positive + other.false_positive,
            self.false_negative + other.false_negative,
        )

    @property
    def dice(self) -> float:
        """2 TP / (2 TP + FP + FN) in [0, 1]; both masks empty is a perfect answer, 1; one of them empty is 0."""
        total = 2 * self.true_positive + self.false_positive + self.false_negative
        return 1.0 if total == 0 else 2 * self.true_positive / total

    @property
    def iou(self) -> float:
        """TP / (TP + FP + FN) in [0, 1], with the conventions of :attr:`dice` for empty masks."""
        total = self.true_positive + self.false_positive + self.false_negative
        return 1.0 if total == 0 else self.true_positive / total


@dataclass(frozen=True)
class MaskScore:
    """Measures of one predicted mask.

    Attributes:
        dice, iou, surface_dice: in [0, 1]; ``surface_dice`` is None where it was not asked for.
        volume_ml, reference_volume_ml: volumes of the prediction and the reference, ml.
        confusion: the counts behind ``dice`` and ``iou``.
    """

    dice: float
    iou: float
    surface_dice: float | None
    volume_ml: float
    reference_volume_ml: float
    confusion: Confusion


@dataclass(frozen=True)
class MeanAndDeviation:
    """Mean and sample standard deviation (n - 1) of ``count`` values; ``deviation`` is None for fewer than two."""

    mean: float | None
    deviation: float | None
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> MeanAndDeviation:
        known = [float(value) for value in values]
        if not known:
            return cls(None, None, 0)
        deviation = float(np.std(known, ddof=1)) if len(known) > 1 else None
        return cls(float(np.mean(known)), deviation, len(known))

    def __str__(self) -> str:
        """``.812 ± .034``, ``.812`` or ``-``."""
        if self.mean is None:
            return "-"
        mean = f"{self.mean:.3f}"
        return mean if self.deviation is None else f"{mean} ± {self.deviation:.3f}"


def mask_score(
    prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float], tolerance_mm: float | None = 3.0
) -> MaskScore:
    """All measures of a predicted mask.

    Args:
        prediction, reference: masks ``(K, J, I)`` of the same shape, foreground != 0.
        spacing: voxel size in mm along the axes of the arrays, in their order (K, J, I).
        tolerance_mm: of the surface Dice; None leaves it out.

    Raises:
        GeometryError: the shapes differ.
    """
    confusion = Confusion.of(prediction, reference)
    return MaskScore(
        dice=confusion.dice,
        iou=confusion.iou,
        surface_dice=None if tolerance_mm is None else surface_dice(prediction, reference, spacing, tolerance_mm),
        volume_ml=volume_ml(prediction, spacing),
        reference_volume_ml=volume_ml(reference, spacing),
        confusion=confusion,
    )


def volume_ml(mask: np.ndarray, spacing: Sequence[float]) -> float:
    """Volume of the voxels != 0 in ml; ``spacing`` in mm."""
    return float(np.count_nonzero(mask)) * math.prod(float(size) for size in spacing) / _CUBIC_MM_PER_ML


def surface_dice(
    prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float], tolerance_mm: float = 3.0
) -> float:
    """Fraction of both surfaces that lies within ``tolerance_mm`` of the other one (Nikolov et al., arXiv:1809.04430).

    Surface elements carry their area in mm^2 (marching-cubes neighbour codes), so that anisotropic voxels are weighed
    rightly. Masks end with their array: a mask that touches its border has a surface there. Both masks empty gives 1,
    one of them empty 0, as with Dice.

    Args:
        prediction, reference: masks ``(K, J, I)`` of the same shape, foreground != 0.
        spacing: voxel size in mm along the axes of the arrays.
        tolerance_mm: accepted distance in mm, >= 0.

    Raises:
        GeometryError: the shapes differ.
    """
    predicted, real = _binary_pair(prediction, reference)
    if not predicted.any() or not real.any():
        return 1.0 if not predicted.any() and not real.any() else 0.0
    import torch
    from monai.metrics import compute_surface_dice

    window = bounding_box(predicted | real)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # raised by MONAI about a call inside MONAI
        value = compute_surface_dice(
            torch.from_numpy(np.ascontiguousarray(predicted[window]))[None, None],
            torch.from_numpy(np.ascontiguousarray(real[window]))[None, None],
            class_thresholds=[float(tolerance_mm)],
            include_background=True,
            spacing=[float(size) for size in spacing],
            use_subvoxels=True,
        )
    return float(value[0, 0])


def hausdorff_95(prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float]) -> float | None:
    """95th percentile of the distances in mm between the surfaces, the larger of both directions.

    Surfaces are the outermost voxels of the masks. None where one of the masks is empty: there is no distance then.

    Args:
        prediction, reference: masks ``(K, J, I)`` of the same shape, foreground != 0.
        spacing: voxel size in mm along the axes of the arrays.

    Raises:
        GeometryError: the shapes differ.
    """
    predicted, real = _binary_pair(prediction, reference)
    if not predicted.any() or not real.any():
        return None
    from scipy.ndimage import binary_erosion, distance_transform_edt

    window = bounding_box(predicted | real)
    surfaces = [mask[window] & ~binary_erosion(mask[window]) for mask in (predicted, real)]
    distances = [
        distance_transform_edt(~other, sampling=[float(size) for size in spacing])[surface]
        for surface, other in (surfaces, surfaces[::-1])
    ]
    return float(max(np.percentile(of_surface, 95) for of_surface in distances))


def bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    """Smallest window that holds every voxel of a mask with foreground."""
    window = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        present = np.flatnonzero(mask.any(axis=others))
        window.append(slice(int(present[0]), int(present[-1]) + 1))
    return tuple(window)


def _binary_pair(prediction: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if prediction.shape != reference.shape:
        raise GeometryError(
            f"The prediction has {prediction.shape} voxels and the reference {reference.shape}; "
            "compare masks on the same grid."
        )
    return prediction != 0, reference != 0
