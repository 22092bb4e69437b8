"""Volumes to files, whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from momentumseg.errors import InputError, OutputError
from momentumseg.io.atomic import atomic_path, output_error, suffix_of
from momentumseg.io.checks import check_writable_output
from momentumseg.io.formats import FORMAT_OF_SUFFIX, NIFTI
from momentumseg.io.integrity import check_complete
from momentumseg.io.quiet import quiet_itk
from momentumseg.volumes.itk import volume_to_itk
from momentumseg.volumes.volume import Volume

_UNCOMPRESSED = (".nii",)
_LARGEST_SHEAR = 1e-3  # cosine between two axes; NIfTI files keep angles to about 1e-6
_SPARE_BYTES = 1 << 16


def write_volume(volume: Volume, path: str | os.PathLike[str]) -> None:
    """Write ``.nii.gz``, ``.nii``, ``.nrrd`` or ``.mha`` (compressed where the format can).

    An older file is replaced only when the new one is complete. Raises `OutputError` when it cannot be written.
    """
    target = check_writable_output(path)
    if FORMAT_OF_SUFFIX[suffix_of(target)] == NIFTI and _shear(volume) > _LARGEST_SHEAR:
        raise OutputError(f"{target} cannot keep axes that are not at right angles; write a .nrrd file.")
    image = volume_to_itk(volume)
    with atomic_path(target) as temporary:
        _write_with_itk(image, temporary, target)


def _write_with_itk(image: sitk.Image, temporary: Path, target: Path) -> None:
    suffix = suffix_of(target)
    try:
        with quiet_itk():
            sitk.WriteImage(image, str(temporary), useCompression=suffix not in _UNCOMPRESSED)
        if FORMAT_OF_SUFFIX[suffix] == NIFTI:  # its writer does not report a full disk
            check_complete(temporary, NIFTI)
    except (RuntimeError, InputError):  # SimpleITK raises nothing but RuntimeError, without an error number
        full = shutil.disk_usage(target.parent).free < _SPARE_BYTES
        reason = "the disk is full; free some space" if full else "the disk refused it; check the disk"
        raise output_error(target, f"{reason} or choose another folder") from None


def _shear(volume: Volume) -> float:
    """Largest cosine between two axes of the volume; 0 when all are at right angles."""
    directions = volume.ijk_to_ras[:3, :3] / np.array(volume.spacing)
    return float(np.abs(directions.T @ directions - np.eye(3)).max())
