"""Patches of prepared cases: each depends on its index alone, so that a run can be continued at any iteration."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from momentumseg.errors import InputError
from momentumseg.training.data_settings import DataSettings
from momentumseg.training.prepared_case import PreparedCase
from momentumseg.transforms.patch_augmentation import PatchAugmentation

_LABELLED, _UNLABELLED, _ORDER = 0, 1, 2  # streams of random numbers that do not meet
_LARGEST_SEED = 2**32 - 1
_ORDERS_KEPT = 64


class PatchSampler:
    """Patches of a fixed size around structures and elsewhere.

    Every case is drawn once before one is drawn again. A patch that is centred on a structure has a voxel of it in
    the middle; each structure of the case is as likely as the others, however small. Where a patch is larger than
    the volume, the volume is in its middle, and the image is continued with its minimum, the labels with 0.

    Args:
        cases: labelled and unlabelled; unlabelled patches come from those without labels, or from all if every case
            has labels.
        settings: patch, and the part of patches that is centred on structures.
        augmentation: of every patch; None leaves it as it is.
        seed: of all random choices.

    Raises:
        InputError: no case has labels.
    """

    def __init__(
        self,
        cases: Sequence[PreparedCase],
        settings: DataSettings,
        augmentation: PatchAugmentation | None = None,
        seed: int = 0,
    ) -> None:
        self._labelled = [case for case in cases if case.has_labels]
        self._unlabelled = [case for case in cases if not case.has_labels] or list(cases)
        if not self._labelled:
            raise InputError("No training case has labels; label a case, or choose cases that have labels.")
        self._patch_sides = settings.patch
        self._is_slice = settings.dimensions == 2
        self._foreground = settings.foreground
        self._augmentation = augmentation or PatchAugmentation(settings.dimensions)
        # what is read is larger than the patch where it is going to be turned and shrunk
        read = self._augmentation.source_sides(settings.patch)
        self._sides = np.array((1, *read) if self._is_slice else read)
        self._inner = np.array((1, *settings.patch) if self._is_slice else settings.patch)
        self._seed = seed
        self._order = lru_cache(maxsize=_ORDERS_KEPT)(self._drawn_order)

    def labelled(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Patch ``index`` with labels: image (C, *S) float32 and labels (*S) int64."""
        image, labels = self._patch(self._labelled, index, _LABELLED)
        if labels is None:
            raise InputError("A labelled case has lost its labels; start the run again.")
        return image, labels.astype(np.int64)

    def unlabelled(self, index: int) -> np.ndarray:
        """Patch ``index`` of a case without labels: image (C, *S) float32."""
        image, _ = self._patch(self._unlabelled, index, _UNLABELLED)
        return image

    def _patch(self, cases: Sequence[PreparedCase], index: int, stream: int) -> tuple[np.ndarray, np.ndarray | None]:
        rng = np.random.default_rng((self._seed, stream, index))
        case = cases[self._order(stream, len(cases), index // len(cases))[index % len(cases)]]
        # the patch is placed, not what is read around it: else it would always be in the middle of a small volume
        start = self._start(case, rng, around_structure=stream == _LABELLED) - (self._sides - self._inner) // 2
        image = _cut(case.image, start, self._sides, case.lowest).astype(np.float32, copy=False)
        stored = case.labels if stream == _LABELLED else None
        labels = None if stored is None else _cut(stored[None], start, self._sides, (0,))[0]
        if self._is_slice:
            image, labels = image[:, 0], None if labels is None else labels[0]
        return self._augmentation(image, labels, self._patch_sides, int(rng.integers(_LARGEST_SEED)))

    def _drawn_order(self, stream: int, count: int, round_: int) -> np.ndarray:
        """Order of the cases in a round through all of them."""
        return np.random.default_rng((self._seed, _ORDER, stream, round_)).permutation(count)

    def _start(self, case: PreparedCase, rng: np.random.Generator, around_structure: bool) -> np.ndarray:
        """First voxel of a patch; negative along axes where the patch is larger than the volume."""
        room = np.array(case.shape) - self._inner
        anywhere = rng.integers(0, np.maximum(room, 0) + 1)
        present = [voxels for voxels in case.positions if len(voxels)]
        if around_structure and present and rng.random() < self._foreground:
            voxels = present[int(rng.integers(len(present)))]
            middle = np.unravel_index(int(voxels[int(rng.integers(len(voxels)))]), case.shape)
            anywhere = np.clip(np.array(middle) - self._inner // 2, 0, np.maximum(room, 0))
        return np.where(room < 0, -((-room) // 2), anywhere)


def _cut(array: np.ndarray, start: np.ndarray, sides: np.ndarray, outside: Sequence[float]) -> np.ndarray:
    """Patch (C, *sides) of an array (C, D, H, W) from ``start``; beyond the array each channel's ``outside``."""
    first, end = np.maximum(start, 0), np.minimum(start + sides, array.shape[1:])
    inside = array[(slice(None), *(slice(a, b) for a, b in zip(first, end, strict=True)))]
    if (end - first == sides).all():
        return np.array(inside)
    fill = np.array(outside, dtype=array.dtype).reshape(-1, 1, 1, 1)
    patch = np.broadcast_to(fill, (len(array), *sides)).copy()
    target = tuple(slice(a, b) for a, b in zip(first - start, end - start, strict=True))
    patch[(slice(None), *target)] = inside
    return patch
