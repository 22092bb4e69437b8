"""Volumes as SimpleITK images and back. SimpleITK is LPS, this project RAS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from momentumseg.volumes.volume import Volume

_LPS_TO_RAS = np.diag((-1.0, -1.0, 1.0, 1.0))


@dataclass(frozen=True)
class ItkGeometry:
    """Geometry of a 3D image in SimpleITK's terms: ``size`` and ``spacing`` (mm) in I, J, K; LPS coordinates."""

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: list[float]
    direction: list[float]


def itk_geometry(volume: Volume) -> ItkGeometry:
    """Geometry of a volume for SimpleITK images and filters."""
    ijk_to_lps = _LPS_TO_RAS @ volume.ijk_to_ras
    k, j, i = volume.shape
    return ItkGeometry(
        size=(i, j, k),
        spacing=volume.spacing,
        origin=ijk_to_lps[:3, 3].tolist(),
        direction=(ijk_to_lps[:3, :3] / np.array(volume.spacing)).ravel().tolist(),
    )


def volume_to_itk(volume: Volume) -> sitk.Image:
    """3D scalar image with the voxels (copied) and the geometry of the volume; bool becomes uint8."""
    array = volume.array
    if array.dtype == bool:
        array = array.view(np.uint8)
    elif array.dtype == np.float16:
        array = array.astype(np.float32)
    image = sitk.GetImageFromArray(np.asarray(array, dtype=array.dtype.newbyteorder("=")))
    geometry = itk_geometry(volume)
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction)
    return image


def volume_from_itk(image: sitk.Image, name: str = "") -> Volume:
    """Volume of a 2D (one slice) or 3D scalar image. Raises `GeometryError` when its matrix is no geometry."""
    array = sitk.GetArrayFromImage(image)
    if image.GetDimension() == 2:
        array = array[np.newaxis]
    return Volume(array, ijk_to_ras_of(image), name)


def ijk_to_ras_of(image: sitk.Image | sitk.ImageFileReader) -> np.ndarray:
    """(4, 4) matrix of an image, or of the header that a reader has read, in mm.

    A 2D image lies in the axial plane with slices of 1 mm; of more than three dimensions the first three count.
    """
    dimension = image.GetDimension()
    used = min(dimension, 3)
    ijk_to_lps = np.eye(4)
    direction = np.array(image.GetDirection()).reshape(dimension, dimension)[:used, :used]
    ijk_to_lps[:used, :used] = direction * np.array(image.GetSpacing())[:used]
    ijk_to_lps[:used, 3] = image.GetOrigin()[:used]
    return np.asarray(_LPS_TO_RAS @ ijk_to_lps)
