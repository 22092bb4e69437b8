"""Segments as small arrays in a volume's grid, and small arrays as the oriented images that segments are written with.

A segment's stored image is shared with other segments, has its own label value, begins anywhere, and may lie in
another grid than the volume. Here all that ends: a `Crop` is a 0/1 array and the place of its first voxel.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import slicer
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from MomentumSegLib.errors import UserError
from MomentumSegLib.volume_data import VolumeGeometry, array_of, is_same_place, linear_transform_to_world, vtk_matrix


@dataclass(frozen=True, eq=False)
class Crop:
    """Part of a 0/1 volume; zero everywhere else.

    Attributes:
        voxels: (K, J, I) uint8 of 0 and 1; not to be changed.
        origin: (k, j, i) of the first voxel in the whole volume.
        digests: kept here by `slice_memory`, by axis.
    """

    voxels: np.ndarray
    origin: tuple[int, int, int]
    digests: dict[int, dict[int, str]] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def nothing(cls) -> Crop:
        return cls(np.zeros((0, 0, 0), dtype=np.uint8), (0, 0, 0))

    @property
    def is_empty(self) -> bool:
        return not self.voxels.any()

    @property
    def end(self) -> tuple[int, int, int]:
        """(k, j, i) behind the last voxel."""
        k, j, i = (first + count for first, count in zip(self.origin, self.voxels.shape, strict=True))
        return k, j, i

    def trimmed(self) -> Crop:
        """The same voxels in the smallest crop."""
        bounds = bounds_of(self.voxels)
        if bounds is None:
            return Crop.nothing()
        k, j, i = (first + part.start for first, part in zip(self.origin, bounds, strict=True))
        return Crop(self.voxels[bounds], (k, j, i))

    def window(self, origin: tuple[int, int, int], end: tuple[int, int, int]) -> np.ndarray:
        """Array of the voxels from ``origin`` to before ``end`` (k, j, i), zero where the crop has none."""
        window = np.zeros([last - first for first, last in zip(origin, end, strict=True)], dtype=np.uint8)
        source, target = overlap(self.origin, self.voxels.shape, origin, window.shape)
        window[target] = self.voxels[source]
        return window


def bounds_of(voxels: np.ndarray) -> tuple[slice, ...] | None:
    """Slices of the smallest box that holds every non-zero voxel; None when there is none."""
    if not voxels.size:
        return None
    bounds: list[slice] = []
    # Axis after axis the rest is flattened: the whole array is read twice only, which counts for a whole organ.
    while True:
        used = np.flatnonzero(np.bitwise_or.reduce(voxels.reshape(len(voxels), -1), axis=1))
        if not len(used):
            return None
        bounds.append(slice(int(used[0]), int(used[-1]) + 1))
        if voxels.ndim == 1:
            return tuple(bounds)
        voxels = np.bitwise_or.reduce(voxels, axis=0)


def overlap(
    origin: tuple[int, ...], shape: tuple[int, ...], other_origin: tuple[int, ...], other_shape: tuple[int, ...]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where two boxes overlap: as slices of the first and of the second (empty slices when they do not)."""
    first, second = [], []
    for start, count, other_start, other_count in zip(origin, shape, other_origin, other_shape, strict=True):
        begin = max(start, other_start)
        end = max(begin, min(start + count, other_start + other_count))
        first.append(slice(begin - start, end - start))
        second.append(slice(begin - other_start, end - other_start))
    return tuple(first), tuple(second)


@dataclass(frozen=True, eq=False)
class StoredSegment:
    """A segment as it is stored and as the volume sees it.

    Attributes:
        stored: in the grid that the segment is stored in, trimmed.
        matrix: 4x4 (i, j, k) of that grid to the segmentation node's own RAS.
        content: in the volume's grid, trimmed.
    """

    stored: Crop
    matrix: np.ndarray
    content: Crop


