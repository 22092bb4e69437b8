"""From a volume to the square slices that networks see, and exactly back.

Network slices have one orientation whatever the file's axis order is (one of 48, or oblique: nearest axes):

    plane      slices                   rows                  columns
    axial      inferior -> superior     anterior -> posterior right -> left
    coronal    anterior -> posterior    superior -> inferior  right -> left
    sagittal   right -> left            superior -> inferior  anterior -> posterior

Slices are the volume's own (nothing is interpolated across them). In the plane, pixels are square and the window
covers the whole field of view; coordinates are pixel centres (see `in_plane_axis`). When the in-plane spacing fits,
voxels are copied; otherwise images are interpolated linearly and masks take the nearest voxel. A mask comes back
exactly wherever the network's pixels are not coarser than the voxels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from momentumseg.errors import GeometryError, InputError
from momentumseg.geometry.directions import PatientAxis, checked_ijk_to_ras, patient_axes, spacing_of
from momentumseg.geometry.in_plane_axis import InPlaneAxis

PLANES = ("axial", "coronal", "sagittal")
ACQUISITION = "acquisition"

# Per plane: (patient axis, whether network order follows the RAS axis) of slices, rows and columns.
# Patient axes: 0 left-right, 1 posterior-anterior, 2 inferior-superior.
PLANE_ORDER = {
    "axial": ((2, True), (1, False), (0, False)),
    "coronal": ((1, False), (2, False), (0, False)),
    "sagittal": ((0, False), (2, False), (1, False)),
}
_PLANE_OF_PATIENT_AXIS = {2: "axial", 1: "coronal", 0: "sagittal"}
_LARGER_SPACING = 1.001  # below this ratio two spacings count as equal


@dataclass(frozen=True)
class NetworkSpace:
    """Mapping between a volume (K, J, I) and its network slices (S, size, size). Made by `of`.

    ``slice_axis`` indexes (K, J, I); spacings are in mm.
    """

    shape: tuple[int, int, int]
    plane: str
    size: int
    slice_axis: int
    slice_spacing: float
    pixel_spacing: float
    slices_flipped: bool
    rows: InPlaneAxis
    columns: InPlaneAxis

    @classmethod
    def of(
        cls,
        shape: tuple[int, int, int],
        ijk_to_ras: np.ndarray,
        plane: str = "axial",
        size: int = 256,
        pixel_spacing: float | None = None,
    ) -> NetworkSpace:
        """Network space of a volume of ``shape`` (K, J, I) voxels.

        ``plane`` is axial, coronal, sagittal or acquisition (the axis with the largest spacing; of a one-slice
        volume its slice; axial for equal spacings). ``pixel_spacing`` (mm) defaults to the smallest that covers the
        field of view with ``size`` pixels; a smaller one crops, and what is outside comes back as zero.
        Raises `InputError` for an unknown plane or size, `GeometryError` for a matrix that is no geometry.
        """
        matrix = checked_ijk_to_ras(ijk_to_ras)
        shape = checked_shape(shape)
        _check_window(size, pixel_spacing)
        axes = patient_axes(matrix)
        spacing = spacing_of(matrix)[::-1]  # by (K, J, I) axis
        plane = named_plane(plane, axes, shape, spacing)
        (slices, slices_flipped), (row, row_flipped), (column, column_flipped) = (
            (axes[patient].axis, axes[patient].increases != follows_ras) for patient, follows_ras in PLANE_ORDER[plane]
        )
        covering = max(shape[row] * spacing[row], shape[column] * spacing[column]) / size
        pixel_spacing = float(pixel_spacing or covering)
        return cls(
            shape=shape,
            plane=plane,
            size=int(size),
            slice_axis=slices,
            slice_spacing=spacing[slices],
            pixel_spacing=pixel_spacing,
            slices_flipped=slices_flipped,
            rows=InPlaneAxis.centred(row, shape[row], row_flipped, size, pixel_spacing / spacing[row]),
            columns=InPlaneAxis.centred(column, shape[column], column_flipped, size, pixel_spacing / spacing[column]),
        )

    # Slices

    @property
    def slice_count(self) -> int:
        """Number of slices S, in the volume as in the network."""
        return self.shape[self.slice_axis]

    @property
    def slice_shape(self) -> tuple[int, int]:
        """Shape of a slice in the volume's own layout."""
        first, second = (count for axis, count in enumerate(self.shape) if axis != self.slice_axis)
        return first, second

    @property
    def is_copy(self) -> bool:
        """Whether network pixels are voxels (equal spacing), so that nothing is interpolated."""
        return self.rows.is_copy and self.columns.is_copy

    @property
    def down_samples(self) -> bool:
        """Whether network pixels are coarser than voxels somewhere, so that masks lose detail."""
        return max(self.rows.scale, self.columns.scale) > 1.0

    def volume_index(self, s: int) -> int:
        """Index along ``slice_axis`` of network slice ``s``."""
        self._check_slice(s)
        return self.slice_count - 1 - s if self.slices_flipped else s

    def network_index(self, volume_slice_index: int) -> int:
        """Network slice of an index along ``slice_axis``; the inverse of `volume_index`."""
        return self.volume_index(volume_slice_index)

    def relative_position(self, s: int) -> float:
        """Place of network slice ``s`` between the first (0) and the last (1); 0.5 of a single slice."""
        self._check_slice(s)
        return s / (self.slice_count - 1) if self.slice_count > 1 else 0.5

    def volume_slice(self, array: np.ndarray, s: int) -> np.ndarray:
        """View of network slice ``s`` in a (K, J, I) array, in the volume's own layout."""
        self._check_volume(array)
        index: list[slice | int] = [slice(None)] * 3
        index[self.slice_axis] = self.volume_index(s)
        return array[tuple(index)]

    # To the network

    def forward_image(self, array: np.ndarray, fill: float | None = None) -> np.ndarray:
        """(S, size, size) float32 network slices of a (K, J, I) image; see `forward_slice`."""
        self._check_volume(array)
        fill = float(array.min()) if fill is None else fill
        image = np.empty((self.slice_count, self.size, self.size), dtype=np.float32)
        for s in range(self.slice_count):
            image[s] = self.forward_slice(array, s, fill)
        return image

    def forward_slice(self, array: np.ndarray, s: int, fill: float | None = None) -> np.ndarray:
        """(size, size) float32 network slice ``s``, linear, smoothed (Gaussian) before down-sampling.

        ``array`` is the (K, J, I) image (a memory map too: only one slice is read) or the slice itself in the
        volume's layout. Outside the field of view it is ``fill``; None searches the minimum of ``array`` on every
        call, so give it when going through a volume.
        """
        fill = float(array.min()) if fill is None else fill
        voxels = self._oriented(array, s)
        image = np.full((self.size, self.size), fill, dtype=np.float32)
        if self.is_copy:
            (rows, voxel_rows), (columns, voxel_columns) = self.rows.copy_slices, self.columns.copy_slices
            image[rows, columns] = voxels[voxel_rows, voxel_columns]
            return image
        voxels = np.ascontiguousarray(voxels, dtype=np.float32)
        resampled = _separable(self.rows.image_weights, voxels, self.columns.image_weights)
        inside = np.ix_(self.rows.nearest_voxels >= 0, self.columns.nearest_voxels >= 0)
        image[inside] = resampled[inside]
        return image

    def forward_mask(self, labelmap: np.ndarray) -> np.ndarray:
        """(S, size, size) network slices of a (K, J, I) label map, nearest voxel, same type, 0 outside."""
        self._check_volume(labelmap)
        mask = np.empty((self.slice_count, self.size, self.size), dtype=labelmap.dtype)
        for s in range(self.slice_count):
            mask[s] = self.forward_mask_slice(labelmap, s)
        return mask

    def forward_mask_slice(self, labelmap: np.ndarray, s: int) -> np.ndarray:
        """(size, size) network slice ``s`` of a (K, J, I) label map or of the slice in the volume's layout."""
        return _take_nearest(self._oriented(labelmap, s), self.rows.nearest_voxels, self.columns.nearest_voxels)

    # Back to the volume

    def inverse_mask(
        self, stack: np.ndarray, slices: Iterable[int] | None = None, out: np.ndarray | None = None
    ) -> np.ndarray:
        """(K, J, I) label map of network masks, nearest pixel, same type.

        ``stack`` (len(slices), size, size) holds the network ``slices`` (all when None); only these are written in
        ``out`` (K, J, I), or in zeros when None. Returns the array written.
        """
        out = np.zeros(self.shape, dtype=stack.dtype) if out is None else out
        return self._inverse(self.inverse_mask_slice, stack, slices, out)

    def inverse_mask_slice(self, mask: np.ndarray, s: int) -> tuple[np.ndarray, int]:
        """Network mask (size, size) of slice ``s`` in the volume's slice layout, and the index of that slice."""
        self._check_network_slice(mask)
        oriented = _take_nearest(mask, self.rows.nearest_pixels, self.columns.nearest_pixels)
        return self._to_volume_layout(oriented), self.volume_index(s)

    def inverse_probability(
        self, stack: np.ndarray, slices: Iterable[int] | None = None, out: np.ndarray | None = None
    ) -> np.ndarray:
        """(K, J, I) float32 values of network probabilities, linear; ``slices`` and ``out`` as in `inverse_mask`."""
        out = np.zeros(self.shape, dtype=np.float32) if out is None else out
        return self._inverse(self.inverse_probability_slice, stack, slices, out)

    def inverse_probability_slice(self, probability: np.ndarray, s: int) -> tuple[np.ndarray, int]:
        """Network values (size, size) of slice ``s`` in the volume's layout, float32, and the index of that slice."""
        self._check_network_slice(probability)
        if self.is_copy:
            oriented = _take_nearest(probability, self.rows.nearest_pixels, self.columns.nearest_pixels)
        else:
            pixels = np.ascontiguousarray(probability, dtype=np.float32)
            oriented = _separable(self.rows.probability_weights, pixels, self.columns.probability_weights)
        return self._to_volume_layout(oriented).astype(np.float32, copy=False), self.volume_index(s)

    # Helpers

    def _oriented(self, array: np.ndarray, s: int) -> np.ndarray:
        """View (rows, columns) in network orientation of slice ``s``."""
        if array.ndim == 3:
            array = self.volume_slice(array, s)
        elif array.shape != self.slice_shape:
            raise GeometryError(f"A slice of {array.shape} voxels does not belong to slices of {self.slice_shape}.")
        return self._flipped(array.T if self.rows.axis > self.columns.axis else array)

    def _to_volume_layout(self, oriented: np.ndarray) -> np.ndarray:
        array = self._flipped(oriented)
        return array.T if self.rows.axis > self.columns.axis else array

    def _flipped(self, oriented: np.ndarray) -> np.ndarray:
        return oriented[:: -1 if self.rows.flipped else 1, :: -1 if self.columns.flipped else 1]

    def _inverse(
        self,
        inverse_slice: Callable[[np.ndarray, int], tuple[np.ndarray, int]],
        stack: np.ndarray,
        slices: Iterable[int] | None,
        out: np.ndarray,
    ) -> np.ndarray:
        """Write every network slice of ``stack`` at its place in ``out``."""
        self._check_volume(out)
        chosen = list(range(self.slice_count) if slices is None else slices)
        if len(stack) != len(chosen):
            raise GeometryError(f"{len(stack)} network slices were given for {len(chosen)} slices of the volume.")
        for network_slice, s in zip(stack, chosen, strict=True):
            voxels, index = inverse_slice(network_slice, s)
            np.moveaxis(out, self.slice_axis, 0)[index] = voxels
        return out

    def _check_volume(self, array: np.ndarray) -> None:
        if array.shape != self.shape:
            raise GeometryError(f"An array of {array.shape} voxels does not belong to a volume of {self.shape} voxels.")

    def _check_network_slice(self, array: np.ndarray) -> None:
        if array.shape != (self.size, self.size):
            raise GeometryError(f"A network slice has {self.size}x{self.size} pixels, not {array.shape}.")

    def _check_slice(self, s: int) -> None:
        if not 0 <= s < self.slice_count:
            raise InputError(f"Slice {s} does not exist: the {self.plane} slices are 0 to {self.slice_count - 1}.")


