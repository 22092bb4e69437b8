from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from momentumseg.errors import InputError
from momentumseg.transforms.episode_augmentation import (
    AugmentationConfig,
    SpatialWarp,
    augment_pair,
    random_appearance,
    random_gamma,
)

IDENTITY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


@pytest.fixture
def a_mask() -> np.ndarray:
    rows, columns = np.mgrid[:96, :96]
    return (((rows - 40) / 20) ** 2 + ((columns - 55) / 12) ** 2 < 1).astype(np.uint8)


@pytest.fixture
def an_image() -> np.ndarray:
    rng = np.random.default_rng(1)
    return ndimage.gaussian_filter(rng.standard_normal((3, 96, 96)), (0, 3, 3)).astype(np.float32)


@pytest.mark.parametrize("order", [0, 1, 3])
def test_identity_changes_nothing(an_image: np.ndarray, a_mask: np.ndarray, order: int) -> None:
    warp = SpatialWarp(IDENTITY, None, (96, 96))
    np.testing.assert_allclose(warp.image(an_image, order), an_image, atol=1e-4)
    assert np.array_equal(warp.mask(a_mask), a_mask)


@pytest.mark.parametrize("seed", range(8))
def test_image_and_mask_move_together(a_mask: np.ndarray, seed: int) -> None:
    warp = SpatialWarp.random((96, 96), np.random.default_rng(seed), AugmentationConfig())
    image = np.repeat(a_mask[None].astype(np.float32), 3, axis=0)
    moved = warp.mask(a_mask)
    assert not np.array_equal(moved, a_mask)
    for channel in warp.image(image):
        assert np.array_equal(channel >= 0.5, moved == 1)


def test_affine_agrees_with_scipy(an_image: np.ndarray) -> None:
    angle = np.deg2rad(5)
    matrix = np.array([[np.cos(angle), -np.sin(angle), 3.0], [np.sin(angle), np.cos(angle), -2.0]])
    ours = SpatialWarp(matrix, None, (96, 96)).image(an_image[:1])[0]
    centre = np.array([47.5, 47.5])
    row_first = matrix[::-1, [1, 0]]
    offset = centre - row_first @ centre + matrix[::-1, 2]
    expected = ndimage.affine_transform(an_image[0], row_first, offset, order=1)
    np.testing.assert_allclose(ours[10:-10, 10:-10], expected[10:-10, 10:-10], atol=1e-3)


def test_zoom_above_one_magnifies(a_mask: np.ndarray) -> None:
    config = AugmentationConfig(rotation=0, shift=0, shear=0, zoom=(1.2, 1.2), elastic_alpha=0)
    moved = SpatialWarp.random((96, 96), np.random.default_rng(0), config).mask(a_mask)
    assert moved.sum() == pytest.approx(1.44 * a_mask.sum(), rel=0.03)


def test_elastic_displacement_has_the_amplitude_of_the_full_resolution_field() -> None:
    config = AugmentationConfig(rotation=0, shift=0, shear=0, zoom=(1, 1), elastic_alpha=100, elastic_sigma=5)
    columns = np.repeat(np.arange(256, dtype=np.float32)[None, None], 256, axis=1)
    rng = np.random.default_rng(0)
    ours = np.std([(SpatialWarp.random((256, 256), rng, config).image(columns) - columns)[0, 40:-40, 40:-40]
                   for _ in range(4)])  # fmt: skip
    white = rng.uniform(-1, 1, (4, 256, 256))
    reference = np.std(100 * ndimage.gaussian_filter(white, (0, 5, 5))[:, 40:-40, 40:-40])
    assert ours == pytest.approx(reference, rel=0.2)


def test_what_enters_from_outside_is_dark() -> None:
    image = np.full((1, 16, 16), 5.0, dtype=np.float32)
    image[0, 0, 0] = -2
    moved = SpatialWarp(np.array([[1.0, 0, 8], [0, 1.0, 0]]), None, (16, 16)).image(image)
    assert (moved[0, :, 10:] == -2).all()


