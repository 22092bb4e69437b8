"""A volume as a prompted network sees it: upright slices, and the exact way back.

Three grids follow each other. The **slice** is the volume's own: rows and columns of the ``(K, J, I)`` array orthogonal
to the slice axis, in the file's order. The **picture** is the same voxels as a radiologist looks at them, in the
orientation of `NetworkSpace`: axes are exchanged and turned, nothing is interpolated. The **network image** is what a
model's preprocessing makes of the picture and its spacing: pixels are square in it where the model keeps the aspect, so
that a coronal reformat of thick slices is not squeezed. Slices are counted as in the volume.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from momentumseg.errors import InputError
from momentumseg.geometry.network_space import NetworkSpace
from momentumseg.transforms.prompt_preprocessing import IntensityWindow, PromptPreprocessing, SliceTransform
from momentumseg.volumes.checks import checked_intensities
from momentumseg.volumes.identity import identity_of
from momentumseg.volumes.volume import Volume

# Logit of a mask that is given as a prompt: about as far as the networks' own logits reach.
_MASK_STRENGTH = 8.0


class PromptSlices:
    """Slices of one volume in one plane.

    Args:
        volume: any geometry and real type; voxels that are not finite count as the smallest finite one.
        plane: see :class:`NetworkSpace`.
        preprocessing: of the model.
        window: range of brightness to show; None fits it to the volume as the model wants it.
        volume_id: `identity_of` the volume when it is already known.

    Attributes:
        id: of the volume and its window; embeddings depend on both.
        warnings: sentences about what was changed in the voxels.

    Raises:
        InputError: unknown plane, or a volume that is constant or has no finite voxel.
    """

    def __init__(
        self,
        volume: Volume,
        plane: str,
        preprocessing: PromptPreprocessing,
        window: IntensityWindow | None = None,
        volume_id: str | None = None,
    ) -> None:
        known = volume_id or identity_of(volume)
        self.id = f"{known}:{window.low:g}:{window.high:g}" if window is not None else known
        self.volume = volume
        self._checked, self.warnings = checked_intensities(volume, keep_integers=True)
        self.space = NetworkSpace.of(volume.shape, volume.ijk_to_ras, plane=plane)
        self._preprocessing = preprocessing
        self._window = window or preprocessing.fit(self._checked.array)

    @property
    def slice_count(self) -> int:
        return self.space.slice_count

    @property
    def slice_shape(self) -> tuple[int, int]:
        """(rows, columns) of the volume's own slices."""
        return self.space.slice_shape

    def check_slice(self, slice_index: int) -> int:
        """The index as a whole number. Raises `InputError` when there is no such slice."""
        index = int(slice_index)
        if index != slice_index or not 0 <= index < self.slice_count:
            raise InputError(
                f"Slice {slice_index} does not exist: the {self.space.plane} slices are 0 to {self.slice_count - 1}."
            )
        return index

    def locate(self, ijk: tuple[float, float, float]) -> tuple[int, float, float]:
        """(slice index, x, y) of a place in voxel coordinates (i, j, k) of the volume, on the slice nearest to it.

        Raises:
            InputError: the place is outside the volume.
        """
        kji = tuple(float(value) for value in ijk)[::-1]
        if not all(-0.5 <= value < count - 0.5 for value, count in zip(kji, self.space.shape, strict=True)):
            words = ", ".join(f"{value:.1f}" for value in ijk)
            raise InputError(f"The voxel ({words}) lies outside the volume: place the prompt on the image.")
        axis = self.space.slice_axis
        y, x = (value for other, value in enumerate(kji) if other != axis)
        return int(np.floor(kji[axis] + 0.5)), x, y

    # To the network

    def voxels(self, slice_index: int) -> np.ndarray:
        """View of a slice (rows, columns), in the volume's unit and without NaN."""
        along: np.ndarray = np.moveaxis(self._checked.array, self.space.slice_axis, 0)
        return along[slice_index]

    def is_blank(self, slice_index: int) -> bool:
        """Whether a slice is equally bright everywhere, so that there is nothing to see on it."""
        voxels = self.voxels(slice_index)
        low, high = float(voxels.min()), float(voxels.max())
        if self._window is not None:
            low, high = (float(value) for value in self._window.apply(np.array([low, high])))
        return low == high

    def picture(self, slice_index: int) -> np.ndarray:
        """The slice upright, in the volume's unit."""
        return np.ascontiguousarray(self._upright(self.voxels(slice_index)))

    def channels(self, slice_index: int) -> np.ndarray:
        """The image that the network reads, float32 ``(3, S, S)``; zero where there is nothing to see."""
        if self.is_blank(slice_index):
            size = self._preprocessing.image_size
            return np.zeros((3, size, size), dtype=np.float32)
        image, _ = self._preprocessing.prepare(self.picture(slice_index), self._window, spacing=self._spacing)
        return image.numpy()

    def to_network(self, xy: np.ndarray) -> np.ndarray:
        """Network pixels ``(N, 2)`` of places ``(N, 2)`` on a slice; (x, y) both."""
        places = np.asarray(xy, dtype=np.float64)
        if self._is_transposed:
            places = places[:, ::-1]
        rows, columns = self.space.rows, self.space.columns
        x = columns.count - 1 - places[:, 0] if columns.flipped else places[:, 0]
        y = rows.count - 1 - places[:, 1] if rows.flipped else places[:, 1]
        return self._transform.to_network(np.stack([x, y], axis=1))

    def box_to_network(self, corners: np.ndarray) -> np.ndarray:
        """Box ``(4,)`` in network pixels, first corner before the last, of two corners ``(2, 2)`` on a slice.

        Which corner is the first may change, because upright pictures are turned.
        """
        places = self.to_network(corners)
        return np.concatenate([places.min(axis=0), places.max(axis=0)]).astype(np.float64)

    def to_logits(self, mask: np.ndarray) -> np.ndarray:
        """Low-resolution logits ``(4h, 4h)``, float32, of a mask (rows, columns) on a slice: a mask prompt.

        The mask is sampled linearly at the centres of the low-resolution pixels.
        """
        inside = self._transform.mask_to_logits(self._upright(mask))
        return ((2.0 * inside - 1.0) * _MASK_STRENGTH).astype(np.float32)

    # And back

    def to_slice(self, logits: np.ndarray) -> np.ndarray:
        """Float32 logits (rows, columns) in the volume's own slice layout of low-resolution logits ``(4h, 4h)``."""
        upright = self._turned(self._transform.logits_to_slice(logits))
        return np.ascontiguousarray(upright.T if self._is_transposed else upright)

    @cached_property
    def voxels_per_network_pixel(self) -> tuple[float, float]:
        """(along x, along y) of the slice."""
        along_x, along_y = self._transform.scale
        if self._is_transposed:
            along_x, along_y = along_y, along_x
        return 1.0 / along_x, 1.0 / along_y

    # Between the grids

    @cached_property
    def _transform(self) -> SliceTransform:
        """The same for all slices of the volume."""
        return self._preprocessing.transform_of((self.space.rows.count, self.space.columns.count), self._spacing)

    @cached_property
    def _spacing(self) -> tuple[float, float]:
        """(between rows, between columns) of the picture, mm."""
        by_axis = self.volume.spacing[::-1]
        return by_axis[self.space.rows.axis], by_axis[self.space.columns.axis]

    @property
    def _is_transposed(self) -> bool:
        """Whether the rows of the picture are the columns of the slice."""
        return self.space.rows.axis > self.space.columns.axis

    def _upright(self, voxels: np.ndarray) -> np.ndarray:
        return self._turned(voxels.T if self._is_transposed else voxels)

    def _turned(self, picture: np.ndarray) -> np.ndarray:
        """Turned from the order of the file to that of the picture; its own inverse."""
        rows, columns = self.space.rows.flipped, self.space.columns.flipped
        return picture[:: -1 if rows else 1, :: -1 if columns else 1]
