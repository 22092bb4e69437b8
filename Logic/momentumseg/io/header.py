"""The place of a volume's voxels from its file's header, without reading the voxels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from momentumseg.errors import InputError
from momentumseg.geometry.directions import checked_ijk_to_ras
from momentumseg.io.formats import DICOM, ITK_READERS, READABLE, format_of
from momentumseg.io.quiet import quiet_itk
from momentumseg.volumes.itk import ijk_to_ras_of


@dataclass(frozen=True, eq=False)
class VolumeHeader:
    """Number of voxels ``shape`` (K, J, I) and ``ijk_to_ras`` (4, 4) in mm."""

    shape: tuple[int, int, int]
    ijk_to_ras: np.ndarray


def read_header(path: Path) -> VolumeHeader:
    """Header of an image file in one of the formats with one file a volume.

    Raises:
        InputError: the file cannot be read, or holds several volumes.
        GeometryError: its matrix is no geometry.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist; check the path.")
    file_format = format_of(path)
    if file_format is None or file_format == DICOM:
        raise InputError(f"{path} is of an unknown format; give {READABLE}.")
    reader = sitk.ImageFileReader()
    reader.SetImageIO(ITK_READERS[file_format])
    reader.SetFileName(str(path))
    try:
        with quiet_itk():
            reader.ReadImageInformation()
    except RuntimeError:  # the only type SimpleITK raises; its text is a C++ location, not a sentence
        raise InputError(
            f"{path} is not a readable {file_format} file: it is damaged or of another format; copy or export it again."
        ) from None
    size = [*reader.GetSize(), 1][:3] if reader.GetDimension() == 2 else list(reader.GetSize())
    if any(count > 1 for count in size[3:]):
        raise InputError(
            f"{path} has {len(size)} dimensions ({'x'.join(map(str, size))}); give one file of three dimensions for "
            "each volume, and for each channel of a case one file NAME_0000, NAME_0001, ..."
        )
    i, j, k = size[:3]
    return VolumeHeader((k, j, i), checked_ijk_to_ras(ijk_to_ras_of(reader)))
