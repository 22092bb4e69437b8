from __future__ import annotations

import numpy as np
import pytest
from torch.utils.data import DataLoader

from momentumseg.errors import InputError
from momentumseg.training.episodes import EligibilityRules, Episode, EpisodeDataset, eligible_regions
from momentumseg.training.prepared_volume import PreparedVolume
from momentumseg.transforms.episode_augmentation import AugmentationConfig

RULES = EligibilityRules(larger_area=16, smaller_area=4)


def square(side: int, shape: tuple[int, int] = (24, 24)) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[8 : 8 + side, 8 : 8 + side] = True
    return mask


def regions_with_sides(*sides: int) -> np.ndarray:
    """One region, label 1, of the given side in successive slices (0 = absent)."""
    return np.stack([square(side) for side in sides]).astype(np.int32)[None]


def pairs_of(*sides: int, **rules: int) -> list[list[int]]:
    found = eligible_regions(
        regions_with_sides(*sides), EligibilityRules(**{"larger_area": 16, "smaller_area": 4, **rules})
    )
    return found[0].pairs.tolist() if found else []


@pytest.fixture
def a_volume() -> PreparedVolume:
    """Slices whose voxels tell their slice; two sources, regions 3 and 9."""
    stack = np.arange(8, dtype=np.float32)[:, None, None] + np.random.default_rng(0).random((8, 24, 24)) * 0.1
    first = np.stack([square(5)] * 8) * 3
    second = np.stack([square(7)] * 8) * 9
    second[4] = 0
    return PreparedVolume(stack.astype(np.float32), np.stack([first, second]).astype(np.uint8), "phantom")


def test_pairs_need_one_large_and_one_not_too_small_slice() -> None:
    assert pairs_of(4, 2, 1) == [[0, 1]]
    assert pairs_of(2, 4, 2) == [[0, 1], [1, 2]]
    assert pairs_of(3, 3) == []
    assert pairs_of(4, 1) == []
    assert pairs_of(4) == []


def test_pairs_stay_within_a_run_of_slices() -> None:
    assert pairs_of(4, 0, 4) == []
    assert pairs_of(4, 0, 4, max_gap=2) == []
    assert pairs_of(4, 1, 4, max_gap=2) == [[0, 2]]
    assert pairs_of(4, 4, 4, max_gap=2) == [[0, 1], [1, 2], [0, 2]]


def test_label_zero_is_never_a_region() -> None:
    assert eligible_regions(np.zeros((1, 3, 24, 24), dtype=np.int32), RULES) == []


def test_regions_of_every_source_are_indexed(a_volume: PreparedVolume) -> None:
    found = eligible_regions(a_volume.regions, RULES)
    assert [(region.source, region.label, len(region.pairs)) for region in found] == [(0, 3, 7), (1, 9, 5)]


def test_episode_shows_successive_slices_of_one_region_in_both_orders(a_volume: PreparedVolume) -> None:
    dataset = EpisodeDataset([a_volume], augmentation=None, rules=RULES)
    orders, areas = set(), set()
    for index in range(60):
        episode = dataset[index]
        support, query = int(episode.support_image.min()), int(episode.query_image.min())
        orders.add(query - support)
        areas.add(int(episode.support_mask.sum()))
        assert episode.support_mask.sum() == episode.query_mask.sum()
    assert orders == {-1, 1}
    assert areas == {25, 49}


def test_larger_gaps_are_drawn_when_allowed(a_volume: PreparedVolume) -> None:
    dataset = EpisodeDataset(
        [a_volume], augmentation=None, rules=EligibilityRules(larger_area=16, smaller_area=4, max_gap=3)
    )
    episodes = [dataset[index] for index in range(80)]
    distances = {abs(int(each.query_image.min()) - int(each.support_image.min())) for each in episodes}
    assert distances == {1, 2, 3}


