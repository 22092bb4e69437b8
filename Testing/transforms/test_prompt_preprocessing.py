from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from momentumseg.errors import InputError
from momentumseg.transforms.prompt_preprocessing import (
    KINDS,
    IntensityWindow,
    PromptPreprocessing,
    SliceTransform,
    resample,
)
from momentumseg.transforms.resampling_matrices import area_matrix, linear_matrix

SAM_MEAN = torch.tensor([123.675, 116.28, 103.53])
SAM_DEVIATION = torch.tensor([58.395, 57.12, 57.375])
each_kind = pytest.mark.parametrize("kind", list(KINDS))


def a_preprocessing(kind: str, image_size: int = 64, mask_size: int = 16) -> PromptPreprocessing:
    return PromptPreprocessing.of(kind, image_size, mask_size)


def a_slice(rows: int = 20, columns: int = 30) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 1000, (rows, columns)).astype(np.int16)


def test_sam_reads_bytes_with_mean_and_deviation_of_the_longest_side_padded() -> None:
    image, transform = a_preprocessing("sam").prepare(a_slice(32, 64), IntensityWindow(0, 1000))
    assert transform.resized_shape == (32, 64)
    shown = torch.from_numpy(a_slice(32, 64) / 1000 * 255).float()
    expected = (shown - SAM_MEAN[:, None, None]) / SAM_DEVIATION[:, None, None]
    torch.testing.assert_close(image[:, :32], expected, atol=1e-5, rtol=0)
    assert (image[:, 32:] == 0).all()


def test_medsam_stretches_and_reads_the_full_range_of_the_slice() -> None:
    image, transform = a_preprocessing("medsam").prepare(a_slice(), IntensityWindow(-5000, 5000))
    assert transform.resized_shape == (64, 64)
    assert (image.min(), image.max()) == (0, 1)


def test_lite_medsam_keeps_the_aspect_and_reads_the_full_range_of_the_slice() -> None:
    image, transform = a_preprocessing("lite-medsam").prepare(a_slice(40, 128), IntensityWindow(-5000, 5000))
    assert transform.resized_shape == (20, 64)
    averaged = a_slice(40, 128).reshape(20, 2, 64, 2).mean((1, 3))
    expected = (averaged - averaged.min()) / (averaged.max() - averaged.min())
    np.testing.assert_allclose(image[0, :20], expected, atol=1e-5)
    assert (image[:, 20:] == 0).all()


def test_lvm_med_takes_nearest_voxels_of_the_full_range_with_sams_mean() -> None:
    pixels = a_slice(32, 16)
    image, transform = a_preprocessing("lvm-med").prepare(pixels)
    assert transform.resized_shape == (64, 64)
    repeated = torch.from_numpy(np.kron(pixels, np.ones((2, 4))))
    shown = (repeated - pixels.min()) / float(pixels.max() - pixels.min()) * 255
    expected = ((shown - SAM_MEAN[:, None, None]) / SAM_DEVIATION[:, None, None]).float()
    torch.testing.assert_close(image, expected, atol=1e-4, rtol=0)


def test_kinds_differ_in_what_the_network_reads() -> None:
    images = [a_preprocessing(kind).prepare(a_slice(), IntensityWindow(0, 2000))[0] for kind in KINDS]
    for index, image in enumerate(images):
        assert all(not torch.allclose(image, other, atol=0.01) for other in images[:index])


@each_kind
def test_images_are_contiguous_single_precision(kind: str) -> None:
    for dtype in (np.uint8, np.int16, np.uint16, np.float64, ">f4", bool):
        pixels = (a_slice() > 500).astype(dtype)[::-1, ::2]
        image, _ = a_preprocessing(kind).prepare(pixels)
        assert (image.shape, image.dtype, image.is_contiguous()) == ((3, 64, 64), torch.float32, True)


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from(list(KINDS)), st.floats(0.2, 8))
def test_there_and_back_is_the_identity(rows: int, columns: int, kind: str, thickness: float) -> None:
    transform = a_preprocessing(kind, 1024, 256).transform_of((rows, columns), (thickness, 1.0))
    places = np.array([[0, 0], [columns - 1, rows - 1], [columns / 3, rows / 2]])
    np.testing.assert_allclose(transform.from_network(transform.to_network(places)), places, atol=1e-3)
    edges = transform.to_network(np.array([[-0.5, -0.5], [columns - 0.5, rows - 0.5]]))
    np.testing.assert_allclose(edges[0], -0.5, atol=1e-4)
    np.testing.assert_allclose(edges[1], np.array(transform.resized_shape[::-1]) - 0.5, atol=1e-3)


