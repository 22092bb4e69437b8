"""Encoder features of whole volumes, computed once a model, for protocols that then only run heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from momentumseg.evaluation.case_reading import read_case
from momentumseg.io.datasets import Case
from momentumseg.networks.few_shot import FewShotNetwork, SupportSummary
from momentumseg.sessions.volume_slices import VolumeSlices
from momentumseg.transforms.slices import SliceContext

_BATCH = 8


@dataclass(frozen=True)
class EncodedCase:
    """A case in network space.

    Attributes:
        name: of the case.
        slices: its volume, normalised as in a session.
        labelmap: reference labels ``(S, size, size)``, integers.
        features: ``(S, C, h, w)`` float16.
    """

    name: str
    slices: VolumeSlices
    labelmap: np.ndarray
    features: Tensor

    @property
    def spacing(self) -> tuple[float, float, float]:
        """(slice distance, pixel, pixel) in mm."""
        return self.slices.space.slice_spacing, self.slices.space.pixel_spacing, self.slices.space.pixel_spacing

    def slices_with(self, label: int) -> np.ndarray:
        """Ascending indices of the slices that contain a label."""
        return np.flatnonzero((self.labelmap == label).any(axis=(1, 2)))


class FeatureBank:
    """Encodes cases and answers with heads only.

    Args:
        network: in evaluation mode, on ``device``.
        context: what the three channels of an image hold, see :func:`slices_to_images`.
        plane: slicing of the volumes, see :class:`NetworkSpace`.
        size: side of the network images, pixels.
        device: where the network is.
    """

    def __init__(
        self,
        network: FewShotNetwork,
        context: SliceContext = "single",
        plane: str = "acquisition",
        size: int = 256,
        device: torch.device | str = "cpu",
    ) -> None:
        self._network = network
        self._context: SliceContext = context
        self._plane = plane
        self._size = size
        self._device = torch.device(device)

    def encode(self, case: Case) -> EncodedCase:
        """Read, normalise and encode a labelled case.

        Raises:
            InputError: the volume or its labelmap cannot be used.
        """
        volume, labelmap = read_case(case)
        slices = VolumeSlices(volume, self._plane, self._size, self._context, case.name)
        return EncodedCase(case.name, slices, slices.space.forward_mask(labelmap.array), self._features(slices))

    @torch.inference_mode()
    def summarize(self, case: EncodedCase, label: int, slice_indices: Sequence[int] | np.ndarray) -> SupportSummary:
        """Prototypes of a label drawn on slices of a case.

        Raises:
            EmptySupportError: the label is absent from a slice.
        """
        indices = [int(index) for index in slice_indices]
        masks = torch.from_numpy((case.labelmap[indices] == label).astype(np.uint8))
        return self._network.summarize(case.features[indices].to(self._device).float(), masks.to(self._device))

    @torch.inference_mode()
    def logits(self, case: EncodedCase, slice_indices: Sequence[int] | np.ndarray, summary: SupportSummary) -> Tensor:
        """Foreground logits ``(n, h, w)`` float32, on the CPU, of n slices of a case."""
        indices = [int(index) for index in slice_indices]
        parts = [torch.empty((0, *case.features.shape[-2:]))]
        for start in range(0, len(indices), _BATCH):
            features = case.features[indices[start : start + _BATCH]].to(self._device).float()
            # channels last in memory: heads are faster
            output = self._network(features.contiguous(memory_format=torch.channels_last), summary)
            parts.append(output.logit.float().cpu())
        return torch.cat(parts)

    @torch.inference_mode()
    def _features(self, slices: VolumeSlices) -> Tensor:
        parts = []
        count = slices.space.slice_count
        for start in range(0, count, _BATCH):
            images = np.stack([slices.channels(s) for s in range(start, min(start + _BATCH, count))])
            features = self._network.encode(torch.from_numpy(images).to(self._device))
            parts.append(features.to(torch.float16).cpu())
        return torch.cat(parts)
