"""Place and size of a volume from its header, the same as reading the voxels gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from momentumseg.errors import InputError
from momentumseg.io.header import read_header
from momentumseg.io.read import read_volume
from momentumseg.io.write import write_volume
from momentumseg.volumes.volume import Volume


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_a_header_says_what_the_volume_says(tmp_path: Path, suffix: str) -> None:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", (10, 20, 30), degrees=True).as_matrix() * (0.7, 1.1, 3.0)
    matrix[:3, 3] = (5, -7, 11)
    path = tmp_path / f"volume{suffix}"
    write_volume(Volume(np.arange(60, dtype=np.int16).reshape(3, 4, 5), matrix), path)
    header, volume = read_header(path), read_volume(path)
    assert header.shape == volume.shape == (3, 4, 5)
    np.testing.assert_allclose(header.ijk_to_ras, volume.ijk_to_ras, atol=1e-12)


def test_a_flat_image_is_one_slice(tmp_path: Path) -> None:
    path = tmp_path / "slice.png"
    sitk.WriteImage(sitk.GetImageFromArray(np.arange(20, dtype=np.uint8).reshape(4, 5)), str(path))
    header, volume = read_header(path), read_volume(path)
    assert header.shape == volume.shape == (1, 4, 5)
    np.testing.assert_allclose(header.ijk_to_ras, volume.ijk_to_ras)


def test_a_fourth_dimension_of_one_does_not_count_and_a_longer_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "series.nii.gz"
    sitk.WriteImage(sitk.Image([5, 4, 3, 1], sitk.sitkInt16), str(path))
    assert read_header(path).shape == (3, 4, 5)
    sitk.WriteImage(sitk.Image([5, 4, 3, 2], sitk.sitkInt16), str(path))
    with pytest.raises(InputError, match=r"has 4 dimensions \(5x4x3x2\); .* one file NAME_0000, NAME_0001"):
        read_header(path)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.nii does not exist"):
        read_header(tmp_path / "none.nii")
    (tmp_path / "text.txt").write_text("hello")
    with pytest.raises(InputError, match="of an unknown format"):
        read_header(tmp_path / "text.txt")
    (tmp_path / "broken.nii.gz").write_bytes(b"hello")
    with pytest.raises(InputError, match="not a readable NIfTI file"):
        read_header(tmp_path / "broken.nii.gz")
