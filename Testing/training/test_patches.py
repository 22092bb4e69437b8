"""Patches: what they show, how often structures are in them, and that they depend on their index alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from momentumseg.errors import InputError
from momentumseg.training.data_settings import DataSettings
from momentumseg.training.patches import PatchSampler
from momentumseg.training.prepared_case import PreparedCase
from momentumseg.transforms.patch_augmentation import PatchAugmentation

SHAPE = (12, 20, 16)


def a_case(name: str = "case", shape: tuple[int, int, int] = SHAPE, *, labelled: bool = True) -> PreparedCase:
    """Every voxel has its own value; label 1 is a block, label 2 one voxel."""
    image = np.arange(np.prod(shape), dtype=np.float32).reshape(1, *shape) + 1
    labels = np.zeros(shape, np.uint8)
    labels[2:5, 3:9, 3:9] = 1
    labels[shape[0] - 2, shape[1] - 2, shape[2] - 2] = 2
    return PreparedCase.of_arrays(name, image, labels if labelled else None, classes=3)


def settings(patch: tuple[int, ...] = (4, 6, 6), foreground: float = 0.5) -> DataSettings:
    return DataSettings(patch=patch, plane="volume" if len(patch) == 3 else "axial", foreground=foreground)


def windows(array: np.ndarray, sides: tuple[int, ...]) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(array, sides)


@pytest.mark.parametrize("patch", [(4, 6, 6), (12, 20, 16), (1, 1, 1)])
def test_a_patch_is_a_region_of_the_case_with_its_labels(patch: tuple[int, int, int]) -> None:
    case = a_case()
    sampler = PatchSampler([case], settings(patch), seed=3)
    for index in range(20):
        image, labels = sampler.labelled(index)
        assert image.dtype == np.float32 and image.shape == (1, *patch)
        assert labels.dtype == np.int64 and labels.shape == patch
        start = np.unravel_index(int(image.flat[0]) - 1, SHAPE)
        place = tuple(slice(first, first + side) for first, side in zip(start, patch, strict=True))
        np.testing.assert_array_equal(image[0], case.image[0][place])
        np.testing.assert_array_equal(labels, case.labels[place])


def test_a_slice_is_one_slice_with_its_labels() -> None:
    case = a_case()
    sampler = PatchSampler([case], settings((6, 8)), seed=1)
    for index in range(20):
        image, labels = sampler.labelled(index)
        assert image.shape == (1, 6, 8) and labels.shape == (6, 8)
        k, j, i = np.unravel_index(int(image.flat[0]) - 1, SHAPE)
        np.testing.assert_array_equal(image[0], case.image[0, k, j : j + 6, i : i + 8])
        np.testing.assert_array_equal(labels, case.labels[k, j : j + 6, i : i + 8])


def test_where_the_patch_is_larger_the_volume_is_in_its_middle() -> None:
    case = a_case()
    image, labels = PatchSampler([case], settings((16, 20, 20)), seed=0).labelled(0)
    np.testing.assert_array_equal(image[0, 2:14, :, 2:18], case.image[0])
    np.testing.assert_array_equal(labels[2:14, :, 2:18], case.labels)
    outside = np.ones(image.shape[1:], bool)
    outside[2:14, :, 2:18] = False
    assert (image[0][outside] == 1).all(), "the image's minimum"
    assert (labels[outside] == 0).all()


def test_structures_are_centred_as_often_as_wanted_however_small() -> None:
    sampler = PatchSampler([a_case()], settings((3, 3, 3), foreground=1.0), seed=0)
    found = [sampler.labelled(index)[1] for index in range(200)]
    assert all(labels.any() for labels in found)
    with_small = sum(bool((labels == 2).any()) for labels in found)
    assert 60 < with_small < 140, "half of the patches, though it is one voxel"
    rarely = PatchSampler([a_case()], settings((3, 3, 3), foreground=0.0), seed=0)
    assert sum(bool((rarely.labelled(index)[1] == 2).any()) for index in range(200)) < 10


def test_every_place_can_be_drawn() -> None:
    sampler = PatchSampler([a_case(shape=(4, 5, 6))], settings((3, 3, 3), foreground=0.0), seed=0)
    starts = {float(sampler.labelled(index)[0].flat[0]) for index in range(400)}
    assert len(starts) == 2 * 3 * 4


def test_every_place_can_be_drawn_where_more_than_the_patch_is_read_around_it() -> None:
    augmentation = PatchAugmentation(3, rotation=30.0, shape_probability=0.0)
    sampler = PatchSampler([a_case(shape=(6, 7, 8))], settings((5, 5, 5), foreground=0.0), augmentation, seed=0)
    starts = {float(sampler.labelled(index)[0].flat[0]) for index in range(400)}
    assert len(starts) == 2 * 3 * 4, "what is read is larger than the volume, but the patch is not"


def test_every_case_is_drawn_before_one_is_drawn_again() -> None:
    cases = [
        PreparedCase.of_arrays(str(n), np.full((1, 4, 4, 4), n, np.float32), np.ones((4, 4, 4), np.uint8))
        for n in range(7)
    ]
    sampler = PatchSampler(cases, settings((2, 2, 2)), seed=5)
    drawn = [int(sampler.labelled(index)[0].flat[0]) for index in range(21)]
    rounds = [drawn[start : start + 7] for start in (0, 7, 14)]
    assert all(sorted(one) == list(range(7)) for one in rounds)
    assert len({tuple(one) for one in rounds}) == 3


AUGMENTED = {
    "rotation": 20,
    "scale": [0.8, 1.2],
    "noise": 0.1,
    "contrast": [0.8, 1.2],
    "gamma": [0.7, 1.4],
    "blur": 1.0,
}


@pytest.mark.parametrize("table", [{}, AUGMENTED])
@pytest.mark.parametrize("patch", [(8, 8, 8), (8, 12)])
def test_a_patch_depends_on_its_index_alone(patch: tuple[int, ...], table: dict) -> None:
    cases = [a_case("a"), a_case("b"), a_case("c", labelled=False)]

    def sampler(seed: int = 0) -> PatchSampler:
        return PatchSampler(cases, settings(patch), PatchAugmentation.from_mapping(table, len(patch)), seed=seed)

    one, other = sampler(), sampler()
    forward = [(*one.labelled(index), one.unlabelled(index)) for index in range(16)]
    with ThreadPoolExecutor(4) as pool:
        order = [int(index) for index in np.random.default_rng(0).permutation(16)]
        elsewhere = dict(
            zip(order, pool.map(lambda index: (*other.labelled(index), other.unlabelled(index)), order), strict=True)
        )
    for index, fields in enumerate(forward):
        for mine, theirs in zip(fields, elsewhere[index], strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert not np.array_equal(forward[0][0], sampler(seed=1).labelled(0)[0])


def test_unlabelled_patches_come_from_cases_without_labels() -> None:
    free = PreparedCase.of_arrays("free", np.full((1, 6, 6, 6), -5, np.float32))
    sampler = PatchSampler([a_case(), free], settings((4, 4, 4)), seed=0)
    assert all((sampler.unlabelled(index) == -5).all() for index in range(5))
    assert all((sampler.labelled(index)[0] > 0).all() for index in range(5))
    without = PatchSampler([a_case()], settings((4, 4, 4)), seed=0)
    assert without.unlabelled(0).shape == (1, 4, 4, 4)


def test_cases_without_any_labels_are_refused() -> None:
    with pytest.raises(InputError, match="No training case has labels; label a case"):
        PatchSampler([a_case(labelled=False)], settings(), seed=0)


def test_half_precision_becomes_single() -> None:
    image = np.random.default_rng(0).normal(size=(2, 6, 6, 6)).astype(np.float16)
    case = PreparedCase.of_arrays("half", image, np.ones((6, 6, 6), np.uint8))
    assert PatchSampler([case], settings((4, 4, 4))).labelled(0)[0].dtype == np.float32
