"""A label map brought to the voxels of another volume."""

from __future__ import annotations

import SimpleITK as sitk

from momentumseg.errors import GeometryError
from momentumseg.geometry.boxes import boxes_overlap, is_same_geometry
from momentumseg.volumes.itk import itk_geometry, volume_to_itk
from momentumseg.volumes.volume import Volume


def have_same_geometry(volume: Volume, other: Volume) -> bool:
    """Whether both have the same voxels in the same places, to 5 % of a voxel."""
    return is_same_geometry(volume.shape, volume.ijk_to_ras, other.shape, other.ijk_to_ras)


def resample_labelmap_to(labelmap: Volume, reference: Volume) -> Volume:
    """Labels (K, J, I) at the voxels of ``reference``, nearest voxel, 0 outside; the type is kept.

    With the same geometry (to 5 % of a voxel) the voxels are returned as they are, with the reference's matrix.
    Raises `GeometryError` when the two volumes share no region of the patient.
    """
    if have_same_geometry(labelmap, reference):
        return reference.like(labelmap.array, labelmap.name)
    if not boxes_overlap(labelmap.shape, labelmap.ijk_to_ras, reference.shape, reference.ijk_to_ras):
        raise GeometryError(
            f"{labelmap.name or 'The mask'} lies outside {reference.name or 'the volume'}: "
            "they share no region; draw the mask on this volume or give the volume it belongs to."
        )
    resample = sitk.ResampleImageFilter()
    resample.SetInterpolator(sitk.sitkNearestNeighbor)
    geometry = itk_geometry(reference)
    resample.SetSize(geometry.size)
    resample.SetOutputSpacing(geometry.spacing)
    resample.SetOutputOrigin(geometry.origin)
    resample.SetOutputDirection(geometry.direction)
    resampled = sitk.GetArrayFromImage(resample.Execute(volume_to_itk(labelmap)))
    return reference.like(resampled.astype(labelmap.array.dtype, copy=False), labelmap.name)
