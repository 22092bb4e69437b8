"""A DICOM series as one image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from momentumseg.errors import InputError
from momentumseg.io.formats import is_dicom
from momentumseg.io.quiet import quiet_itk

_POSITION = "0020|0032"
_DESCRIPTION = "0008|103e"
_DIRECTORY = "DICOMDIR"  # the table of contents on a disc
_NAMED_FILES = 3
_GAP_TOLERANCE = 0.02  # of the slice distance


def read_dicom_series(folder: Path, series_uid: str | None, warn: Callable[[str], None]) -> sitk.Image:
    """3D image of the series ``series_uid`` in a folder, or of the series with most images.

    Sub-folders are not searched. Warns when there was a choice and when slices are missing or unevenly spaced.
    Raises `InputError` when there is no such series or when it cannot be read as one volume.
    """
    with quiet_itk():
        files_of = {uid: sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid) for uid in _series(folder)}
    if not files_of:
        raise InputError(f"{folder} contains no DICOM series; give the folder that holds the DICOM files, or a file.")
    if series_uid is not None and series_uid not in files_of:
        raise InputError(f"{folder} has no series {series_uid}; it has {', '.join(files_of)}.")
    chosen = series_uid or max(files_of, key=lambda uid: len(files_of[uid]))
    image, reader = _read_series(folder, files_of[chosen])
    if series_uid is None and len(files_of) > 1:
        warn(_choice(folder, files_of, chosen, reader))
    _warn_about_damage(folder, files_of, warn)
    _warn_about_gaps(folder, reader, len(files_of[chosen]), warn)
    return image


def _series(folder: Path) -> tuple[str, ...]:
    try:
        return tuple(sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder)))
    except RuntimeError:
        return ()


def _read_series(folder: Path, files: tuple[str, ...]) -> tuple[sitk.Image, sitk.ImageSeriesReader]:
    reader = sitk.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileNames(files)
    reader.MetaDataDictionaryArrayUpdateOn()
    try:
        with quiet_itk():
            return reader.Execute(), reader
    except RuntimeError:
        raise InputError(
            f"The DICOM series in {folder} cannot be read as one volume: files are damaged or of different sizes; "
            "export it again."
        ) from None


def _choice(folder: Path, files_of: dict[str, tuple[str, ...]], chosen: str, reader: sitk.ImageSeriesReader) -> str:
    description = _value(reader, 0, _DESCRIPTION)
    named = f"'{description}', " if description else ""
    return (
        f"{folder} has {len(files_of)} DICOM series; the largest was read "
        f"({named}{len(files_of[chosen])} images, {chosen})."
    )


def _warn_about_damage(folder: Path, files_of: dict[str, tuple[str, ...]], warn: Callable[[str], None]) -> None:
    """Say which DICOM files belong to no series: GDCM leaves out damaged ones without a word."""
    known = {Path(file).name for files in files_of.values() for file in files} | {_DIRECTORY}
    left_out = sorted(
        file.name for file in folder.iterdir() if file.is_file() and file.name not in known and is_dicom(file)
    )
    if left_out:
        warn(
            f"{len(left_out)} DICOM files in {folder} are damaged or no images and were left out "
            f"({', '.join(left_out[:_NAMED_FILES])})."
        )


def _warn_about_gaps(folder: Path, reader: sitk.ImageSeriesReader, count: int, warn: Callable[[str], None]) -> None:
    """Say when the distances of neighbouring slices differ: the volume is then stretched where slices are missing."""
    texts = [_value(reader, index, _POSITION) for index in range(count)]
    if count < 3 or not all(texts):
        return
    positions = np.array([[float(number) for number in text.split("\\")] for text in texts])
    distances = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    usual = float(np.median(distances))
    if np.abs(distances - usual).max() > _GAP_TOLERANCE * usual:
        warn(
            f"The slices of the DICOM series in {folder} are {distances.min():.2f} to {distances.max():.2f} mm apart: "
            "slices may be missing and distances along them are not exact."
        )


def _value(reader: sitk.ImageSeriesReader, index: int, key: str) -> str:
    return reader.GetMetaData(index, key).strip() if reader.HasMetaDataKey(index, key) else ""
