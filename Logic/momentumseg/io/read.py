"""Volumes and label maps from files: NIfTI, NRRD, MetaImage, DICOM, PNG and JPEG."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from momentumseg.errors import InputError
from momentumseg.io.dicom import read_dicom_series
from momentumseg.io.formats import DICOM, ITK_READERS, READABLE, format_of
from momentumseg.io.integrity import check_complete, check_promised_size
from momentumseg.io.quiet import quiet_itk
from momentumseg.volumes.itk import volume_from_itk
from momentumseg.volumes.volume import Volume

Warn = Callable[[str], None]

_LUMINANCE = np.array((0.299, 0.587, 0.114), dtype=np.float32)  # ITU-R BT.601
_SHEARED = "orthonormal"  # the word in SimpleITK's text for a NIfTI matrix with sheared axes
_LARGEST_LABEL = 2**32 - 1


def read_volume(
    path: str | os.PathLike[str], *, on_warning: Warn | None = None, series_uid: str | None = None
) -> Volume:
    """Volume of an image file or of a folder with a DICOM series.

    Voxels keep the type of the file; ``ijk_to_ras`` is in mm; ``name`` is the file's name. A 2D image becomes a volume
    of one slice; colours become grey (luminance) with a warning. ``series_uid`` chooses among the series of a DICOM
    folder, otherwise the one with most images is read. ``on_warning`` is called with a sentence for everything that
    was assumed. Raises `InputError` for files that cannot be read or have no 3D scalar voxels, `GeometryError` for
    unusable geometry.
    """
    return _read(Path(path), on_warning or _ignore, series_uid, grey_from_colour=True)


def read_labelmap(
    path: str | os.PathLike[str], *, on_warning: Warn | None = None, series_uid: str | None = None
) -> Volume:
    """Label map of an image file: the smallest unsigned integer type that holds its labels, 0 is background.

    Whole numbers stored as floats are accepted. Raises `InputError` as `read_volume`, and for colours and for labels
    that are negative, not whole or not finite.
    """
    volume = _read(Path(path), on_warning or _ignore, series_uid, grey_from_colour=False)
    return volume.like(as_labels(volume.array, str(path)))


def as_labels(array: np.ndarray, name: str = "The label map") -> np.ndarray:
    """Labels in the smallest unsigned integer type. ``name`` begins the messages of `InputError`."""
    if array.dtype.kind == "f":
        _check_whole_numbers(array, name)
    smallest, largest = int(array.min()), int(array.max())
    if smallest < 0:
        raise InputError(f"{name} has the negative label {smallest}; labels are whole numbers from 0 (background) up.")
    if largest > _LARGEST_LABEL:
        raise InputError(f"{name} has the label {largest}, which is too large; give a label map, not an image.")
    return array.astype(np.min_scalar_type(largest), copy=False)


def _check_whole_numbers(array: np.ndarray, name: str) -> None:
    wrong = array[array != np.trunc(array)]  # NaN differs from everything, itself too
    if wrong.size == 0 and np.isinf(array).any():
        wrong = array[np.isinf(array)]
    if wrong.size:
        raise InputError(
            f"{name} has the label {wrong[0]:g}, which is not a whole number; give a label map, not an image."
        )


def _read(path: Path, warn: Warn, series_uid: str | None, grey_from_colour: bool) -> Volume:
    if not path.exists():
        raise InputError(f"{path} does not exist; check the path.")
    image = read_dicom_series(path, series_uid, warn) if path.is_dir() else _read_file(path, warn)
    image = _scalar(_three_dimensional(image, path.name), path.name, warn, grey_from_colour)
    return volume_from_itk(image, path.name)


def _read_file(path: Path, warn: Warn) -> sitk.Image:
    try:
        file_format = format_of(path)
    except OSError as error:
        raise InputError(f"{path} cannot be opened ({error.strerror}); check your access rights.") from None
    if file_format is None:
        raise InputError(f"{path} is of an unknown format; give {READABLE}.")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes); copy or export it again.")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} cannot be opened; check your access rights.")
    check_complete(path, file_format)
    image = _read_with_itk(path, file_format)
    if file_format == DICOM and image.GetSize()[-1] == 1:
        warn(f"{path.name} is one DICOM image; give its folder to read the whole series.")
    return image


def _read_with_itk(path: Path, file_format: str) -> sitk.Image:
    reader = sitk.ImageFileReader()
    reader.SetImageIO(ITK_READERS[file_format])
    reader.SetFileName(str(path))
    try:
        with quiet_itk():
            reader.ReadImageInformation()
            check_promised_size(path, _promised_bytes(reader))
            return reader.Execute()
    except RuntimeError as error:  # the only type SimpleITK raises; its text is a C++ location, not a sentence
        if _SHEARED in str(error):
            raise InputError(
                f"{path} has axes that are not at right angles, which its reader refuses; resample it to a straight "
                "grid and export it again."
            ) from None
        raise InputError(
            f"{path} is not a readable {file_format} file: it is damaged, truncated, of another format, "
            "or a file it refers to is missing; copy or export it again."
        ) from None


def _promised_bytes(reader: sitk.ImageFileReader) -> int:
    promised = reader.GetNumberOfComponents()
    for count in reader.GetSize():
        promised *= count
    return promised


def _three_dimensional(image: sitk.Image, name: str) -> sitk.Image:
    """Image without trailing dimensions of one; raises `InputError` for a series in time."""
    size = image.GetSize()
    if len(size) <= 3:
        return image
    if any(count > 1 for count in size[3:]):
        raise InputError(
            f"{name} has {len(size)} dimensions ({'x'.join(map(str, size))}); give one 3D volume of the series."
        )
    return sitk.Extract(image, (*size[:3], *(0 for _ in size[3:])), (0,) * len(size))


def _scalar(image: sitk.Image, name: str, warn: Warn, grey_from_colour: bool) -> sitk.Image:
    """One real number a voxel."""
    components = image.GetNumberOfComponentsPerPixel()
    if "complex" in image.GetPixelIDTypeAsString():
        raise InputError(f"{name} has complex voxels; give its magnitude image.")
    if components == 1:
        return image
    is_colour = components in (3, 4) and image.GetPixelID() == sitk.sitkVectorUInt8
    if is_colour and not grey_from_colour:
        raise InputError(f"{name} is a colour image; give a label map with one whole number a voxel.")
    if not is_colour:
        raise InputError(f"{name} has {components} values a voxel; give a volume (or export a label map) with one.")
    warn(f"{name} is a colour image; its brightness is used.")
    grey = sitk.GetImageFromArray(sitk.GetArrayFromImage(image)[..., :3] @ _LUMINANCE)
    grey.CopyInformation(image)
    return grey


def _ignore(_sentence: str) -> None:
    """Warnings that nobody asked for."""
