"""Volumes as SimpleITK images and back. SimpleITK is LPS, this project RAS."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from momentumseg.volumes.volume import Volume

_LPS_TO_RAS = np.diag((-1.0, -1.0, 1.0, 1.0))


def volume_to_itk(volume: Volume) -> sitk.Image:
    """3D scalar image with the voxels (copied) and the geometry of the volume; bool becomes uint8."""
    array = volume.array
    if array.dtype == bool:
        array = array.view(np.uint8)
    elif array.dtype == np.float16:
        array = array.astype(np.float32)
    image = sitk.GetImageFromArray(np.asarray(array, dtype=array.dtype.newbyteorder("=")))
    ijk_to_lps = _LPS_TO_RAS @ volume.ijk_to_ras
    spacing = np.array(volume.spacing)
    image.SetSpacing(volume.spacing)
    image.SetOrigin(ijk_to_lps[:3, 3].tolist())
    image.SetDirection((ijk_to_lps[:3, :3] / spacing).ravel().tolist())
    return image


def volume_from_itk(image: sitk.Image, name: str = "") -> Volume:
    """Volume of a 2D (one slice) or 3D scalar image. Raises `GeometryError` when its matrix is no geometry."""
    array = sitk.GetArrayFromImage(image)
    if image.GetDimension() == 2:
        array = array[np.newaxis]
    return Volume(array, _ijk_to_ras(image), name)


def _ijk_to_ras(image: sitk.Image) -> np.ndarray:
    """(4, 4) matrix of a 2D or 3D image; a 2D image lies in the axial plane with slices of 1 mm."""
    dimension = image.GetDimension()
    ijk_to_lps = np.eye(4)
    direction = np.array(image.GetDirection()).reshape(dimension, dimension)
    ijk_to_lps[:dimension, :dimension] = direction * np.array(image.GetSpacing())
    ijk_to_lps[:dimension, 3] = image.GetOrigin()
    return _LPS_TO_RAS @ ijk_to_lps
