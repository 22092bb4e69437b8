"""DICOM series, written here by SimpleITK."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from momentumseg.errors import InputError
from momentumseg.io.read import read_volume

SPACING = (0.8, 1.2, 3.0)
ORIGIN = (-10.0, 20.0, 30.0)


def a_series(
    folder: Path, count: int, uid: str, directions: np.ndarray | None = None, skip: tuple[int, ...] = ()
) -> sitk.Image:
    """Write a series of CT slices (with gaps at ``skip``) in shuffled files; returns the whole image."""
    folder.mkdir(exist_ok=True, parents=True)
    array = np.random.default_rng(count).integers(-1000, 1000, (count, 6, 5)).astype(np.int16)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN)
    image.SetDirection((np.eye(3) if directions is None else directions).ravel().tolist())
    cosines = np.array(image.GetDirection()).reshape(3, 3)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for index in set(range(count)) - set(skip):
        slice_image = image[:, :, index]
        tags = {
            "0008|0060": "CT",
            "0008|103e": f"Series of {count}",
            "0008|0018": f"{uid}.{index + 1}",
            "0020|000d": "1.2.826.0.1.3680043.2.1125.1",
            "0020|000e": uid,
            "0020|0013": str(index + 1),
            "0020|0032": "\\".join(f"{x:.6f}" for x in image.TransformIndexToPhysicalPoint((0, 0, index))),
            "0020|0037": "\\".join(f"{x:.9f}" for x in cosines[:, :2].T.ravel()),
        }
        for key, value in tags.items():
            slice_image.SetMetaData(key, value)
        writer.SetFileName(str(folder / f"{uid}-{(index * 7) % count:03}.dcm"))
        writer.Execute(slice_image)
    return image


def assert_same(volume, image: sitk.Image) -> None:
    np.testing.assert_array_equal(volume.array, sitk.GetArrayFromImage(image))
    for ijk in ((0, 0, 0), (4, 5, image.GetSize()[2] - 1)):
        left, posterior, superior = image.TransformIndexToPhysicalPoint(ijk)
        np.testing.assert_allclose((volume.ijk_to_ras @ (*ijk, 1))[:3], (-left, -posterior, superior), atol=1e-3)


@pytest.mark.parametrize("angles", [(0, 0, 0), (90, 0, 0), (10, -20, 30)], ids=("axial", "coronal", "oblique"))
def test_a_series_has_its_geometry(tmp_path, angles):
    directions = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    image = a_series(tmp_path / "Ärzte", 10, "1.2.3", directions)
    warnings: list[str] = []
    volume = read_volume(tmp_path / "Ärzte", on_warning=warnings.append)
    assert_same(volume, image)
    assert volume.name == "Ärzte"
    assert warnings == []


def test_the_largest_of_several_series_is_read_and_named(tmp_path):
    small = a_series(tmp_path, 4, "1.2.4")
    large = a_series(tmp_path, 9, "1.2.5")
    warnings: list[str] = []
    assert_same(read_volume(tmp_path, on_warning=warnings.append), large)
    (warning,) = warnings
    assert "has 2 DICOM series; the largest was read ('Series of 9', 9 images, 1.2.5" in warning
    uid = next(uid for uid in sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(tmp_path)) if uid.startswith("1.2.4"))
    assert_same(read_volume(tmp_path, on_warning=warnings.append, series_uid=uid), small)
    assert len(warnings) == 1
    with pytest.raises(InputError, match=r"has no series 9\.9; it has 1\.2"):
        read_volume(tmp_path, series_uid="9.9")


def test_missing_slices_are_said(tmp_path):
    a_series(tmp_path, 10, "1.2.6", skip=(4,))
    warnings: list[str] = []
    assert read_volume(tmp_path, on_warning=warnings.append).shape[0] == 9
    assert "3.00 to 6.00 mm apart: slices may be missing" in warnings[0]


def test_one_file_of_a_series(tmp_path):
    image = a_series(tmp_path, 3, "1.2.7")
    file = sorted(tmp_path.iterdir())[0]
    without_suffix = file.rename(tmp_path / "IM0001")
    warnings: list[str] = []
    volume = read_volume(without_suffix, on_warning=warnings.append)
    np.testing.assert_array_equal(volume.array, sitk.GetArrayFromImage(image)[:1])
    assert "give its folder to read the whole series" in warnings[0]


def test_folders_without_a_series(tmp_path):
    with pytest.raises(InputError, match="contains no DICOM series"):
        read_volume(tmp_path)
    (tmp_path / "a.dcm").write_bytes(b"no dicom" * 100)
    with pytest.raises(InputError, match="contains no DICOM series"):
        read_volume(tmp_path)


def test_a_truncated_slice_is_named(tmp_path):
    a_series(tmp_path, 5, "1.2.8")
    file = sorted(tmp_path.iterdir())[2]
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(InputError, match="not a readable DICOM file"):
        read_volume(file)
    warnings: list[str] = []
    assert read_volume(tmp_path, on_warning=warnings.append).shape[0] == 4
    assert warnings[0].startswith("1 DICOM files in")
    assert file.name in warnings[0]


def test_slices_of_different_sizes_are_refused(tmp_path):
    a_series(tmp_path, 5, "1.2.9")
    file = str(sorted(tmp_path.iterdir())[2])
    image = sitk.ReadImage(file)
    smaller = image[:4, :4]
    for key in image.GetMetaDataKeys():
        smaller.SetMetaData(key, image.GetMetaData(key))
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    writer.SetFileName(file)
    writer.Execute(smaller)
    with pytest.raises(InputError, match="cannot be read as one volume"):
        read_volume(tmp_path)
