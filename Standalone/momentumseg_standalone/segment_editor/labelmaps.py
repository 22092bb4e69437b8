"""Masks as vtkOrientedImageData and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from momentumseg_standalone.segment_editor.shapes import Grid, Mask


def array_of(matrix: Any) -> np.ndarray:
    """4x4 array of a vtkMatrix4x4."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def grid_of(image: Any) -> Grid:
    """Grid of a vtkOrientedImageData."""
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return Grid(array_of(matrix), tuple(image.GetExtent()))


def labelmap_of(mask: Mask, grid: Grid) -> Any:
    """vtkOrientedImageData of uint8: 1 where the mask is set."""
    image = slicer.vtkOrientedImageData()
    image.SetExtent(*mask.extent)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(grid.ijk_to_ras.ravel().tolist())
    image.SetImageToWorldMatrix(matrix)
    vtk_to_numpy(image.GetPointData().GetScalars())[:] = mask.voxels.ravel()
    return image


def voxels_of(image: Any) -> np.ndarray:
    """(K, J, I) view of an image's voxels."""
    i0, i1, j0, j1, k0, k1 = image.GetExtent()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1)


def segment_mask(segmentation_node: Any, segment_id: str) -> Mask | None:
    """What a segment holds, in its own grid; None if it is empty."""
    segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
    image = segment.GetRepresentation("Binary labelmap") if segment else None
    if image is None or image.IsEmpty():
        return None
    return Mask(voxels_of(image) == segment.GetLabelValue(), tuple(image.GetExtent()))