def test_gamma_keeps_range_and_order(an_image: np.ndarray) -> None:
    for seed in range(5):
        changed = random_gamma(an_image, np.random.default_rng(seed), (0.5, 1.5))
        assert changed.dtype == np.float32
        assert changed.min() == pytest.approx(an_image.min(), abs=1e-5)
        assert changed.max() == pytest.approx(an_image.max(), abs=1e-5)
        rank = np.argsort(an_image.ravel())
        assert (np.diff(changed.ravel()[rank]) >= 0).all()


def test_gamma_of_a_constant_image_is_the_image() -> None:
    constant = np.full((3, 4, 4), 2.0, dtype=np.float32)
    assert np.array_equal(random_gamma(constant, np.random.default_rng(0), (0.5, 1.5)), constant)


def test_pair_without_augmentation_is_unchanged(an_image: np.ndarray, a_mask: np.ndarray) -> None:
    images, masks = augment_pair(
        [an_image, an_image + 1], [a_mask, a_mask], np.random.default_rng(0), AugmentationConfig.none()
    )
    np.testing.assert_allclose(images[0], an_image, atol=1e-4)
    np.testing.assert_allclose(images[1], an_image + 1, atol=1e-4)
    assert all(np.array_equal(mask, a_mask) for mask in masks)


def test_only_one_of_the_two_is_deformed_and_either_may_be(an_image: np.ndarray, a_mask: np.ndarray) -> None:
    moved = set()
    for seed in range(12):
        _, masks = augment_pair(
            [an_image, an_image], [a_mask, a_mask], np.random.default_rng(seed), AugmentationConfig()
        )
        changed = [not np.array_equal(mask, a_mask) for mask in masks]
        assert sum(changed) == 1
        moved.add(changed.index(True))
    assert moved == {0, 1}


def test_inversion_and_flips_are_shared_by_the_pair(an_image: np.ndarray, a_mask: np.ndarray) -> None:
    plain = AugmentationConfig(
        gamma=(1, 1), rotation=0, shift=0, shear=0, zoom=(1, 1), elastic_alpha=0,
        invert_probability=1, flip_probability=1,
    )  # fmt: skip
    images, masks = augment_pair([an_image, an_image], [a_mask, a_mask], np.random.default_rng(0), plain)
    for image, mask in zip(images, masks, strict=True):
        np.testing.assert_allclose(image, -an_image[:, ::-1, ::-1], atol=1e-4)
        assert np.array_equal(mask, a_mask[::-1, ::-1])


@pytest.mark.parametrize("option", [{"noise": 1.0}, {"blur": 3.0}, {"brightness": 1.0}, {"contrast": (0.5, 0.6)}])
def test_appearance_options_change_the_image(an_image: np.ndarray, option: dict) -> None:
    before = an_image.copy()
    changed = random_appearance(an_image, np.random.default_rng(0), AugmentationConfig(**option))
    assert changed.dtype == np.float32
    assert not np.allclose(changed, before)
    assert np.array_equal(an_image, before)


def test_recipe_table_becomes_a_configuration() -> None:
    config = AugmentationConfig.from_mapping({"gamma": [0.7, 1.3], "noise": 0.1})
    assert config == AugmentationConfig(gamma=(0.7, 1.3), noise=0.1)


@pytest.mark.parametrize(
    "table",
    [
        {"gama": 1},
        {"order": 2},
        {"zoom": [1.2, 0.9]},
        {"zoom": 1.2},
        {"zoom": [1.0]},
        {"gamma": [0.0, 1.0]},
        {"elastic_sigma": 0},
    ],
)
def test_wrong_tables_are_refused(table: dict) -> None:
    with pytest.raises(InputError):
        AugmentationConfig.from_mapping(table)
