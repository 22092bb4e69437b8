"""Prototypes of drawn slices, computed once for each set of masks."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch

from momentumseg.networks.few_shot import FewShotNetwork, SupportSummary
from momentumseg.sessions.feature_encoder import FeatureEncoder, feature_batch
from momentumseg.sessions.supports import Support
from momentumseg.sessions.volume_slices import VolumeSlices

_KEPT = 256


class SupportSummaries:
    """Remembers the last summaries; a support that is drawn again gets a new revision and so a new summary."""

    def __init__(self, network: FewShotNetwork, encoder: FeatureEncoder, device: torch.device) -> None:
        self._network = network
        self._encoder = encoder
        self._device = device
        self._summaries: OrderedDict[tuple[tuple[int, int], ...], SupportSummary] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, supports: Sequence[Support], volumes: Sequence[VolumeSlices]) -> SupportSummary:
        """Summary of the supports of one label; ``volumes`` are those that they were drawn on.

        Raises:
            EmptySupportError: a mask has no foreground.
        """
        key = tuple((support.id, support.revision) for support in supports)
        with self._lock:
            if key in self._summaries:
                self._summaries.move_to_end(key)
                return self._summaries[key]
        summary = self._compute(supports, volumes)
        with self._lock:
            self._summaries[key] = summary
            while len(self._summaries) > _KEPT:
                self._summaries.popitem(last=False)
        return summary

    def _compute(self, supports: Sequence[Support], volumes: Sequence[VolumeSlices]) -> SupportSummary:
        features = [
            self._encoder.features(volume, [support.network_slice])[0]
            for volume, support in zip(volumes, supports, strict=True)
        ]
        masks = torch.from_numpy(np.stack([support.network_mask for support in supports])).to(self._device)
        with torch.inference_mode():
            return self._network.summarize(feature_batch(features, self._device), masks)