def read_segment(segmentation_node: object, segment_id: str, volume: VolumeGeometry) -> Crop:
    """Voxels of a segment in a volume's grid, trimmed; empty for an empty segment.

    A segment in another grid, or under another transform, is resampled (nearest voxel). What lies outside the volume
    is left out.

    Raises:
        UserError: the segment is gone, holds no voxels but surfaces, lies entirely outside the volume, or is under a
            non-linear transform.
    """
    return read_stored_segment(segmentation_node, segment_id, volume).content


def read_stored_segment(segmentation_node: object, segment_id: str, volume: VolumeGeometry) -> StoredSegment:
    """A segment as it is stored and in a volume's grid. Raises as `read_segment`."""
    segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
    if segment is None:
        raise UserError(f'The segment "{segment_id}" is no longer in "{segmentation_node.GetName()}": choose another.')
    check_holds_voxels(segmentation_node)
    to_world = linear_transform_to_world(segmentation_node)
    stored, matrix = _stored(segment)
    if not stored.voxels.size:
        return StoredSegment(stored, matrix, stored)
    content = regrid(stored, np.linalg.solve(volume.ijk_to_ras, to_world @ matrix), volume.shape)
    if not content.voxels.size:
        raise UserError(
            f'The segment "{segment.GetName()}" of "{segmentation_node.GetName()}" lies outside the volume '
            f'"{volume.name}": choose the volume that it was drawn on, or another segmentation.'
        )
    return StoredSegment(stored, matrix, content)


def check_holds_voxels(segmentation_node: object) -> None:
    """Raise `UserError` when a segmentation's segments are surfaces, which cannot be read or edited as voxels."""
    segmentation = segmentation_node.GetSegmentation()
    voxels = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    if segmentation.GetNumberOfSegments() and segmentation.GetSourceRepresentationName() != voxels:
        raise UserError(
            f'The segmentation "{segmentation_node.GetName()}" holds surfaces instead of voxels: make '
            '"Binary labelmap" its source representation in the Segmentations module, or choose another.'
        )


def grid_of(segmentation_node: object) -> tuple[np.ndarray, tuple[int, int, int], tuple[int, int, int]] | None:
    """Grid that a segmentation stores voxels in: (4x4 (i, j, k) to the node's own RAS, (K, J, I) origin, shape).

    None when it has no reference geometry and no voxels yet.
    """
    segmentation = segmentation_node.GetSegmentation()
    name = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    text = segmentation.GetConversionParameter(name)
    image = slicer.vtkOrientedImageData()
    if text and slicer.vtkSegmentationConverter.DeserializeImageGeometry(text, image, False):
        return _grid(image)
    for index in range(segmentation.GetNumberOfLayers()):
        image = segmentation.GetLayerDataObject(index, _binary_labelmap())
        if image is not None and image.GetNumberOfPoints() > 0:
            return _grid(image)
    return None


def oriented_image(voxels: np.ndarray, origin: tuple[int, int, int], ijk_to_ras: np.ndarray) -> object:
    """vtkOrientedImageData that owns a copy of (K, J, I) uint8 voxels whose first is (k, j, i) ``origin``."""
    image = slicer.vtkOrientedImageData()
    _place(image, voxels.shape, origin, ijk_to_ras)
    scalars = numpy_to_vtk(np.ascontiguousarray(voxels, dtype=np.uint8).ravel(), deep=True)
    image.GetPointData().SetScalars(scalars)
    return image


def share_with_image(image: object, voxels: np.ndarray, ijk_to_ras: np.ndarray) -> None:
    """Have an oriented image show a contiguous (K, J, I) uint8 array itself; keep the array while the image is used."""
    _place(image, voxels.shape, (0, 0, 0), ijk_to_ras)
    image.GetPointData().SetScalars(numpy_to_vtk(voxels.ravel(), deep=False))


def _place(image: object, shape: tuple[int, ...], origin: tuple[int, int, int], ijk_to_ras: np.ndarray) -> None:
    (k, j, i), (depth, rows, columns) = origin, shape
    image.SetExtent(i, i + columns - 1, j, j + rows - 1, k, k + depth - 1)
    image.SetImageToWorldMatrix(vtk_matrix(ijk_to_ras))


