"""Self-supervised episodes: two neighbouring slices of one supervoxel (ADNet's, reused by RPT and LMS-Net).

Episode ``i`` of a run depends on ``(seed, i)`` alone, so a run that was stopped continues with the very same
episodes, whatever the number of worker processes.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from momentumseg.errors import InputError
from momentumseg.training.prepared_volume import PreparedVolume
from momentumseg.transforms.episode_augmentation import AugmentationConfig, augment_pair
from momentumseg.transforms.slices import SliceContext, slices_to_images

_MAX_ATTEMPTS = 50
_PAPER_AUGMENTATION = AugmentationConfig()


class Episode(NamedTuple):
    """A one-way one-shot task: images ``(3, H, W)`` float32, masks ``(H, W)`` uint8 of 0 and 1."""

    support_image: np.ndarray
    support_mask: np.ndarray
    query_image: np.ndarray
    query_mask: np.ndarray


@dataclass(frozen=True)
class EligibilityRules:
    """Which regions make an episode.

    Attributes:
        larger_area: pixels that the larger of the two slices must hold.
        smaller_area: pixels that the smaller one must hold.
        max_gap: largest distance of the two slices (1 = successive, as in the papers); the region must be
            present in every slice between them.
    """

    larger_area: int = 200
    smaller_area: int = 30
    max_gap: int = 1

    def __post_init__(self) -> None:
        if self.max_gap < 1:
            raise InputError(f"The largest gap between support and query is {self.max_gap} slices: use 1 or more.")


_PAPER_RULES = EligibilityRules()


class EligibleRegion(NamedTuple):
    """A region of one label map and its usable slice pairs ``(P, 2)``, lower slice first."""

    source: int
    label: int
    pairs: np.ndarray


def eligible_regions(regions: np.ndarray, rules: EligibilityRules) -> list[EligibleRegion]:
    """All usable regions of ``(R, S, H, W)`` label maps (R sources, for example supervoxels of several sizes)."""
    found = []
    for source, labels in enumerate(regions):
        counts = _areas(labels)  # (S, L)
        pairs = np.concatenate([_eligible_pairs(counts, gap, rules) for gap in range(1, rules.max_gap + 1)])
        pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
        values, starts = np.unique(pairs[:, 0], return_index=True)
        groups = np.split(pairs[:, 1:], starts[1:]) if len(pairs) else []
        found += [EligibleRegion(source, int(value), group) for value, group in zip(values, groups, strict=True)]
    return found


def _areas(labels: np.ndarray) -> np.ndarray:
    """Pixels of every label in every slice, ``(S, L)``; label 0 (outside the body) counts nowhere."""
    length = int(labels.max()) + 1
    counts = np.stack([np.bincount(one_slice.ravel(), minlength=length) for one_slice in labels])
    counts[:, 0] = 0
    return counts


def _eligible_pairs(counts: np.ndarray, gap: int, rules: EligibilityRules) -> np.ndarray:
    """``(P, 3)`` rows (label, slice, slice + gap)."""
    if len(counts) <= gap:
        return np.empty((0, 3), dtype=np.int64)
    lower, upper = counts[:-gap], counts[gap:]
    usable = (np.maximum(lower, upper) >= rules.larger_area) & (np.minimum(lower, upper) >= max(1, rules.smaller_area))
    for between in range(1, gap):
        usable &= counts[between : len(counts) - gap + between] > 0
    slices, labels = np.nonzero(usable)
    return np.column_stack([labels, slices, slices + gap])


def _by_source(regions: list[EligibleRegion]) -> list[list[EligibleRegion]]:
    """The regions of every source that has any."""
    return [list(group) for _, group in itertools.groupby(regions, key=lambda region: region.source)]


class EpisodeDataset:
    """Episodes drawn from prepared volumes.

    Args:
        volumes: prepared volumes; those without a usable region are left aside.
        seed: with the index, all that an episode depends on.
        length: number of episodes of the run (``len``); indices are not limited by it.
        augmentation: ranges of the augmentation; ``None`` leaves the slices as they are.
        context: what the three channels hold, see :func:`slices_to_images`.
        rules: which regions are usable.

    Raises:
        InputError: no volume holds a usable region.
    """

    def __init__(
        self,
        volumes: Sequence[PreparedVolume],
        *,
        seed: int = 0,
        length: int = 1000,
        augmentation: AugmentationConfig | None = _PAPER_AUGMENTATION,
        context: SliceContext = "single",
        rules: EligibilityRules = _PAPER_RULES,
    ) -> None:
        indexed = [(volume, _by_source(eligible_regions(volume.regions, rules))) for volume in volumes]
        self._volumes = [(volume, sources) for volume, sources in indexed if sources]
        if not self._volumes:
            raise InputError(
                f"None of the {len(volumes)} training volumes holds a region of {rules.larger_area} pixels in two "
                "successive slices: add volumes or lower the region size."
            )
        self.seed = seed
        self.length = length
        self.augmentation = augmentation
        self.context: SliceContext = context

    @property
    def volume_count(self) -> int:
        """Volumes that hold at least one usable region."""
        return len(self._volumes)

    @property
    def region_count(self) -> int:
        """Usable (volume, source, label) regions."""
        return sum(len(regions) for _, sources in self._volumes for regions in sources)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Episode:
        return self.sample(np.random.default_rng([self.seed, index]))

    def sample(self, rng: np.random.Generator) -> Episode:
        """One episode: random volume, source, region and pair of slices, order, augmentation.

        A source (size of supervoxels) is drawn before a region, so that many small ones do not crowd out few large.

        Raises:
            InputError: the augmentation moves every region out of the image.
        """
        for _ in range(_MAX_ATTEMPTS):
            images, masks = self._draw(rng)
            if self.augmentation is not None:
                images, masks = augment_pair(images, masks, rng, self.augmentation)
            if masks[0].any() and masks[1].any():
                support, query = (np.repeat(image, 3 // len(image), axis=0) for image in images)
                return Episode(support, masks[0], query, masks[1])
        raise InputError(
            f"The augmentation left no region inside the image in {_MAX_ATTEMPTS} attempts: use smaller ranges."
        )

    def _draw(self, rng: np.random.Generator) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Images and masks (support, query) before augmentation."""
        volume, sources = self._volumes[rng.integers(len(self._volumes))]
        regions = sources[rng.integers(len(sources))]
        region = regions[rng.integers(len(regions))]
        pair = region.pairs[rng.integers(len(region.pairs))]
        if rng.random() < 0.5:
            pair = pair[::-1]
        images = slices_to_images(volume.stack, pair, self.context)
        if self.context == "single":
            images = images[:, :1]  # augmented once; replicated in `sample`
        masks = (volume.regions[region.source, pair] == region.label).astype(np.uint8)
        return list(images), list(masks)
