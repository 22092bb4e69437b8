"""What a few-shot session returns: a labelmap at once, and probabilities and uncertainty when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from momentumseg.errors import InputError
from momentumseg.geometry.network_space import NetworkSpace
from momentumseg.sessions.label_distribution import (
    label_probabilities,
    mean_uncertainty,
    most_probable,
    normalized_entropy,
    uncertain_pixels,
    upsample_logits,
)
from momentumseg.volumes.volume import Volume

# Pixels a side from which a slice's mean uncertainty is taken: enough for a mean.
_UNCERTAINTY_GRID = 64

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class StoredIterate:
    """One stage of the network on one slice, compact.

    Attributes:
        foreground: u_1 in 0 .. 255, ``(h, w)`` in network orientation.
        noise: v_1, float16 ``(h, w)``.
    """

    foreground: np.ndarray
    noise: np.ndarray

    @property
    def probability(self) -> np.ndarray:
        """u_1, float32 ``(h, w)``."""
        return self.foreground.astype(np.float32) / 255.0

    @property
    def entropy(self) -> np.ndarray:
        """E(u) over its maximum ln 2, float32 ``(h, w)`` in [0, 1] (LMS-Net, Fig. 7)."""
        return normalized_entropy(self.probability[None])


class NetworkSegmentation:
    """Logits at network resolution and the way back to the volume's voxels, slice by slice.

    Args:
        space: of the segmented volume.
        labels: ascending.
        logits: float16 ``(L, n, h, w)`` of n slices in network order, ``h`` up to the network size.
        first: network slice of the first of them.
        drawn: network slice -> label position -> boolean mask in the volume's slice layout; kept as drawn.
        box: ``((i0, i1), (j0, j1), (k0, k1))`` half-open; zero outside.
    """

    def __init__(
        self,
        space: NetworkSpace,
        labels: tuple[int, ...],
        logits: torch.Tensor,
        first: int,
        drawn: Mapping[int, dict[int, np.ndarray]],
        box: Box | None,
    ) -> None:
        self.space = space
        self.labels = labels
        self.logits = logits
        self.first = first
        self._drawn = drawn
        self._outside = _outside_of(box, space)

    @property
    def slices(self) -> range:
        """The network slices that it covers."""
        return range(self.first, self.first + self.logits.shape[1])

    def probabilities(self, s: int) -> np.ndarray:
        """Float32 ``(L, rows, columns)`` of network slice ``s`` in the volume's slice layout.

        A label drawn on the slice is certain; the others compete without it for what it leaves. Where two drawn labels
        overlap, the one drawn later has the voxel.
        """
        drawn = self._drawn.get(s, {})
        voxels = np.zeros((len(self.labels), *self.space.slice_shape), dtype=np.float32)
        others = [position for position in range(len(self.labels)) if position not in drawn]
        if others:
            logits = upsample_logits(self.logits[others, s - self.first].float(), self.space.size)
            for position, pixels in zip(others, label_probabilities(logits).numpy(), strict=True):
                voxels[position] = self.space.inverse_probability_slice(pixels, s)[0]
        for position, mask in drawn.items():
            voxels[:, mask] = 0.0
            voxels[position, mask] = 1.0
        if self._outside is not None:
            voxels[:, self._outside] = 0.0
        return voxels

    def write_labels(self, labelmap: np.ndarray, s: int, probabilities: np.ndarray | None = None) -> None:
        """Put the labels of network slice ``s`` at their place in ``labelmap`` (K, J, I)."""
        chosen = most_probable(self.probabilities(s) if probabilities is None else probabilities)
        values = np.array([0, *self.labels], dtype=labelmap.dtype)
        self.space.volume_slice(labelmap, s)[...] = values[chosen]

    def mean_uncertainty(self, s: int) -> float:
        """Foreground-weighted mean uncertainty of network slice ``s``, at the resolution of the features."""
        return mean_uncertainty(self._coarse_probabilities(s)[0])

    def uncertain_area(self, s: int) -> np.ndarray:
        """For each label its open area in mm² on network slice ``s``, ``(L,)``, see `uncertain_pixels`."""
        probabilities, pixel = self._coarse_probabilities(s)
        return uncertain_pixels(probabilities) * pixel**2

    def _coarse_probabilities(self, s: int) -> tuple[np.ndarray, float]:
        """Probabilities ``(L, h, w)`` of network slice ``s``, at the resolution of the features, and mm of a pixel."""
        step = max(1, self.logits.shape[-1] // _UNCERTAINTY_GRID)
        coarse = label_probabilities(self.logits[:, s - self.first, ::step, ::step].float()).numpy()
        return coarse, self.space.pixel_spacing * self.space.size / coarse.shape[-1]


@dataclass(frozen=True)
class FewShotResult:
    """Segmentation of a volume.

    Attributes:
        labelmap: uint8 (uint16 when a label exceeds 255), geometry of the volume; 0 outside the computed part.
        mean_uncertainty: for each computed slice (the volume's own index) the uncertainty in and around the structure.
        iterates: label -> slice index -> stages, when asked for.
        seconds: that it took.
    """

    labelmap: Volume
    mean_uncertainty: dict[int, float]
    iterates: dict[int, dict[int, list[StoredIterate]]] | None
    seconds: float
    segmentation: NetworkSegmentation = field(repr=False)

    @cached_property
    def uncertain_area(self) -> dict[int, dict[int, float]]:
        """Label -> slice (the volume's own index) -> its open area in mm², see `uncertain_pixels`."""
        segmentation = self.segmentation
        areas = {segmentation.space.volume_index(s): segmentation.uncertain_area(s) for s in segmentation.slices}
        return {
            label: {index: float(of_labels[position]) for index, of_labels in areas.items()}
            for position, label in enumerate(segmentation.labels)
        }

    @property
    def slice_indices(self) -> list[int]:
        """The computed slices, in the volume's own indexing, ascending."""
        return sorted(self.mean_uncertainty)

    @cached_property
    def probabilities(self) -> Mapping[int, Volume]:
        """Label -> float16 volume of its probability. Computed when a label is looked up, and not kept."""
        return _LazyProbabilities(self)

    @cached_property
    def uncertainty(self) -> Volume:
        """Float32 volume in [0, 1]: entropy of the label distribution over its maximum; 0 outside the computed part."""
        return self.labelmap.like(self._volume_of(normalized_entropy, np.float32))

    def slice_probabilities(self, slice_index: int) -> dict[int, np.ndarray]:
        """Label -> float32 probability of one slice, in the volume's own indexing and layout."""
        voxels = self.segmentation.probabilities(self._computed(slice_index))
        return dict(zip(self.segmentation.labels, voxels, strict=True))

    def iterate_slices(self, label: int, slice_index: int) -> list[dict[str, np.ndarray]]:
        """Stages of one slice as float32 ``foreground``, ``noise`` and ``entropy`` in the volume's own slice layout.

        Raises:
            InputError: iterates were not kept, or not of this label and slice.
        """
        stages = (self.iterates or {}).get(label, {}).get(slice_index)
        if stages is None:
            raise InputError(
                f"The iterates of label {label} on slice {slice_index} were not kept: segment again and ask for them."
            )
        s = self._computed(slice_index)
        return [
            {
                "foreground": self._in_volume(stage.probability, s),
                "noise": self._in_volume(stage.noise.astype(np.float32), s),
                "entropy": self._in_volume(stage.entropy, s),
            }
            for stage in stages
        ]

    def _in_volume(self, pixels: np.ndarray, s: int) -> np.ndarray:
        space = self.segmentation.space
        image = upsample_logits(torch.from_numpy(pixels)[None], space.size)[0]
        return space.inverse_probability_slice(image.numpy(), s)[0]

    def _computed(self, slice_index: int) -> int:
        if slice_index not in self.mean_uncertainty:
            raise InputError(f"Slice {slice_index} was not segmented: ask for a slice range that contains it.")
        return self.segmentation.space.network_index(slice_index)

    def _volume_of(self, of_slice: Callable[[np.ndarray], np.ndarray], dtype: type) -> np.ndarray:
        space = self.segmentation.space
        voxels: np.ndarray = np.zeros(space.shape, dtype=dtype)
        for s in self.segmentation.slices:
            space.volume_slice(voxels, s)[...] = of_slice(self.segmentation.probabilities(s))
        return voxels


class _LazyProbabilities(Mapping[int, Volume]):
    """Probability volumes are large; each is made when it is looked up."""

    def __init__(self, result: FewShotResult) -> None:
        self._result = result

    def __getitem__(self, label: int) -> Volume:
        position = self._result.segmentation.labels.index(label) if label in self else None
        if position is None:
            raise KeyError(label)
        return self._result.labelmap.like(self._result._volume_of(lambda slices: slices[position], np.float16))

    def __contains__(self, label: object) -> bool:
        return label in self._result.segmentation.labels

    def __iter__(self) -> Iterator[int]:
        return iter(self._result.segmentation.labels)

    def __len__(self) -> int:
        return len(self._result.segmentation.labels)


def _outside_of(box: Box | None, space: NetworkSpace) -> np.ndarray | None:
    """Boolean mask of a slice's voxels outside the box, in the volume's slice layout."""
    if box is None:
        return None
    first, second = (box[2 - axis] for axis in range(3) if axis != space.slice_axis)
    outside = np.ones(space.slice_shape, dtype=bool)
    outside[first[0] : first[1], second[0] : second[1]] = False
    return outside