@pytest.mark.parametrize("context", ["single", "neighbours"])
def test_shapes_types_and_channels(a_volume: PreparedVolume, context: str) -> None:
    dataset = EpisodeDataset([a_volume], augmentation=None, context=context, rules=RULES)  # type: ignore[arg-type]
    for index in range(20):
        episode = dataset[index]
        for image in (episode.support_image, episode.query_image):
            assert image.shape == (3, 24, 24)
            assert image.dtype == np.float32
            slices = image.min(axis=(1, 2)).astype(int)
            centre = slices[1]
            expected = [centre] * 3 if context == "single" else [max(0, centre - 1), centre, min(7, centre + 1)]
            assert slices.tolist() == expected
        for mask in (episode.support_mask, episode.query_mask):
            assert mask.shape == (24, 24)
            assert mask.dtype == np.uint8
            assert set(np.unique(mask)) == {0, 1}


def test_half_precision_stacks_give_float32_images(a_volume: PreparedVolume) -> None:
    half = PreparedVolume(a_volume.stack.astype(np.float16), a_volume.regions)
    assert EpisodeDataset([half], rules=RULES)[0].support_image.dtype == np.float32


def equal(first: Episode, second: Episode) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_episode_depends_on_seed_and_index_alone(a_volume: PreparedVolume) -> None:
    augmentation = AugmentationConfig(shift=1, noise=0.1, blur=0.5, invert_probability=0.5, flip_probability=0.5)
    one = EpisodeDataset([a_volume], seed=5, augmentation=augmentation, rules=RULES)
    other = EpisodeDataset([a_volume], seed=5, augmentation=augmentation, rules=RULES, length=3)
    in_order = [one[index] for index in range(6)]
    assert all(equal(other[index], in_order[index]) for index in (5, 2, 0, 4))
    assert not equal(one[0], one[1])
    assert not equal(one[0], EpisodeDataset([a_volume], seed=6, augmentation=augmentation, rules=RULES)[0])


def test_augmentation_leaves_the_volume_untouched(a_volume: PreparedVolume) -> None:
    stack, regions = a_volume.stack.copy(), a_volume.regions.copy()
    dataset = EpisodeDataset([a_volume], augmentation=AugmentationConfig(noise=1, brightness=1), rules=RULES)
    for index in range(10):
        dataset[index]
    assert np.array_equal(stack, a_volume.stack)
    assert np.array_equal(regions, a_volume.regions)


def test_every_source_is_drawn_equally_often(a_volume: PreparedVolume) -> None:
    small = np.zeros_like(a_volume.regions[0])
    for label in range(1, 9):
        small[:, :, 3 * label - 3 : 3 * label] = label
    volume = PreparedVolume(a_volume.stack, np.stack([a_volume.regions[0], small]))
    dataset = EpisodeDataset([volume], augmentation=None, rules=RULES)
    large = sum(int(dataset[index].support_mask.sum()) == 25 for index in range(200))
    assert 70 < large < 130


def test_episodes_can_be_batched_by_a_loader(a_volume: PreparedVolume) -> None:
    dataset = EpisodeDataset([a_volume], augmentation=None, rules=RULES, length=4)
    first = next(iter(DataLoader(dataset, batch_size=2)))  # type: ignore[arg-type]
    assert isinstance(first, Episode)
    assert first.support_image.shape == (2, 3, 24, 24)
    assert np.array_equal(first.query_mask[1], dataset[1].query_mask)


def test_volumes_without_regions_are_left_aside(a_volume: PreparedVolume) -> None:
    empty = PreparedVolume(a_volume.stack, np.zeros_like(a_volume.regions))
    dataset = EpisodeDataset([empty, a_volume], rules=RULES)
    assert (dataset.volume_count, dataset.region_count) == (1, 2)
    with pytest.raises(InputError, match="None of the 1 training volumes"):
        EpisodeDataset([empty], rules=RULES)


def test_augmentation_that_empties_every_mask_is_reported(a_volume: PreparedVolume) -> None:
    with pytest.raises(InputError, match="smaller ranges"):
        EpisodeDataset([a_volume], augmentation=AugmentationConfig(shift=1e5), rules=RULES)[0]


def test_regions_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="do not fit"):
        PreparedVolume(np.zeros((2, 4, 4)), np.zeros((3, 4, 4), dtype=int))


def test_gap_below_one_is_refused() -> None:
    with pytest.raises(InputError, match="1 or more"):
        EligibilityRules(max_gap=0)
