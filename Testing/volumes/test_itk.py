"""SimpleITK images are LPS, volumes RAS."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from momentumseg.volumes.itk import volume_from_itk, volume_to_itk
from momentumseg.volumes.volume import Volume


def test_every_voxel_is_where_simpleitk_says():
    image = sitk.Image((4, 5, 6), sitk.sitkInt16)
    image.SetSpacing((0.5, 1.0, 3.0))
    image.SetOrigin((-12.0, 34.0, 56.0))
    image.SetDirection(Rotation.from_euler("xyz", (10, 20, 30), degrees=True).as_matrix().ravel().tolist())
    volume = volume_from_itk(image)
    for ijk in ((0, 0, 0), (3, 4, 5), (1, 0, 2)):
        left, posterior, superior = image.TransformIndexToPhysicalPoint(ijk)
        np.testing.assert_allclose((volume.ijk_to_ras @ (*ijk, 1))[:3], (-left, -posterior, superior))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int64", "float32", "float64", ">i2"])
def test_there_and_back(a_phantom_volume, dtype):
    volume = a_phantom_volume.like(a_phantom_volume.array.astype(dtype))
    back = volume_from_itk(volume_to_itk(volume))
    np.testing.assert_array_equal(back.array, volume.array)
    np.testing.assert_allclose(back.ijk_to_ras, volume.ijk_to_ras, atol=1e-12)


def test_types_that_itk_does_not_know():
    ones = np.ones((1, 2, 2))
    assert volume_to_itk(Volume(ones.astype(bool), np.eye(4))).GetPixelID() == sitk.sitkUInt8
    assert volume_to_itk(Volume(ones.astype(np.float16), np.eye(4))).GetPixelID() == sitk.sitkFloat32


def test_a_2d_image_is_one_axial_slice():
    image = sitk.GetImageFromArray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    image.SetSpacing((0.5, 2.0))
    volume = volume_from_itk(image)
    assert volume.shape == (1, 2, 3)
    np.testing.assert_array_equal(volume.ijk_to_ras, np.diag((-0.5, -2.0, 1.0, 1.0)))
