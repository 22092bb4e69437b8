"""From a slice of a volume to the image that a prompted network was trained on, and from its logits back to the slice.

The networks of the SAM family share their shapes but not their preprocessing; a wrong one gives masks that look
plausible and are not. It is data here, named on the model's card:

================ ============== ============ ========================================= ================================
kind             brightness     geometry     resampling                                values that the network reads
================ ============== ============ ========================================= ================================
``sam``          volume window  longest side bilinear                                  0..255, mean and deviation of SAM
``medsam``       volume window  stretched    bicubic                                   0..1 of the slice
``lite-medsam``  volume window  longest side area when shrinking, else bilinear        0..1 of the slice
``lvm-med``      slice          stretched    nearest                                   0..255 of the slice, then as SAM
================ ============== ============ ========================================= ================================

Sources: Kirillov et al., "Segment Anything", ICCV 2023; Ma et al., "Segment anything in medical images", Nature
Communications 2024; Nguyen et al., "LVM-Med", NeurIPS 2023 (prompt setting).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from momentumseg.errors import InputError
from momentumseg.transforms.resampling_matrices import area_matrix, linear_matrix

Resampling = Literal["bilinear", "bicubic", "area", "nearest"]

# Percentiles of more voxels than this are estimated on a regular subset: the error is far below the noise of the image.
_MAX_FITTED_VOXELS = 8_000_000
_BYTE = 255.0
_SAM_MEAN = (123.675, 116.28, 103.53)
_SAM_DEVIATION = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class IntensityWindow:
    """The range of brightness that is shown to the network, in the volume's own units (HU for CT).

    Attributes:
        low: becomes 0; what is darker too.
        high: becomes 1; what is brighter too.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.low) and np.isfinite(self.high) and self.low < self.high):
            raise InputError(
                f"The intensity window {self.low:g} to {self.high:g} shows nothing; give a lower end below the upper."
            )

    @classmethod
    def fit(cls, array: np.ndarray, *, low_percentile: float = 0.5, high_percentile: float = 99.5) -> IntensityWindow:
        """Percentiles of the non-zero finite voxels of a volume or image (any shape), as MedSAM takes them.

        Raises:
            InputError: no finite voxel, or all of one value.
        """
        voxels = np.asarray(array).ravel(order="K")  # in the order of memory: no copy whatever the axis order is
        voxels = voxels[:: max(1, voxels.size // _MAX_FITTED_VOXELS)].astype(np.float32)
        voxels = voxels[np.isfinite(voxels)]
        shown = voxels[voxels != 0]
        if not shown.size:
            what = "is 0 everywhere" if voxels.size else "holds no voxel that is a number"
            raise InputError(f"The image {what}; choose one that shows something.")
        low, high = (float(value) for value in np.percentile(shown, (low_percentile, high_percentile)))
        if low == high:  # a mask, or a small object on an even background: percentiles see one value only
            low, high = float(voxels.min()), float(voxels.max())
        if low == high:
            raise InputError(f"All voxels of the image have the value {low:g}; choose one that shows something.")
        return cls(low, high)

    @classmethod
    def from_level(cls, level: float, width: float) -> IntensityWindow:
        """The window of a viewer; soft tissue in CT is level 40, width 400 (HU).

        Raises:
            InputError: a width that is not positive.
        """
        return cls(level - width / 2, level + width / 2)

    def apply(self, array: np.ndarray) -> np.ndarray:
        """Brightness 0..1, float32, same shape; voxels that are not numbers become 0."""
        finite = np.nan_to_num(np.asarray(array, dtype=np.float32), nan=self.low, posinf=self.high, neginf=self.low)
        shown = np.clip(finite, np.float32(self.low), np.float32(self.high))
        return ((shown - np.float32(self.low)) / np.float32(self.high - self.low)).astype(np.float32, copy=False)


@dataclass(frozen=True)
class SliceTransform:
    """The way between a slice and the network's image, exact in both directions.

    Whole numbers are voxel centres on both sides: column x of the slice covers x - 1/2 to x + 1/2.

    Attributes:
        slice_shape: (rows, columns) of the slice.
        resized_shape: (rows, columns) that the slice has in the network's image; the rest at the bottom and right is
            padding.
        image_size: S of the network's image.
        mask_size: pixels along a side of the logits, which cover the same S x S.
    """

    slice_shape: tuple[int, int]
    resized_shape: tuple[int, int]
    image_size: int
    mask_size: int

    @property
    def scale(self) -> tuple[float, float]:
        """Network pixels a voxel, as (along x, along y)."""
        return self.resized_shape[1] / self.slice_shape[1], self.resized_shape[0] / self.slice_shape[0]

    @property
    def logit_pixel(self) -> float:
        """Network pixels along a side of a pixel of the logits."""
        return self.image_size / self.mask_size

    def to_network(self, xy: np.ndarray) -> np.ndarray:
        """Slice coordinates ``(..., 2)`` as (column, row) to network pixels (x, y), float32."""
        return ((np.asarray(xy, dtype=np.float64) + 0.5) * self.scale - 0.5).astype(np.float32)

    def from_network(self, xy: np.ndarray) -> np.ndarray:
        """Undo :meth:`to_network`: network pixels ``(..., 2)`` to (column, row), float32."""
        return ((np.asarray(xy, dtype=np.float64) + 0.5) / self.scale - 0.5).astype(np.float32)

    def logits_to_slice(self, logits: np.ndarray | Tensor) -> np.ndarray:
        """Logits ``(..., 4h, 4h)`` of the network at the voxel centres of the slice, ``(..., rows, columns)`` float32.

        Bilinear between the centres of the logits, nothing is taken from beyond their edge.
        """
        values = torch.as_tensor(logits).detach().float().cpu()
        if values.shape[-2:] != (self.mask_size, self.mask_size):
            raise InputError(
                f"The logits have the shape {tuple(values.shape)}; this slice needs (..., {self.mask_size}, "
                f"{self.mask_size})."
            )
        rows, columns = self._mask_positions()
        return (linear_matrix(rows, self.mask_size) @ values @ linear_matrix(columns, self.mask_size).T).numpy()

    def mask_to_logits(self, mask: np.ndarray) -> np.ndarray:
        """Float32 ``(4h, 4h)``, 1 inside and 0 outside, of a mask (rows, columns), linear at the centres of the logits.

        Padding is outside.
        """
        centres = (np.arange(self.mask_size) + 0.5) * self.logit_pixel - 0.5
        columns, rows = self.from_network(np.stack([centres, centres], axis=1)).T
        places = np.meshgrid(rows, columns, indexing="ij")
        inside: np.ndarray = ndimage.map_coordinates(mask.astype(np.float32), places, order=1, cval=0.0)
        return inside

    def _mask_positions(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the slice's voxel centres in the grid of the logits."""
        across, down = self.scale
        rows = (np.arange(self.slice_shape[0]) + 0.5) * down / self.logit_pixel - 0.5
        columns = (np.arange(self.slice_shape[1]) + 0.5) * across / self.logit_pixel - 0.5
        return rows, columns


@dataclass(frozen=True)
class PromptPreprocessing:
    """What one kind of prompted network expects of its image; see the table of the module.

    Attributes:
        kind: its name on the model's card.
        image_size: S in pixels.
        mask_size: pixels along a side of the network's logits.
        keep_aspect: longest side to S and padding, or stretched to S x S.
        resampling: how the slice is brought to size.
        volume_window: brightness is fixed for a whole volume (percentiles, or a CT window).
        slice_range: each slice is brought to its own full range after resampling.
        mean, deviation: of the channels in units 0..255; None where the network reads 0..1.
    """

    kind: str
    image_size: int
    mask_size: int
    keep_aspect: bool
    resampling: Resampling
    volume_window: bool
    slice_range: bool
    mean: tuple[float, float, float] | None = None
    deviation: tuple[float, float, float] | None = None

    @classmethod
    def of(cls, kind: str, image_size: int, mask_size: int) -> PromptPreprocessing:
        """The preprocessing of a name on a card, for a network of that size.

        Raises:
            InputError: an unknown name.
        """
        if kind not in KINDS:
            raise InputError(f"There is no preprocessing named {kind!r}; choose one of {', '.join(KINDS)}.")
        return cls(kind, image_size, mask_size, **KINDS[kind])

    @property
    def identity(self) -> str:
        """Tells preprocessings apart in caches."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]

    def fit(self, array: np.ndarray) -> IntensityWindow | None:
        """The window that :meth:`prepare` wants for slices of this volume; None where each slice stands alone.

        Raises:
            InputError: a volume that shows nothing.
        """
        return IntensityWindow.fit(array) if self.volume_window else None

    def prepare(
        self,
        slice2d: np.ndarray,
        intensity: IntensityWindow | None = None,
        *,
        spacing: tuple[float, float] = (1.0, 1.0),
    ) -> tuple[Tensor, SliceTransform]:
        """The network's image of one slice.

        Args:
            slice2d: ``(rows, columns)``, any real type; voxels that are not numbers count as dark.
            intensity: of the whole volume, see :meth:`fit`; without it the slice alone decides.
            spacing: (between rows, between columns) in mm; where the aspect is kept, it is that of the body.

        Returns:
            Image ``(3, S, S)`` float32, and the way there and back.

        Raises:
            InputError: not a slice, or one that shows nothing (constant, or no voxel is a number).
        """
        pixels = np.asarray(slice2d)
        _check_slice(pixels)
        window = intensity or (IntensityWindow.fit(pixels) if self.volume_window else _full_range(pixels))
        shown = window.apply(pixels)
        if shown.min() == shown.max():
            raise InputError(
                f"The slice shows nothing between {window.low:g} and {window.high:g} (all of it is equally bright); "
                "choose another slice or another intensity window."
            )
        transform = self.transform_of(pixels.shape, spacing)
        resized = resample(torch.from_numpy(np.ascontiguousarray(shown)), transform.resized_shape, self.resampling)
        return self._pad(self._values(resized)), transform

    def transform_of(self, shape: tuple[int, ...], spacing: tuple[float, float] = (1.0, 1.0)) -> SliceTransform:
        """The way of slices ``(rows, columns)`` without looking at one."""
        rows, columns = shape
        resized = (self.image_size, self.image_size)
        if self.keep_aspect:
            height, width = rows * spacing[0], columns * spacing[1]
            longest = max(height, width)
            resized = (self._length(height / longest), self._length(width / longest))
        return SliceTransform((rows, columns), resized, self.image_size, self.mask_size)

    def _length(self, share: float) -> int:
        return max(1, int(share * self.image_size + 0.5))

    def _values(self, shown: Tensor) -> Tensor:
        """Three channels ``(3, rows, columns)`` of brightness 0..1 ``(rows, columns)``."""
        if self.slice_range:
            low, high = shown.min(), shown.max()
            shown = (shown - low) / (high - low).clamp_min(1e-8)
        channels = shown.expand(3, -1, -1)
        if self.mean is None or self.deviation is None:
            return channels
        mean, deviation = (torch.tensor(values)[:, None, None] for values in (self.mean, self.deviation))
        return (channels * _BYTE - mean) / deviation

    def _pad(self, channels: Tensor) -> Tensor:
        below, right = (self.image_size - length for length in channels.shape[1:])
        return functional.pad(channels, (0, right, 0, below)).contiguous()


def resample(image: Tensor, shape: tuple[int, int], how: Resampling) -> Tensor:
    """Bring an image ``(rows, columns)`` to another shape; no value leaves the image's own range."""
    if tuple(image.shape) == shape:
        return image
    if how == "area" and shape[0] <= image.shape[0] and shape[1] <= image.shape[1]:
        return area_matrix(shape[0], image.shape[0]) @ image @ area_matrix(shape[1], image.shape[1]).T
    if how == "nearest":
        return functional.interpolate(image[None, None], shape, mode="nearest-exact")[0, 0]
    mode = "bicubic" if how == "bicubic" else "bilinear"
    resized = functional.interpolate(image[None, None], shape, mode=mode, align_corners=False, antialias=True)[0, 0]
    return resized.clamp(image.min(), image.max())  # bicubic overshoots at edges


def _check_slice(pixels: np.ndarray) -> None:
    if pixels.ndim != 2 or not pixels.size:
        raise InputError(f"A slice has rows and columns; this image has the shape {pixels.shape}.")
    if pixels.dtype.kind not in "biuf":
        raise InputError(f"The voxels of the slice are of the type {pixels.dtype}; numbers are needed.")
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).any():
        raise InputError("No voxel of the slice is a number (all are NaN or infinite); choose another slice.")


def _full_range(pixels: np.ndarray) -> IntensityWindow:
    voxels = pixels.astype(np.float32)
    finite = voxels[np.isfinite(voxels)]
    low, high = float(finite.min()), float(finite.max())
    if low == high:
        raise InputError(f"All voxels of the slice have the value {low:g}; choose a slice that shows something.")
    return IntensityWindow(low, high)


KINDS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "sam": {
            "keep_aspect": True,
            "resampling": "bilinear",
            "volume_window": True,
            "slice_range": False,
            "mean": _SAM_MEAN,
            "deviation": _SAM_DEVIATION,
        },
        "medsam": {"keep_aspect": False, "resampling": "bicubic", "volume_window": True, "slice_range": True},
        "lite-medsam": {"keep_aspect": True, "resampling": "area", "volume_window": True, "slice_range": True},
        "lvm-med": {
            "keep_aspect": False,
            "resampling": "nearest",
            "volume_window": False,
            "slice_range": True,
            "mean": _SAM_MEAN,
            "deviation": _SAM_DEVIATION,
        },
    }
)