def _separable(rows: csr_array, image: np.ndarray, columns: csr_array) -> np.ndarray:
    """rows @ image @ columns^T for sparse weights of rows and columns."""
    half: np.ndarray = rows @ image
    whole: np.ndarray = columns @ np.ascontiguousarray(half.T)
    return whole.T


def _take_nearest(image: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """image[rows, columns], and zero where an index is -1."""
    taken = image[np.ix_(rows, columns)]
    taken[rows < 0] = 0
    taken[:, columns < 0] = 0
    return taken


def checked_shape(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    if len(shape) != 3 or min(shape) < 1:
        raise InputError(f"A volume of shape {tuple(shape)} has no slices; give 3 dimensions of at least one voxel.")
    k, j, i = (int(count) for count in shape)
    return k, j, i


def _check_window(size: int, pixel_spacing: float | None) -> None:
    if size < 1:
        raise InputError(f"The network size is {size} pixels; give a positive number.")
    if pixel_spacing is not None and not 0 < pixel_spacing < np.inf:
        raise InputError(f"The pixel spacing is {pixel_spacing} mm; give a positive number.")


def named_plane(
    plane: str, axes: tuple[PatientAxis, ...], shape: tuple[int, int, int], spacing: tuple[float, float, float]
) -> str:
    """The plane's name, with ``acquisition`` resolved."""
    if plane in PLANES:
        return plane
    if plane != ACQUISITION:
        raise InputError(f"There is no plane '{plane}'; choose one of {', '.join(PLANES)} or {ACQUISITION}.")
    single = [axis for axis in range(3) if shape[axis] == 1]
    if len(single) == 1:
        return next(_PLANE_OF_PATIENT_AXIS[patient] for patient in range(3) if axes[patient].axis == single[0])
    chosen = 2
    for patient in (1, 0):
        if spacing[axes[patient].axis] > spacing[axes[chosen].axis] * _LARGER_SPACING:
            chosen = patient
    return _PLANE_OF_PATIENT_AXIS[chosen]
