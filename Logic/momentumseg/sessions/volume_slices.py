"""A volume as a session sees it: normalised network slices one at a time, so that memory stays bounded."""

from __future__ import annotations

import numpy as np

from momentumseg.geometry.network_space import NetworkSpace
from momentumseg.transforms.intensity import IntensityNormalization
from momentumseg.transforms.slices import SliceContext, slices_to_images
from momentumseg.volumes.identity import identity_of
from momentumseg.volumes.volume import Volume


class VolumeSlices:
    """Network slices of one volume in one plane.

    Args:
        volume: any geometry and real type; voxels that are not finite count as the smallest finite one.
        plane: see :class:`NetworkSpace`.
        size: pixels of the square network slice.
        context: what the three channels are, see :func:`slices_to_images`.
        volume_id: `identity_of` the volume when it is already known.

    Raises:
        InputError: the volume is constant or has no finite voxel.
    """

    def __init__(
        self, volume: Volume, plane: str, size: int, context: SliceContext, volume_id: str | None = None
    ) -> None:
        self.volume = volume
        self.space = NetworkSpace.of(volume.shape, volume.ijk_to_ras, plane=plane, size=size)
        self.id = volume_id or identity_of(volume)
        self._context: SliceContext = context
        # In the order of memory, so that no copy is made whatever the axis order is.
        voxels = volume.array.ravel(order="K")
        self._all_finite = volume.array.dtype.kind != "f" or _is_finite(volume.array)
        self._minimum = float(volume.array.min() if self._all_finite else _finite(voxels).min(initial=np.inf))
        self._normalization = IntensityNormalization.fit(voxels if self._all_finite else _finite(voxels))

    def image(self, s: int) -> np.ndarray:
        """Normalised network slice ``s``, float32 ``(size, size)``."""
        voxels = self.space.volume_slice(self.volume.array, s)
        if not self._all_finite:
            voxels = _single(voxels)
            voxels = np.where(np.isfinite(voxels), voxels, np.float32(self._minimum))
        return self._normalization.apply(self.space.forward_slice(voxels, s, self._minimum))

    def channels(self, s: int) -> np.ndarray:
        """The image that the backbone reads for network slice ``s``, float32 ``(3, size, size)``."""
        if self._context == "single":
            return slices_to_images(self.image(s)[None], [0], self._context)[0]
        last = self.space.slice_count - 1
        neighbours = np.stack([self.image(min(max(index, 0), last)) for index in (s - 1, s, s + 1)])
        return slices_to_images(neighbours, [1], self._context)[0]


def _is_finite(array: np.ndarray) -> bool:
    return all(bool(np.isfinite(_single(voxels)).all()) for voxels in array)


def _finite(voxels: np.ndarray) -> np.ndarray:
    return voxels[np.isfinite(_single(voxels))]


def _single(voxels: np.ndarray) -> np.ndarray:
    """Float32; what exceeds its range becomes infinite."""
    with np.errstate(over="ignore"):
        return voxels.astype(np.float32, copy=False)
