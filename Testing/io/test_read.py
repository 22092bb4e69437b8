"""Volumes and label maps from files, good and bad."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from momentumseg.errors import InputError, MomentumSegError
from momentumseg.io.read import as_labels, read_labelmap, read_volume
from momentumseg.io.write import write_volume
from momentumseg.volumes.volume import Volume

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")


def itk_file(path: Path, array: np.ndarray, is_vector: bool = False, compress: bool = False) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=is_vector), str(path), useCompression=compress)
    return path


def assert_one_sentence(error: BaseException) -> None:
    text = str(error)
    assert text.endswith(".")
    assert "\n" not in text
    assert not any(word in text for word in ("itk", "sitk", "Exception", "0x", "Traceback"))


# Good files


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_volume_comes_back(tmp_path, a_phantom_volume, suffix):
    path = tmp_path / f"scan{suffix}"
    write_volume(a_phantom_volume, path)
    warnings: list[str] = []
    volume = read_volume(path, on_warning=warnings.append)
    np.testing.assert_array_equal(volume.array, a_phantom_volume.array)
    np.testing.assert_allclose(volume.ijk_to_ras, a_phantom_volume.ijk_to_ras, atol=1e-5)
    assert volume.array.dtype == np.int16
    assert volume.name == path.name
    assert warnings == []


@pytest.mark.parametrize("suffix", [".nhdr", ".mhd"])
def test_headers_with_detached_voxels(tmp_path, suffix):
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    path = itk_file(tmp_path / f"scan{suffix}", array)
    np.testing.assert_array_equal(read_volume(str(path)).array, array)
    next(other for other in tmp_path.iterdir() if other != path).unlink()
    with pytest.raises(InputError, match="a file it refers to is missing") as caught:
        read_volume(path)
    assert_one_sentence(caught.value)


def test_a_path_that_is_long_and_not_ascii(tmp_path, a_phantom_labelmap):
    folder = tmp_path / ("Łucja Größe 山田" + "x" * 150) / ("y" * 180)
    folder.mkdir(parents=True)
    for suffix in SUFFIXES:
        path = folder / f"Bauch – Übersicht{suffix}"
        write_volume(a_phantom_labelmap, path)
        np.testing.assert_array_equal(read_labelmap(path).array, a_phantom_labelmap.array)


def test_real_volumes(a_chaos_case):
    image, labels = read_volume(a_chaos_case[0]), read_labelmap(a_chaos_case[1])
    assert image.shape == labels.shape
    assert image.shape[1:] == (256, 256)
    np.testing.assert_allclose(image.ijk_to_ras, labels.ijk_to_ras, atol=1e-4)
    assert labels.array.dtype == np.uint8
    assert set(np.unique(labels.array)) == {0, 1, 2, 3, 4}


# Pictures, colours and dimensions


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_grey_picture_is_one_slice(tmp_path, suffix):
    array = np.full((20, 30), 90, dtype=np.uint8)
    volume = read_volume(itk_file(tmp_path / f"a{suffix}", array))
    assert volume.shape == (1, 20, 30)
    np.testing.assert_array_equal(volume.array[0], array)
    np.testing.assert_array_equal(volume.ijk_to_ras, np.diag((-1, -1, 1, 1)))


@pytest.mark.parametrize("channels", [3, 4])
def test_a_colour_picture_becomes_grey_with_a_warning(tmp_path, channels):
    array = np.zeros((4, 5, channels), dtype=np.uint8)
    array[..., 1] = 100
    warnings: list[str] = []
    volume = read_volume(itk_file(tmp_path / "a.png", array, is_vector=True), on_warning=warnings.append)
    np.testing.assert_allclose(volume.array, 58.7, rtol=1e-5)
    assert warnings == ["a.png is a colour image; its brightness is used."]


def test_a_colour_volume_becomes_grey(tmp_path):
    path = itk_file(tmp_path / "a.nrrd", np.full((3, 4, 5, 3), 10, dtype=np.uint8), is_vector=True)
    np.testing.assert_allclose(read_volume(path).array, np.full((3, 4, 5), 10), rtol=1e-5)


def test_a_colour_picture_is_no_label_map(tmp_path):
    path = itk_file(tmp_path / "a.png", np.zeros((4, 5, 3), dtype=np.uint8), is_vector=True)
    with pytest.raises(InputError, match="is a colour image; give a label map"):
        read_labelmap(path)


def test_several_values_a_voxel_are_refused(tmp_path):
    path = itk_file(tmp_path / "a.nrrd", np.zeros((3, 4, 5, 2), dtype=np.float32), is_vector=True)
    with pytest.raises(InputError, match="a.nrrd has 2 values a voxel"):
        read_volume(path)


def test_complex_voxels_are_refused(tmp_path):
    path = tmp_path / "a.mha"
    sitk.WriteImage(sitk.RealAndImaginaryToComplex(*[sitk.Image((3, 3, 3), sitk.sitkFloat32)] * 2), str(path))
    with pytest.raises(InputError):
        read_volume(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_2d_image_is_one_slice(tmp_path, suffix):
    array = np.arange(12, dtype=np.int16).reshape(3, 4)
    volume = read_volume(itk_file(tmp_path / f"a{suffix}", array))
    np.testing.assert_array_equal(volume.array, array[np.newaxis])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_one_slice_stays_one_slice(tmp_path, suffix):
    assert read_volume(itk_file(tmp_path / f"a{suffix}", np.zeros((1, 3, 4), np.int16))).shape == (1, 3, 4)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_a_series_in_time_is_refused_and_a_single_time_read(tmp_path, suffix):
    series = itk_4d(tmp_path / f"a{suffix}", times=5)
    with pytest.raises(InputError, match=r"has 4 dimensions \(4x3x2x5\); give one 3D volume"):
        read_volume(series)
    assert read_volume(itk_4d(tmp_path / f"b{suffix}", times=1)).shape == (2, 3, 4)


def itk_4d(path: Path, times: int) -> Path:
    volume = sitk.GetImageFromArray(np.zeros((2, 3, 4), np.int16))
    sitk.WriteImage(sitk.JoinSeries([volume] * times), str(path))
    return path


# Files that cannot be read


def test_paths_that_lead_nowhere(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_volume(tmp_path / "missing.nii.gz")
    (tmp_path / "empty.nrrd").touch()
    with pytest.raises(InputError, match="is empty"):
        read_volume(tmp_path / "empty.nrrd")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="unknown format; give .nii"):
        read_volume(tmp_path / "notes.txt")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the administrator may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    for name in ("a.nii.gz", "a"):
        (tmp_path / name).write_text("secret")
        (tmp_path / name).chmod(0)
        with pytest.raises(InputError, match="cannot be opened"):
            read_volume(tmp_path / name)


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".nhdr", ".mhd", ".png", ".jpg", ".dcm"])
def test_a_file_of_another_format(tmp_path, suffix, capfd):
    path = tmp_path / f"wrong{suffix}"
    path.write_bytes(b"This is a letter and no image. " * 50)
    with pytest.raises(InputError) as caught:
        read_volume(path)
    assert_one_sentence(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("part", [0.02, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("suffix", [*SUFFIXES, ".png", ".jpg"])
def test_a_truncated_file(tmp_path, suffix, compress, part):
    shape = (8, 20, 30) if suffix in SUFFIXES else (90, 100)
    array = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    path = itk_file(tmp_path / f"a{suffix}", array, compress=compress)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(InputError) as caught:
        read_volume(path)
    assert_one_sentence(caught.value)


def test_damage_in_the_middle_of_a_compressed_nifti(tmp_path):
    path = itk_file(tmp_path / "a.nii.gz", np.random.default_rng(0).integers(0, 9, (8, 30, 30)).astype(np.int16))
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    path.write_bytes(damaged)
    with pytest.raises(InputError, match="truncated or damaged: voxels are missing"):
        read_volume(path)


def test_a_nifti_file_may_have_bytes_after_its_voxels(tmp_path):
    path = itk_file(tmp_path / "a.nii", np.ones((2, 3, 4), np.int16))
    whole = path.read_bytes() + b"\0" * 100
    path.write_bytes(whole)
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(whole))
    assert read_volume(path).array.sum() == read_volume(tmp_path / "b.nii.gz").array.sum() == 24


def test_a_small_file_that_promises_a_huge_volume(tmp_path):
    header = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 30000 30000 30000\nencoding: gzip\nendian: little\n\n"
    (tmp_path / "bomb.nrrd").write_bytes(header + gzip.compress(b"\0" * 1000))
    with pytest.raises(InputError, match="promises 27000.0 GB"):
        read_volume(tmp_path / "bomb.nrrd")
    (tmp_path / "bomb.mhd").write_text(
        "ObjectType = Image\nNDims = 3\nDimSize = 30000 30000 30000\nElementType = MET_SHORT\nElementDataFile = x.raw\n"
    )
    with pytest.raises(InputError, match="promises"):
        read_volume(tmp_path / "bomb.mhd")


def test_a_nifti_header_that_promises_a_huge_volume(tmp_path):
    path = itk_file(tmp_path / "a.nii", np.ones((2, 3, 4), np.int16))
    whole = bytearray(path.read_bytes())
    struct.pack_into("<8h", whole, 40, 3, 30000, 30000, 30000, 1, 1, 1, 1)
    path.write_bytes(whole)
    with pytest.raises(InputError, match="truncated"):
        read_volume(path)
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(bytes(whole)))
    with pytest.raises(InputError, match="truncated"):
        read_volume(tmp_path / "b.nii.gz")


def test_a_nifti_file_with_sheared_axes_says_so(tmp_path):
    path = itk_file(tmp_path / "a.nii", np.ones((2, 3, 4), np.int16))
    whole = bytearray(path.read_bytes())
    struct.pack_into("<2h", whole, 252, 0, 1)  # no quaternion, only a matrix
    struct.pack_into("<12f", whole, 280, 1, 0.3, 0, 5, 0, 1, 0, 6, 0, 0, 1, 7)
    path.write_bytes(whole)
    with pytest.raises(InputError, match="not at right angles") as caught:
        read_volume(path)
    assert_one_sentence(caught.value)


@given(st.lists(st.tuples(st.integers(0, 351), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_nifti_header_with_wrong_bytes_is_read_or_refused_in_words(tmp_path_factory, changes):
    folder = tmp_path_factory.mktemp("fuzz")
    header = bytearray(itk_file(folder / "a.nii", np.arange(24, dtype=np.int16).reshape(2, 3, 4)).read_bytes())
    for place, value in changes:
        header[place] = value
    (folder / "b.nii").write_bytes(header)
    try:
        volume = read_volume(folder / "b.nii")
    except MomentumSegError as error:
        assert_one_sentence(error)
    else:
        assert volume.array.ndim == 3


# Labels


def test_whole_numbers_stored_as_floats_are_labels(tmp_path, a_phantom_labelmap):
    path = tmp_path / "labels.nii.gz"
    write_volume(a_phantom_labelmap.like(a_phantom_labelmap.array.astype(np.float32)), path)
    labels = read_labelmap(path)
    np.testing.assert_array_equal(labels.array, a_phantom_labelmap.array)
    assert labels.array.dtype == np.uint8


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (1.5, "label 1.5, which is not a whole number"),
        (-2.0, "negative label -2"),
        (float("nan"), "label nan"),
        (float("inf"), "label inf"),
        (1e12, "too large"),
    ],
)
def test_labels_that_are_none(tmp_path, a_phantom_labelmap, value, reason):
    wrong = a_phantom_labelmap.array.astype(np.float64)
    wrong[2, 3, 4] = value
    write_volume(a_phantom_labelmap.like(wrong), tmp_path / "labels.nrrd")
    with pytest.raises(InputError, match=reason) as caught:
        read_labelmap(tmp_path / "labels.nrrd")
    assert_one_sentence(caught.value)


@pytest.mark.parametrize(("largest", "dtype"), [(1, "u1"), (255, "u1"), (256, "u2"), (65535, "u2"), (70000, "u4")])
def test_labels_take_the_smallest_type(tmp_path, largest, dtype):
    path = tmp_path / "labels.nii.gz"
    write_volume(Volume(np.array([[[0, largest]]], dtype=np.int32), np.eye(4)), path)
    labels = read_labelmap(path).array
    assert labels.dtype == np.dtype(dtype)
    assert labels.max() == largest


def test_labels_of_arrays():
    assert as_labels(np.array([True, False])).dtype == np.uint8
    with pytest.raises(InputError, match="The label map has the negative label -1"):
        as_labels(np.array([-1, 0], dtype=np.int8))
