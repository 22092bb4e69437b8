"""Encoder features of whole volumes, computed once a model, for protocols that then only run heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from momentumseg.evaluation.case_reading import read_case
from momentumseg.evaluation.datasets import Case
from momentumseg.geometry.network_space import NetworkSpace
from momentumseg.networks.few_shot import FewShotOutput, SupportSummary, upsample_probability
from momentumseg.transforms.intensity import IntensityNormalization
from momentumseg.transforms.slices import slices_to_images

_BATCH = 8


class FewShotModel(Protocol):
    """What the protocols need of a network (:class:`momentumseg.networks.few_shot.FewShotNetwork`)."""

    def encode(self, images: Tensor) -> Tensor: ...

    def summarize(self, features: Tensor, masks: Tensor) -> SupportSummary: ...

    def __call__(self, features: Tensor, summary: SupportSummary) -> FewShotOutput: ...


@dataclass(frozen=True)
class EncodedCase:
    """A case in network space.

    Attributes:
        name: of the case.
        stack: normalised slices ``(S, size, size)`` float32.
        labelmap: reference labels ``(S, size, size)``, integers.
        features: ``(S, C, h, w)`` float16.
        spacing: (slice distance, pixel, pixel) in mm.
    """

    name: str
    stack: np.ndarray
    labelmap: np.ndarray
    features: Tensor
    spacing: tuple[float, float, float]

    def slices_with(self, label: int) -> np.ndarray:
        """Ascending indices of the slices that contain a label."""
        return np.flatnonzero((self.labelmap == label).any(axis=(1, 2)))


class FeatureBank:
    """Encodes cases and answers with heads only.

    Args:
        network: in evaluation mode.
        context: what the three channels of an image hold, see :func:`slices_to_images`.
        plane: slicing of the volumes, see :class:`NetworkSpace`.
        size: side of the network images, pixels.
        device: where the network is.
    """

    def __init__(
        self,
        network: FewShotModel,
        context: str = "single",
        plane: str = "acquisition",
        size: int = 256,
        device: torch.device | str = "cpu",
    ) -> None:
        self._network = network
        self._context = context
        self._plane = plane
        self._size = size
        self._device = torch.device(device)

    def encode(self, case: Case) -> EncodedCase:
        """Read, normalise and encode a labelled case.

        Raises:
            InputError: the volume or its labelmap cannot be used.
        """
        volume, labelmap = read_case(case)
        space = NetworkSpace.of(volume.shape, volume.ijk_to_ras, plane=self._plane, size=self._size)
        normalization = IntensityNormalization.fit(volume.array)
        stack = normalization.apply(space.forward_image(volume.array))
        return EncodedCase(
            name=case.name,
            stack=stack,
            labelmap=space.forward_mask(labelmap.array),
            features=self._features(stack),
            spacing=(space.slice_spacing, space.pixel_spacing, space.pixel_spacing),
        )

    @torch.inference_mode()
    def summarize(self, case: EncodedCase, label: int, slice_indices: Sequence[int]) -> SupportSummary:
        """Prototypes of a label drawn on slices of a case.

        Raises:
            EmptySupportError: the label is absent from a slice.
        """
        indices = list(slice_indices)
        masks = torch.from_numpy((case.labelmap[indices] == label).astype(np.uint8))
        return self._network.summarize(case.features[indices].float().to(self._device), masks.to(self._device))

    @torch.inference_mode()
    def probability(self, case: EncodedCase, slice_indices: Sequence[int], summary: SupportSummary) -> np.ndarray:
        """Foreground probability ``(n, size, size)`` float32 of n slices of a case."""
        indices = list(slice_indices)
        batches = [indices[start : start + _BATCH] for start in range(0, len(indices), _BATCH)]
        parts = [np.empty((0, self._size, self._size), np.float32)]
        for batch in batches:
            output = self._network(case.features[batch].float().to(self._device), summary)
            parts.append(upsample_probability(output.logit, self._size).float().cpu().numpy())
        return np.concatenate(parts)

    @torch.inference_mode()
    def _features(self, stack: np.ndarray) -> Tensor:
        parts = []
        for start in range(0, len(stack), _BATCH):
            indices = range(start, min(start + _BATCH, len(stack)))
            images = torch.from_numpy(slices_to_images(stack, indices, self._context)).to(self._device)
            parts.append(self._network.encode(images).to(torch.float16).cpu())
        return torch.cat(parts)
