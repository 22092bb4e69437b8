"""Sliding windows: a network that sees a patch at a time segments a volume of any size.

Windows overlap and are averaged with weights that fall off towards a window's border: a Gaussian along each axis, sigma
1/8 of the window, as in nnU-Net (Isensee et al., Nature Methods 2021). Because these weights are a product over the
axes, the volume can be computed layer by layer along its first axis with the same result as all windows at once: no
more than one layer of probabilities needs to be in memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, combinations
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from momentumseg.errors import Cancelled, InputError
from momentumseg.networks.segmentation import SegmentationNetwork

Progress = Callable[[int, int], None]
"""Receives (windows done, windows in all)."""

_SIGMA = 1.0 / 8.0  # of a window's side
_SMALLEST_WEIGHT = 1e-3  # of the largest: the outermost voxels of a volume lie in one window only
_VOXELS_AT_ONCE = 1 << 19  # in one call of the network where the caller does not say how many windows
_STITCHED_ON_DEVICE = 1 << 30  # bytes of a layer up to which it is put together on the network's device


class Layer(NamedTuple):
    """Consecutive slices of the result: ``probabilities`` float32 (classes, n, H, W) of the slices from ``first``."""

    first: int
    probabilities: np.ndarray


def predict_probabilities(
    network: SegmentationNetwork,
    image: np.ndarray,
    *,
    patch: Sequence[int],
    overlap: float = 0.5,
    mirror: bool = False,
    batch: int | None = None,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> np.ndarray:
    """Class probabilities of a whole image, float32 ``(classes, D, H, W)``, which sum to one in every voxel.

    The network is used in evaluation mode and without gradients, and is left in the mode it was in. Automatic mixed
    precision is the caller's choice.

    Args:
        network: on ``device``; one of two dimensions is applied slice by slice along the first axis.
        image: float ``(C, D, H, W)``, normalised as in training.
        patch: sides of a window, ``(D, H, W)``, or ``(H, W)`` for a network of two dimensions. They are enlarged to
            multiples of the network's divisor; an image smaller than the window is padded with each channel's minimum.
        overlap: of neighbouring windows, part of their side in [0, 1).
        mirror: average over all mirrored versions of each window (4 in two dimensions, 8 in three).
        batch: windows in one call of the network; by default so many that memory stays moderate.
        device: that the network is on.
        progress: called after each call of the network.
        cancelled: asked before each call of the network.

    Raises:
        InputError: a patch or an overlap that the network cannot have, or an image of other channels.
        Cancelled: ``cancelled`` said so.
    """
    result = np.empty((network.classes, *image.shape[1:]), dtype=np.float32)
    options = {"overlap": overlap, "mirror": mirror, "batch": batch, "device": device}
    for first, probabilities in predict_layers(
        network,
        image,
        patch=patch,
        progress=progress,
        cancelled=cancelled,
        **options,  # type: ignore[arg-type]
    ):
        result[:, first : first + probabilities.shape[1]] = probabilities
    return result


def predict_layers(
    network: SegmentationNetwork,
    image: np.ndarray,
    *,
    patch: Sequence[int],
    overlap: float = 0.5,
    mirror: bool = False,
    batch: int | None = None,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[Layer]:
    """The same as :func:`predict_probabilities` in layers along the first axis, in order and without gaps.

    What a layer holds is the caller's. The network is in evaluation mode until the last layer was taken.
    """
    sides = _checked_patch(network, image, patch, overlap)
    windows = _Windows(network, sides, overlap, mirror, batch, torch.device(device), progress, cancelled)
    with evaluating(network):
        yield from windows.of_volume(image) if len(sides) == 3 else windows.of_slices(image)


@contextmanager
def evaluating(network: torch.nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode for a while; each part returns to its own mode."""
    modes = [(part, part.training) for part in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for part, is_training in modes:
            part.training = is_training


@dataclass
class _Windows:
    """A network with the way it is moved over images."""

    network: SegmentationNetwork
    sides: tuple[int, ...]
    overlap: float
    mirror: bool
    batch: int | None
    device: torch.device
    progress: Progress | None
    cancelled: Callable[[], bool] | None

    def __post_init__(self) -> None:
        self.batch = self.batch or max(1, _VOXELS_AT_ONCE // math.prod(self.sides))
        self._flips = _flips(len(self.sides)) if self.mirror else []
        self._done = self._total = 0

    def of_volume(self, image: np.ndarray) -> Iterator[Layer]:
        """Layers of a volume by a network of three dimensions.

        The windows that begin at the same slice are put together first; those of successive beginnings overlap, and
        their weighted sum is final up to the next beginning.
        """
        depth, height, width = self.sides
        (before, after), *in_plane = _padding(image.shape[1:], self.sides)
        length = image.shape[1]
        fill = _smallest(image)
        starts = _starts(before + length + after, depth, self.overlap)
        self._total = len(starts) * self._windows_of(image.shape[2:], (height, width))
        along = torch.from_numpy(_weights(depth))[:, None, None]
        shape = (self.network.classes, depth, *image.shape[2:])
        summed, weights = torch.zeros(shape), torch.zeros(depth, 1, 1)
        for start, following in zip(starts, [*starts[1:], starts[-1] + depth], strict=True):
            slab = _padded(image, (start - before, start - before + depth), in_plane, fill)
            self._add_windows(summed, slab, in_plane, along)
            weights += along
            step = following - start
            ready = summed[:, :step].div_(weights[:step]).numpy()
            first, last = max(start - before, 0), min(following - before, length)
            if last > first:
                yield Layer(first, ready[:, first - start + before : last - start + before])
            summed, weights = _moved(summed, step), _moved(weights[None], step)[0]

    def of_slices(self, image: np.ndarray) -> Iterator[Layer]:
        """Layers of a volume by a network of two dimensions; slices do not know of each other."""
        padding, fill = _padding(image.shape[2:], self.sides), _smallest(image)
        of_slice = self._windows_of(image.shape[2:], self.sides)
        self._total = image.shape[1] * of_slice
        at_once = max(1, math.ceil((self.batch or 1) / of_slice))
        for first in range(0, image.shape[1], at_once):
            rows = _padded(image, (first, min(first + at_once, image.shape[1])), padding, fill)
            found = self._stitched(rows.transpose(0, 1), padding)
            yield Layer(first, np.ascontiguousarray(found.transpose(0, 1).numpy()))

    def _windows_of(self, shape: Sequence[int], sides: Sequence[int]) -> int:
        padded = [max(size, side) for size, side in zip(shape, sides, strict=True)]
        return math.prod(len(_starts(size, side, self.overlap)) for size, side in zip(padded, sides, strict=True))

    @torch.inference_mode()
    def _add_windows(self, summed: Tensor, slab: Tensor, padding: Sequence[tuple[int, int]], along: Tensor) -> None:
        """Add what is found in a slab ``(C, d, h, w)``; in place, because a layer of many classes is large."""
        found = self._stitched(slab[None], padding)[0]
        found *= along
        summed += found

    @torch.inference_mode()
    def _stitched(self, images: Tensor, padding: Sequence[tuple[int, int]]) -> Tensor:
        """Probabilities ``(B, classes, *S)`` of ``(B, C, *S')``, on the CPU and without the padding in the plane."""
        from monai.inferers.utils import sliding_window_inference  # slow to import, and not every session needs it

        size = 4 * self.network.classes * images[:, :1].numel()
        rows, columns = (torch.from_numpy(_weights(side)) for side in self.sides[-2:])
        weights = (rows[:, None] * columns).expand(self.sides)  # the first of three axes is weighed by of_volume
        found = sliding_window_inference(
            images,
            self.sides,
            self.batch or 1,
            self._probabilities,
            overlap=self.overlap,
            roi_weight_map=weights,
            sw_device=self.device,
            device=self.device if size <= _STITCHED_ON_DEVICE else torch.device("cpu"),
        )
        inside = [slice(before, side - after) for (before, after), side in zip(padding, images.shape[-2:], strict=True)]
        return found[(..., *inside)].cpu()  # type: ignore[union-attr, call-overload, no-any-return]  # one tensor in, one out

    def _probabilities(self, windows: Tensor) -> Tensor:
        """Softmax of the logits, averaged over mirrored versions where that was asked for."""
        if self.cancelled is not None and self.cancelled():
            raise Cancelled("Cancelled; nothing was changed.")
        total = torch.softmax(self.network(windows).float(), dim=1)
        for axes in self._flips:
            total += torch.softmax(self.network(windows.flip(axes)).float(), dim=1).flip(axes)
        total /= len(self._flips) + 1
        self._done += len(windows)
        if self.progress is not None:
            self.progress(self._done, self._total)
        return total


def _checked_patch(
    network: SegmentationNetwork, image: np.ndarray, patch: Sequence[int], overlap: float
) -> tuple[int, ...]:
    """The sides of a window, enlarged to multiples of what the network needs."""
    if image.ndim != 4:
        raise InputError(f"The image has the shape {image.shape}; give channels and three axes (C, D, H, W).")
    if len(patch) != network.dimensions or min(patch) < 1:
        raise InputError(
            f"The patch {list(patch)} does not suit a network of {network.dimensions} dimensions; "
            f"give {network.dimensions} sides of 1 voxel or more."
        )
    if not 0.0 <= overlap < 1.0:
        raise InputError(f"The overlap of windows is {overlap}; choose a part of their side from 0 up to below 1.")
    if network.classes < 2:
        raise InputError(
            f"The network has {network.classes} class; a network that segments by itself needs the background and at "
            "least one label."
        )
    return tuple(math.ceil(side / network.divisor) * network.divisor for side in patch)


def _flips(dimensions: int) -> list[tuple[int, ...]]:
    """All sets of spatial axes of ``(B, C, *S)`` but the empty one."""
    axes = range(2, 2 + dimensions)
    return list(chain.from_iterable(combinations(axes, count) for count in range(1, dimensions + 1)))


def _starts(size: int, side: int, overlap: float) -> list[int]:
    """First voxels of the windows along an axis, as MONAI places them; the last window ends with the axis."""
    step = side if size == side else max(1, int(side * (1.0 - overlap)))
    count = math.ceil(max(size - side, 0) / step) + 1
    return [min(number * step, size - side) for number in range(count)]


def _weights(side: int) -> np.ndarray:
    """Weights of a window's voxels along one axis, float32."""
    distances = (np.arange(side) - (side - 1) / 2.0) / (_SIGMA * side)
    weights: np.ndarray = np.maximum(np.exp(-0.5 * distances**2), _SMALLEST_WEIGHT).astype(np.float32)
    return weights


def _padding(shape: Sequence[int], sides: Sequence[int]) -> list[tuple[int, int]]:
    """Voxels (before, after) by which each axis is short of a window."""
    missing = [max(side - size, 0) for size, side in zip(shape, sides, strict=True)]
    return [(short // 2, short - short // 2) for short in missing]


def _smallest(image: np.ndarray) -> np.ndarray:
    """Minimum of each channel of ``(C, D, H, W)``."""
    return np.asarray(image.min(axis=(1, 2, 3)), dtype=np.float32)


def _padded(image: np.ndarray, rows: tuple[int, int], in_plane: Sequence[tuple[int, int]], fill: np.ndarray) -> Tensor:
    """Slices ``rows`` of ``(C, D, H, W)``, which may lie beyond its ends, with the padding in the plane; float32."""
    shape = [size + before + after for size, (before, after) in zip(image.shape[2:], in_plane, strict=True)]
    padded = np.empty((len(image), rows[1] - rows[0], *shape), dtype=np.float32)
    padded[...] = fill[:, None, None, None]
    first, last = max(rows[0], 0), min(rows[1], image.shape[1])
    inside = [slice(before, before + size) for size, (before, _) in zip(image.shape[2:], in_plane, strict=True)]
    padded[(slice(None), slice(first - rows[0], last - rows[0]), *inside)] = image[:, first:last]
    return torch.from_numpy(padded)


def _moved(rows: Tensor, step: int) -> Tensor:
    """``(n, D, ...)`` without its first ``step`` rows, and as many empty ones behind."""
    moved = torch.zeros_like(rows)
    moved[:, : rows.shape[1] - step] = rows[:, step:]
    return moved
