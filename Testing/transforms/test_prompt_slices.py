"""The way from a slice to the network and back, for every axis order and plane."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from momentumseg.errors import InputError
from momentumseg.geometry.network_space import PLANES
from momentumseg.transforms.prompt_preprocessing import IntensityWindow, PromptPreprocessing
from momentumseg.transforms.prompt_slices import PromptSlices
from momentumseg.volumes.volume import Volume

SIZE = 64
SHAPE = (20, 30, 36)
SPACING = (1.0, 1.25, 4.0)
AXIS_ORDERS = [(order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)]


def slices_of(kind: str, plane: str, order=(0, 1, 2), signs=(1, 1, 1), **options) -> PromptSlices:
    matrix = np.zeros((4, 4))
    for column, (row, sign) in enumerate(zip(order, signs, strict=True)):
        matrix[row, column] = sign * SPACING[column]
    matrix[3, 3] = 1
    voxels = np.random.default_rng(1).integers(1, 1000, SHAPE).astype(np.int16)
    return PromptSlices(Volume(voxels, matrix), plane, PromptPreprocessing.of(kind, SIZE, SIZE), **options)


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize(("order", "signs"), AXIS_ORDERS, ids=str)
def test_a_bright_voxel_is_where_the_prompt_says(order, signs, plane: str) -> None:
    """48 axis orders: a blob in the volume is found in the network's image at the place that its voxel maps to."""
    slices = slices_of("lite-medsam", plane, order, signs)
    rows, columns = slices.slice_shape
    y, x = rows // 3, columns // 4
    voxels = np.ones(SHAPE, dtype=np.float32)
    along = np.moveaxis(voxels, slices.space.slice_axis, 0)
    along[2, y, x] = 500
    image = PromptSlices(
        Volume(voxels, slices.volume.ijk_to_ras), plane, PromptPreprocessing.of("lite-medsam", SIZE, SIZE)
    ).channels(2)[0]
    weights = image / image.sum()
    centre = np.array([(weights * axis).sum() for axis in np.meshgrid(np.arange(SIZE), np.arange(SIZE))])
    assert np.abs(centre - slices.to_network(np.array([(x, y)]))[0]).max() < 0.75


@pytest.mark.parametrize("kind", ["sam", "medsam", "lite-medsam", "lvm-med"])
@pytest.mark.parametrize("plane", PLANES)
def test_a_mask_goes_to_the_network_and_comes_back(kind: str, plane: str) -> None:
    for order, signs in AXIS_ORDERS[::7]:
        slices = slices_of(kind, plane, order, signs)
        rows, columns = slices.slice_shape
        mask = np.zeros((rows, columns), dtype=bool)
        mask[rows // 4 : rows // 2, columns // 5 : columns // 2] = True
        back = slices.to_slice(slices.to_logits(mask)) > 0
        border = mask ^ np.pad(mask, 1)[2:, 1:-1] | mask ^ np.pad(mask, 1)[:-2, 1:-1]
        border |= mask ^ np.pad(mask, 1)[1:-1, 2:] | mask ^ np.pad(mask, 1)[1:-1, :-2]
        assert not ((back ^ mask) & ~border).any()


def test_pixels_are_square_where_the_model_keeps_the_aspect() -> None:
    slices = slices_of("lite-medsam", "coronal")  # columns i at 1 mm, rows k at 4 mm
    origin, right, down = slices.to_network(np.array([(0, 0), (1, 0), (0, 1)]))
    across, along = np.abs(right - origin).max(), np.abs(down - origin).max()
    assert along / across == pytest.approx(4.0, rel=0.02)
    assert slices.voxels_per_network_pixel == pytest.approx((1 / across, 1 / along), rel=1e-3)


def test_places_of_voxels_and_their_slices() -> None:
    assert slices_of("sam", "axial").locate((12.4, 7.0, 3.6)) == (4, 12.4, 7.0)
    assert slices_of("sam", "coronal").locate((12.4, 7.0, 3.6)) == (7, 12.4, 3.6)
    assert slices_of("sam", "sagittal").locate((12.4, 7.0, 3.6)) == (12, 7.0, 3.6)
    with pytest.raises(InputError, match="outside the volume"):
        slices_of("sam", "axial").locate((36.0, 7.0, 3.0))


def test_a_slice_without_contrast_is_blank_and_still_encodes() -> None:
    voxels = np.random.default_rng(0).integers(1, 100, (3, 16, 16)).astype(np.float32)
    voxels[1] = 7
    voxels[2] = np.nan
    slices = PromptSlices(Volume(voxels, np.eye(4)), "axial", PromptPreprocessing.of("sam", SIZE, SIZE))
    assert [slices.is_blank(index) for index in range(3)] == [False, True, True]
    assert not slices.channels(2).any()
    assert "256 NaN or infinite" in slices.warnings[0]


def test_a_window_is_part_of_the_identity_and_decides_what_is_seen() -> None:
    whole = slices_of("sam", "axial")
    windowed = slices_of("sam", "axial", window=IntensityWindow(2000, 3000))
    assert whole.id != windowed.id
    assert windowed.is_blank(0)
    assert not whole.is_blank(0)


@pytest.mark.parametrize("index", [-1, 20, 1.5])
def test_a_slice_that_does_not_exist(index: float) -> None:
    with pytest.raises(InputError, match="axial slices are 0 to 19"):
        slices_of("sam", "axial").check_slice(index)