def regrid(crop: Crop, to_target: np.ndarray, shape: tuple[int, int, int] | None) -> Crop:
    """A crop in another grid, nearest voxel, trimmed.

    Args:
        crop: in its own grid, trimmed.
        to_target: 4x4 from its (i, j, k) to those of the other grid.
        shape: (K, J, I) of the other grid, whose first voxel is (0, 0, 0); None: it has no end.
    """
    if not crop.voxels.size:
        return Crop.nothing()
    if is_shift(to_target, crop.end):
        shift = np.round(to_target[:3, 3])
        k, j, i = (first + int(by) for first, by in zip(crop.origin, shift[::-1], strict=True))
        return _clipped(Crop(crop.voxels, (k, j, i)), shape)
    return _resampled(crop, to_target, shape)


def is_shift(to_target: np.ndarray, shape: tuple[int, int, int]) -> bool:
    """Whether two grids have the same voxels, counted from another first one."""
    shift = np.eye(4)
    shift[:3, 3] = np.round(to_target[:3, 3])
    return is_same_place(shift, to_target, shape)


def _clipped(crop: Crop, shape: tuple[int, int, int] | None) -> Crop:
    """A trimmed crop without what lies outside a volume, trimmed."""
    if shape is None:
        return crop
    source, target = overlap(crop.origin, crop.voxels.shape, (0, 0, 0), shape)
    inside = crop.voxels[source]
    if inside.shape == crop.voxels.shape:
        return crop
    k, j, i = (part.start for part in target)
    return Crop(inside, (k, j, i)).trimmed()


def _resampled(crop: Crop, to_target: np.ndarray, shape: tuple[int, int, int] | None) -> Crop:
    """Look up, slice by slice, the voxel of ``crop`` under every voxel of the box that it can reach."""
    low, high = np.array(crop.origin[::-1]) - 0.5, np.array(crop.end[::-1]) - 0.5
    corners = np.array([(a, b, c, 1) for a in (low[0], high[0]) for b in (low[1], high[1]) for c in (low[2], high[2])])
    reached = (to_target @ corners.T)[:3]
    first, end = np.floor(reached.min(axis=1)).astype(int), np.ceil(reached.max(axis=1)).astype(int) + 1
    if shape is not None:
        first, end = np.clip(first, 0, shape[::-1]), np.clip(end, 0, shape[::-1])
    if (end <= first).any():
        return Crop.nothing()
    k, j, i = (int(value) for value in first[::-1])
    voxels = np.zeros((end - first)[::-1], dtype=np.uint8)
    back = np.linalg.inv(to_target)
    jj, ii = np.mgrid[first[1] : end[1], first[0] : end[0]]
    plane = np.stack([ii, jj, np.zeros_like(ii), np.ones_like(ii)]).reshape(4, -1)
    for index in range(len(voxels)):
        plane[2] = first[2] + index
        # Rounded, so that a position halfway between two voxels is not decided by the last bit.
        source = np.floor(np.round((back @ plane)[2::-1], 6) + 0.5).astype(int)
        source -= np.array(crop.origin)[:, None]
        known = ((source >= 0) & (source < np.array(crop.voxels.shape)[:, None])).all(axis=0)
        flat = voxels[index].reshape(-1)
        flat[known] = crop.voxels[tuple(source[:, known])]
    return Crop(voxels, (k, j, i)).trimmed()


def _stored(segment: object) -> tuple[Crop, np.ndarray]:
    """A segment's voxels as they are stored, trimmed, and the matrix of that grid."""
    image = segment.GetRepresentation(_binary_labelmap())
    if image is None or image.GetNumberOfPoints() < 1 or image.GetPointData().GetScalars() is None:
        return Crop.nothing(), np.eye(4)
    matrix, origin, shape = _grid(image)
    labels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape)
    return Crop((labels == segment.GetLabelValue()).view(np.uint8), origin).trimmed(), matrix


def _grid(image: object) -> tuple[np.ndarray, tuple[int, int, int], tuple[int, int, int]]:
    i0, i1, j0, j1, k0, k1 = image.GetExtent()
    matrix = vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return array_of(matrix), (k0, j0, i0), (k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1)


def _binary_labelmap() -> str:
    return slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