@each_kind
@pytest.mark.parametrize("shape", [(20, 30), (90, 70), (64, 64), (256, 100)])
def test_a_place_in_the_slice_is_the_same_place_in_the_image_and_in_the_mask(kind: str, shape: tuple[int, int]) -> None:
    """A blob goes through the image, is read as if by a network, and comes back where it was."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    x, y, radius = shape[1] * 0.7, shape[0] * 0.3, min(shape) / 6
    blob = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * radius**2)) + 0.01
    preprocessing = a_preprocessing(kind, 128, 32)
    image, transform = preprocessing.prepare(blob, IntensityWindow(0, 1))
    image = image[0] - image[0, transform.resized_shape[0] - 1, 0]
    image[transform.resized_shape[0] :], image[:, transform.resized_shape[1] :] = 0, 0
    np.testing.assert_allclose(centre(image.numpy()), transform.to_network(np.array([x, y])), atol=1.0)
    logits = torch.nn.functional.avg_pool2d(image[None], 4)[0]
    back = transform.logits_to_slice(logits)
    assert (back.shape, back.dtype) == (shape, np.float32)
    np.testing.assert_allclose(centre(back), (x, y), atol=0.02 * max(shape))


def centre(image: np.ndarray) -> np.ndarray:
    """(x, y) of the brightest part."""
    weights = np.clip(image - 0.5 * image.max(), 0, None)
    rows, columns = np.indices(image.shape)
    return np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()


def test_logits_of_the_slices_own_size_are_cropped_without_change() -> None:
    transform = a_preprocessing("lite-medsam", 64, 64).transform_of((40, 64))
    logits = np.random.default_rng(1).normal(size=(64, 64)).astype(np.float32)
    np.testing.assert_allclose(transform.logits_to_slice(logits), logits[:40], atol=1e-6)


def test_several_logits_come_back_together() -> None:
    transform = a_preprocessing("sam").transform_of((20, 30))
    logits = torch.rand(3, 16, 16, requires_grad=True)
    together = transform.logits_to_slice(logits)
    np.testing.assert_allclose(together[1], transform.logits_to_slice(logits[1]), atol=1e-6)
    with pytest.raises(InputError, match=r"\(3, 8, 8\).*16"):
        transform.logits_to_slice(torch.rand(3, 8, 8))


def test_linear_logits_are_met_exactly_inside() -> None:
    transform = SliceTransform((50, 80), (40, 64), 64, 16)
    rows, columns = np.mgrid[:16, :16].astype(np.float32)
    back = transform.logits_to_slice(2 * columns + rows)
    x, y = 30, 20
    network = transform.to_network(np.array([x, y]))
    column, row = (network + 0.5) / 4 - 0.5
    assert back[y, x] == pytest.approx(2 * column + row, abs=1e-4)


def test_thick_slices_seen_from_the_side_keep_the_aspect_of_the_body() -> None:
    preprocessing = a_preprocessing("sam")
    assert preprocessing.transform_of((10, 40), (4.0, 1.0)).resized_shape == (64, 64)
    assert a_preprocessing("medsam").transform_of((10, 40), (4.0, 1.0)).resized_shape == (64, 64)


def test_window_of_a_volume_is_the_percentiles_of_what_is_not_zero() -> None:
    volume = np.zeros((4, 50, 50), dtype=np.int16)
    volume[:2] = np.arange(1, 5001).reshape(2, 50, 50)
    window = IntensityWindow.fit(volume)
    assert (window.low, window.high) == pytest.approx((26, 4975), abs=1)


def test_window_sees_no_difference_between_memory_orders() -> None:
    volume = np.random.default_rng(0).normal(size=(5, 6, 7))
    assert IntensityWindow.fit(volume) == IntensityWindow.fit(np.asfortranarray(volume).transpose())


def test_window_of_ct() -> None:
    window = IntensityWindow.from_level(40, 400)
    np.testing.assert_allclose(window.apply(np.array([-1000, -160, 40, 240, 3000])), [0, 0, 0.5, 1, 1])


def test_window_of_a_mask_is_its_full_range() -> None:
    mask = np.zeros((3, 8, 8), dtype=np.uint8)
    mask[1, 2:4] = 1
    assert IntensityWindow.fit(mask) == IntensityWindow(0, 1)


@each_kind
def test_voxels_that_are_no_numbers_count_as_dark(kind: str) -> None:
    pixels = a_slice().astype(np.float32)
    holes = pixels.copy()
    holes[3, 4], holes[5, 6], holes[7, 8] = np.nan, -np.inf, pixels.min()
    dark = holes.copy()
    dark[3, 4] = dark[5, 6] = pixels.min()
    window = IntensityWindow(float(pixels.min()), float(pixels.max()))
    image, _ = a_preprocessing(kind).prepare(holes, window)
    assert torch.isfinite(image).all()
    torch.testing.assert_close(image, a_preprocessing(kind).prepare(dark, window)[0])


@each_kind
@pytest.mark.parametrize(
    ("pixels", "sentence"),
    [
        (np.full((8, 8), 7), "7"),
        (np.zeros((8, 8), dtype=np.uint8), "0"),
        (np.full((8, 8), np.nan), "NaN"),
        (np.full((8, 8), np.inf), "infinite"),
        (np.zeros((2, 8, 8)), r"\(2, 8, 8\)"),
        (np.zeros((0, 8)), r"\(0, 8\)"),
        (np.zeros((8, 8), dtype=complex), "complex"),
    ],
)
def test_slices_that_show_nothing_are_refused_in_one_sentence(kind: str, pixels: np.ndarray, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as refusal:
        a_preprocessing(kind).prepare(pixels)
    assert "\n" not in str(refusal.value)


@each_kind
def test_slice_outside_the_window_is_refused(kind: str) -> None:
    with pytest.raises(InputError, match="between 5000 and 6000"):
        a_preprocessing(kind).prepare(a_slice(), IntensityWindow(5000, 6000))


@pytest.mark.parametrize("ends", [(1.0, 1.0), (2.0, 1.0), (np.nan, 1.0), (0.0, np.inf)])
def test_windows_that_show_nothing_are_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="window"):
        IntensityWindow(*ends)


@pytest.mark.parametrize("volume", [np.zeros((3, 3, 3)), np.full((3, 3, 3), 4), np.full((3, 3, 3), np.nan)])
def test_volumes_that_show_nothing_are_refused(volume: np.ndarray) -> None:
    with pytest.raises(InputError):
        IntensityWindow.fit(volume)


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(InputError, match="'sam3'.*lite-medsam"):
        a_preprocessing("sam3")


@pytest.mark.parametrize(("outputs", "inputs"), [(3, 7), (5, 5), (1, 9), (64, 100)])
def test_area_average_keeps_the_mean(outputs: int, inputs: int) -> None:
    matrix = area_matrix(outputs, inputs)
    torch.testing.assert_close(matrix.sum(1), torch.ones(outputs))
    torch.testing.assert_close(matrix.sum(0), torch.full((inputs,), outputs / inputs))


def test_linear_reading_holds_the_ends() -> None:
    values = torch.tensor([1.0, 3.0, 2.0])
    read = linear_matrix(np.array([-5, 0, 0.25, 1.5, 2, 9]), 3) @ values
    torch.testing.assert_close(read, torch.tensor([1.0, 1.0, 1.5, 2.5, 2.0, 2.0]))
    torch.testing.assert_close(linear_matrix(np.array([0.0, 3.0]), 1), torch.ones(2, 1))


@pytest.mark.parametrize("how", ["bilinear", "bicubic", "area", "nearest"])
@pytest.mark.parametrize("shape", [(7, 9), (40, 9), (40, 50), (20, 30)])
def test_resampling_stays_in_the_range_of_the_image(how: str, shape: tuple[int, int]) -> None:
    image = torch.from_numpy(a_slice().astype(np.float32) / 1000)
    resized = resample(image, shape, how)
    assert tuple(resized.shape) == shape
    assert image.min() <= resized.min() and resized.max() <= image.max()
