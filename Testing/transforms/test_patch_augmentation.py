"""Random changes of patches: image and labels stay together, and only what was asked for happens."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from momentumseg.errors import InputError
from momentumseg.transforms.patch_augmentation import PatchAugmentation

Changed = tuple[np.ndarray, np.ndarray]


def changed(table: dict[str, Any], image: np.ndarray, labels: np.ndarray, seed: int, patch: tuple[int, ...]) -> Changed:
    augmentation = PatchAugmentation.from_mapping(table, len(patch))
    new_image, new_labels = augmentation(image, labels, patch, seed)
    assert new_image.shape == (len(image), *patch) and new_image.dtype == np.float32
    assert new_labels is not None and new_labels.shape == patch and new_labels.dtype == labels.dtype
    return new_image, new_labels


def a_patch(sides: tuple[int, ...], seed: int = 0) -> Changed:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, *sides)).astype(np.float32), rng.integers(0, 3, sides).astype(np.uint8)


def a_bright_block(sides: tuple[int, ...]) -> Changed:
    """Image equal to its labels: a block off the middle."""
    labels = np.zeros(sides, np.uint8)
    labels[tuple(slice(side // 3, side // 3 + side // 4) for side in sides)] = 1
    return labels[None].astype(np.float32), labels


@pytest.mark.parametrize("sides", [(6, 7, 8), (9, 10)])
def test_an_empty_table_changes_nothing(sides: tuple[int, ...]) -> None:
    image, labels = a_patch(sides)
    assert PatchAugmentation.from_mapping({}, len(sides)).source_sides(sides) == sides
    for seed in range(3):
        new_image, new_labels = changed({}, image, labels, seed, sides)
        np.testing.assert_array_equal(new_image, image)
        np.testing.assert_array_equal(new_labels, labels)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_only_the_named_axes_are_mirrored_in_half_of_the_patches(axis: int) -> None:
    image, labels = a_patch((6, 7, 8))
    mirrored = 0
    for seed in range(40):
        new_image, new_labels = changed({"flip": [axis]}, image, labels, seed, (6, 7, 8))
        if np.array_equal(new_labels, np.flip(labels, axis)):
            mirrored += 1
            np.testing.assert_array_equal(new_image, np.flip(image, axis + 1))
        else:
            np.testing.assert_array_equal(new_labels, labels)
            np.testing.assert_array_equal(new_image, image)
    assert 8 < mirrored < 32


@pytest.mark.parametrize("patch", [(24, 24, 24), (40, 40)])
@pytest.mark.parametrize("table", [{"rotation": 30}, {"scale": [0.7, 1.4]}, {"rotation": 15, "scale": [0.8, 1.2]}])
def test_labels_turn_and_scale_with_their_image(table: dict[str, Any], patch: tuple[int, ...]) -> None:
    table = {**table, "shape_probability": 1.0}
    source = PatchAugmentation.from_mapping(table, len(patch)).source_sides(patch)
    assert all(read > side and (read - side) % 2 == 0 for read, side in zip(source, patch, strict=True))
    image, labels = a_bright_block(source)
    moved = 0
    for seed in range(6):
        new_image, new_labels = changed(table, image, labels, seed, patch)
        # linear interpolation gives the nearest voxel, whose label is taken, a weight of an eighth or more
        assert (new_labels[new_image[0] > 0.876] == 1).all()
        assert (new_labels[new_image[0] < 0.124] == 0).all()
        assert ((new_image[0] > 0.5) == (new_labels == 1)).mean() > 0.98
        middle = tuple(slice((a - b) // 2, (a - b) // 2 + b) for a, b in zip(source, patch, strict=True))
        moved += not np.array_equal(new_labels, labels[middle])
    assert moved >= 5


@pytest.mark.parametrize(("low", "high"), [(0.5, 0.5), (2.0, 2.0)])
def test_a_larger_scale_makes_structures_larger(low: float, high: float) -> None:
    patch = (40, 40)
    table = {"scale": [low, high], "shape_probability": 1.0}
    source = PatchAugmentation.from_mapping(table, 2).source_sides(patch)
    labels = np.zeros(source, np.uint8)
    labels[tuple(slice(side // 2 - 5, side // 2 + 5) for side in source)] = 1
    _, new_labels = changed(table, labels[None].astype(np.float32), labels, 0, patch)
    assert new_labels.sum() == pytest.approx(100 * low * high, rel=0.25)


def test_volumes_can_turn_around_one_axis_alone() -> None:
    table = {"rotation": [45, 0, 0], "shape_probability": 1.0}
    source = PatchAugmentation.from_mapping(table, 3).source_sides((8, 16, 16))
    heights = np.broadcast_to(np.arange(source[0], dtype=np.float32)[:, None, None], source)[None]
    new_image, _ = changed(table, np.array(heights), np.zeros(source, np.uint8), 3, (8, 16, 16))
    np.testing.assert_allclose(new_image[0], new_image[0, :, :1, :1] + np.zeros((8, 16, 16)), atol=1e-3)


@pytest.mark.parametrize(
    "table", [{"noise": 0.5}, {"blur": 2.0}, {"contrast": [0.5, 2.0]}, {"brightness": 1.0}, {"gamma": [0.5, 2.0]}]
)
def test_appearance_changes_the_image_and_never_the_labels(table: dict[str, Any]) -> None:
    image, labels = a_patch((10, 10, 10))
    differing = 0
    for seed in range(8):
        new_image, new_labels = changed({**table, "appearance_probability": 1.0}, image, labels, seed, (10, 10, 10))
        np.testing.assert_array_equal(new_labels, labels)
        assert np.isfinite(new_image).all()
        differing += not np.allclose(new_image, image, atol=1e-3)
    assert differing >= 6
    never, _ = changed({**table, "appearance_probability": 0.0}, image, labels, 0, (10, 10, 10))
    np.testing.assert_array_equal(never, image)


def test_an_image_without_labels() -> None:
    image, _ = a_patch((8, 8))
    new_image, labels = PatchAugmentation.from_mapping({"flip": [0, 1], "noise": 0.1}, 2)(image, None, (8, 8), 5)
    assert labels is None and new_image.shape == image.shape


def test_what_is_given_is_not_changed_in_place() -> None:
    image, labels = a_patch((12, 12))
    before = image.copy(), labels.copy()
    table = {"flip": [0], "noise": 1.0, "brightness": 1.0, "appearance_probability": 1.0}
    for seed in range(4):
        changed(table, image, labels, seed, (12, 12))
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(labels, before[1])


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"mirror": True}, "unknown option 'mirror'"),
        ({"flip": [2]}, r"augmentation\.flip is \(2,\); list axes among 0, 1"),
        ({"rotation": -5}, r"augmentation\.rotation is -5"),
        ({"rotation": [5, 5, 5]}, r"give 1 numbers or one"),
        ({"scale": [1.2, 0.8]}, r"augmentation\.scale is \(1\.2, 0\.8\)"),
        ({"gamma": 2}, r"augmentation\.gamma is 2"),
        ({"noise": -1}, r"augmentation\.noise is -1"),
        ({"appearance_probability": 2}, r"augmentation\.appearance_probability is 2"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(table: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        PatchAugmentation.from_mapping(table, 2)
