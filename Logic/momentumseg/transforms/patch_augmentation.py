"""Random changes of training patches, by MONAI: shape for image and labels alike, appearance for the image alone.

Everything follows from one seed a patch, whatever thread it is made in. Nothing is mirrored unless the recipe asks for
it: the left kidney is not the right one.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from monai.transforms import (
    RandAdjustContrastd,
    RandAffined,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandScaleIntensityFixedMeand,
    RandShiftIntensityd,
)

from momentumseg.errors import InputError

_IMAGE, _LABELS = "image", "labels"
_FLIP_PROBABILITY = 0.5
_WIDEST_MARGIN = 1.5  # of a patch's side: what rotation and shrinking need around it, without reading ever more


@dataclass(frozen=True)
class PatchAugmentation:
    """Random changes of a patch; by default there are none.

    Attributes:
        dimensions: 2 for slices, 3 for volumes.
        flip: axes of the patch that are mirrored in half of the patches: 0 the first (slices; rows of a slice).
        rotation: largest angle in degrees; of volumes one for each axis to turn around, or one number for all.
        scale: range of the magnification along each axis.
        shape_probability: of a patch to be turned and scaled.
        noise: largest standard deviation of Gaussian noise, in units of the normalised image.
        blur: largest sigma of a Gaussian blur, in voxels.
        contrast: range of the factor around the patch's mean.
        brightness: largest offset, in units of the normalised image.
        gamma: range of the exponent on intensities between the patch's extremes; mean and deviation are kept.
        appearance_probability: of each of noise, blur, contrast, brightness and gamma.

    Raises:
        InputError: a value out of its range.
    """

    dimensions: int
    flip: tuple[int, ...] = ()
    rotation: float | tuple[float, ...] = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    shape_probability: float = 0.5
    noise: float = 0.0
    blur: float = 0.0
    contrast: tuple[float, float] = (1.0, 1.0)
    brightness: float = 0.0
    gamma: tuple[float, float] = (1.0, 1.0)
    appearance_probability: float = 0.3
    _of_thread: threading.local = field(default_factory=threading.local, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("scale", "contrast", "gamma"):
            limits = getattr(self, name)
            if not isinstance(limits, tuple) or len(limits) != 2 or not 0 < limits[0] <= limits[1]:
                raise InputError(f"The recipe's augmentation.{name} is {limits!r}; use two ascending positive numbers.")
        for name in ("noise", "blur", "brightness"):
            if not _is_number(getattr(self, name)) or getattr(self, name) < 0:
                raise InputError(f"The recipe's augmentation.{name} is {getattr(self, name)!r}; use 0 or more.")
        for name in ("shape_probability", "appearance_probability"):
            if not _is_number(getattr(self, name)) or not 0 <= getattr(self, name) <= 1:
                raise InputError(f"The recipe's augmentation.{name} is {getattr(self, name)!r}; use 0 to 1.")
        if not isinstance(self.flip, tuple) or not set(self.flip) <= set(range(self.dimensions)):
            axes = ", ".join(map(str, range(self.dimensions)))
            raise InputError(f"The recipe's augmentation.flip is {self.flip!r}; list axes among {axes}.")
        if not all(_is_number(angle) and 0 <= angle <= 180 for angle in self._angles()):
            raise InputError(f"The recipe's augmentation.rotation is {self.rotation!r}; use degrees from 0 to 180.")

    @classmethod
    def from_mapping(cls, table: Mapping[str, Any], dimensions: int) -> PatchAugmentation:
        """Augmentation of a recipe's ``[augmentation]`` table; an empty one changes nothing.

        Raises:
            InputError: an unknown option or a value out of its range.
        """
        known = {entry.name for entry in fields(cls)} - {"dimensions", "_of_thread"}
        unknown = sorted(set(table) - known)
        if unknown:
            raise InputError(
                f"The recipe's [augmentation] table has the unknown option {unknown[0]!r}; "
                f"known are {', '.join(sorted(known))}."
            )
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in table.items()
        }
        return cls(dimensions, **values)

    def source_sides(self, patch: Sequence[int]) -> tuple[int, ...]:
        """Sides of the region that must be given so that a turned and shrunk patch is filled."""
        if not self._changes_shape:
            return tuple(patch)
        angle = math.radians(min(max(self._angles()), 45.0))
        margin = min((math.cos(angle) + math.sin(angle)) / self.scale[0], _WIDEST_MARGIN)
        # the region's middle is the patch's: both even or both odd
        return tuple(side + 2 * math.ceil(side * (max(margin, 1.0) - 1.0) / 2) for side in patch)

    def __call__(
        self, image: np.ndarray, labels: np.ndarray | None, patch: Sequence[int], seed: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Changed patch.

        Args:
            image: (C, *source_sides(patch)) float32.
            labels: (*source_sides(patch)), or None.
            patch: sides of the result.
            seed: that everything random follows from.

        Returns:
            Image (C, *patch) float32 and labels (*patch) of the type they came in.
        """
        random = np.random.RandomState(seed)
        sample = {_IMAGE: image} if labels is None else {_IMAGE: image, _LABELS: labels[None]}
        shape, *rest = self._transforms(tuple(patch))
        if self._changes_shape and random.random_sample() < self.shape_probability:
            sample = shape.set_random_state(state=random)(sample)
        else:
            sample = {name: _middle(array, patch) for name, array in sample.items()}
        for transform in rest:
            sample = transform.set_random_state(state=random)(sample)
        changed = np.ascontiguousarray(np.asarray(sample[_IMAGE]), dtype=np.float32)
        if labels is None:
            return changed, None
        return changed, np.asarray(sample[_LABELS])[0].astype(labels.dtype)

    @property
    def _changes_shape(self) -> bool:
        return max(self._angles()) > 0 or self.scale != (1.0, 1.0)

    def _angles(self) -> tuple[float, ...]:
        """Degrees around each axis, of slices the one angle in their plane."""
        count = 3 if self.dimensions == 3 else 1
        angles = self.rotation if isinstance(self.rotation, tuple) else (self.rotation,) * count
        if len(angles) != count:
            raise InputError(f"The recipe's augmentation.rotation is {self.rotation!r}; give {count} numbers or one.")
        return angles

    def _transforms(self, patch: tuple[int, ...]) -> list[Any]:
        """The change of shape and what follows it. MONAI's transforms hold their random state: a thread has its own."""
        kept: dict[tuple[int, ...], list[Any]] = self._of_thread.__dict__.setdefault("kept", {})
        if patch not in kept:
            kept[patch] = [self._shape_transform(patch), *self._flips(), *self._appearance()]
        return kept[patch]

    def _shape_transform(self, patch: tuple[int, ...]) -> RandAffined:
        # MONAI scales the coordinates that are read: a larger magnification reads closer ones
        nearer, farther = 1.0 / self.scale[1] - 1.0, 1.0 / self.scale[0] - 1.0
        return RandAffined(
            keys=(_IMAGE, _LABELS),
            allow_missing_keys=True,
            spatial_size=patch,
            prob=1.0,
            rotate_range=[math.radians(angle) for angle in self._angles()],
            scale_range=[(nearer, farther)] * self.dimensions,
            mode=("bilinear", "nearest"),
            padding_mode="border",
        )

    def _flips(self) -> list[RandFlipd]:
        return [
            RandFlipd((_IMAGE, _LABELS), prob=_FLIP_PROBABILITY, spatial_axis=axis, allow_missing_keys=True)
            for axis in self.flip
        ]

    def _appearance(self) -> list[Any]:
        probability = self.appearance_probability
        chosen: list[Any] = []
        if self.blur > 0:
            sigma = (0.0, self.blur)
            chosen.append(RandGaussianSmoothd(_IMAGE, sigma_x=sigma, sigma_y=sigma, sigma_z=sigma, prob=probability))
        if self.contrast != (1.0, 1.0):
            factors = (self.contrast[0] - 1.0, self.contrast[1] - 1.0)
            chosen.append(RandScaleIntensityFixedMeand(_IMAGE, factors=factors, prob=probability))
        if self.brightness > 0:
            chosen.append(RandShiftIntensityd(_IMAGE, offsets=self.brightness, prob=probability))
        if self.gamma != (1.0, 1.0):
            chosen.append(RandAdjustContrastd(_IMAGE, gamma=self.gamma, retain_stats=True, prob=probability))
        if self.noise > 0:
            chosen.append(RandGaussianNoised(_IMAGE, std=self.noise, prob=probability))
        return chosen


def _middle(array: np.ndarray, patch: Sequence[int]) -> np.ndarray:
    """Central (C, *patch) region of an array (C, *S)."""
    starts = [(count - side) // 2 for count, side in zip(array.shape[1:], patch, strict=True)]
    return array[(slice(None), *(slice(start, start + side) for start, side in zip(starts, patch, strict=True)))]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
