"""One segmentation of a volume: heads slice by slice, then consistency through slices, then the volume's voxels."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import torch
from torch import Tensor

from momentumseg.networks.few_shot import FewShotNetwork, Iterate
from momentumseg.sessions.feature_encoder import FeatureEncoder, IsCancelled, Progress, feature_batch, raise_if
from momentumseg.sessions.few_shot_result import Box, FewShotResult, NetworkSegmentation, StoredIterate
from momentumseg.sessions.support_summaries import SupportSummaries
from momentumseg.sessions.supports import Support
from momentumseg.sessions.volume_slices import VolumeSlices
from momentumseg.volumes.volume import Volume

OnSlice = Callable[[int, dict[int, np.ndarray]], None]
# (logits (L, n, h, w), drawn {(label position, s): (size, size)}, image of s, check that raises to cancel)
# -> (L, n, size, size)
Refinement = Callable[
    [Tensor, dict[tuple[int, int], np.ndarray], Callable[[int], np.ndarray], Callable[[], None]], Tensor
]

# Probabilities nearer to 0 or 1 than half precision can tell after the sigmoid.
_LARGEST_LOGIT = 30.0


@dataclass(frozen=True)
class FewShotRequest:
    """Everything a segmentation depends on, taken at the moment of the request.

    Attributes:
        volume: to segment.
        labels: ascending.
        slices: network slices, consecutive.
        assigned: label -> network slice -> supports.
        drawn: the supports on this volume, in the order in which they were drawn.
        box: see :class:`NetworkSegmentation`.
        keep_drawn: drawn slices stay as they were drawn.
        refinement: consistency through slices, or None.
        keep_iterates: store the stages.
        drawn_on: (volume id, plane) of a support -> the volume.
    """

    volume: VolumeSlices
    labels: tuple[int, ...]
    slices: range
    assigned: Mapping[int, Mapping[int, tuple[Support, ...]]]
    drawn: Sequence[Support]
    box: Box | None
    keep_drawn: bool
    refinement: Refinement | None
    keep_iterates: bool
    drawn_on: Mapping[tuple[str, str], VolumeSlices]

    def nearest_first(self) -> list[int]:
        """Query slices ordered by their distance to the nearest drawn slice (or to the middle)."""
        middle = self.slices[len(self.slices) // 2]
        origins = {support.network_slice for support in self.drawn} or {middle}
        return sorted(self.slices, key=lambda s: (min(abs(s - origin) for origin in origins), s))

    def kept_masks(self) -> dict[int, dict[int, np.ndarray]]:
        """Network slice -> label position -> mask in the volume's slice layout."""
        kept: dict[int, dict[int, np.ndarray]] = {}
        for support in self.drawn if self.keep_drawn else ():
            kept.setdefault(support.network_slice, {})[self.labels.index(support.label)] = support.mask
        return kept

    def batches(self, batch_size: int) -> list[list[int]]:
        """Query slices that share their supports, at most ``batch_size`` at a time, nearest first."""
        groups: dict[tuple[tuple[int, ...], ...], list[int]] = {}
        for s in self.nearest_first():
            key = tuple(tuple(support.id for support in self.assigned[label][s]) for label in self.labels)
            groups.setdefault(key, []).append(s)
        batches = [
            group[start : start + batch_size] for group in groups.values() for start in range(0, len(group), batch_size)
        ]
        rank = {s: index for index, s in enumerate(self.nearest_first())}
        return sorted(batches, key=lambda batch: rank[batch[0]])


@dataclass
class FewShotRun:
    """Computes a request. Every slice's numbers are the same alone, in a batch, streamed or not."""

    request: FewShotRequest
    network: FewShotNetwork
    encoder: FeatureEncoder
    summaries: SupportSummaries
    device: torch.device
    on_slice: OnSlice | None = None
    progress: Progress | None = None
    cancelled: IsCancelled | None = None
    _iterates: dict[int, dict[int, list[StoredIterate]]] = field(default_factory=dict, init=False)

    def result(self) -> FewShotResult:
        """Segment. Raises `Cancelled`, and `EmptySupportError` from the head."""
        start = time.perf_counter()
        request, space = self.request, self.request.volume.space
        labelmap = np.zeros(space.shape, dtype=np.uint8 if request.labels[-1] <= 255 else np.uint16)
        segmentation = self._segmented(labelmap)
        if request.refinement is not None:
            segmentation = self._segmentation(self._refined(segmentation.logits, request.refinement))
            self._deliver(segmentation, request.nearest_first(), labelmap)
        uncertainty = {space.volume_index(s): segmentation.mean_uncertainty(s) for s in request.slices}
        return FewShotResult(
            labelmap=Volume(labelmap, request.volume.volume.ijk_to_ras, request.volume.volume.name),
            mean_uncertainty=uncertainty,
            iterates=self._iterates if request.keep_iterates else None,
            seconds=time.perf_counter() - start,
            segmentation=segmentation,
        )

    def _segmented(self, labelmap: np.ndarray) -> NetworkSegmentation:
        """Run the heads on all slices; without a consistency step their labels are final and written at once."""
        request = self.request
        logits = torch.zeros((len(request.labels), len(request.slices), *self._feature_size()), dtype=torch.float16)
        segmentation = self._segmentation(logits)
        batches = request.batches(self.encoder.batch_size)
        for done, batch in enumerate(batches, start=1):
            raise_if(self.cancelled)
            logits[:, [s - request.slices.start for s in batch]] = self._batch_logits(batch)
            if request.refinement is None or self.on_slice is not None:
                self._deliver(segmentation, batch, labelmap)
            if self.progress is not None:
                self.progress(done, len(batches))
        return segmentation

    def _feature_size(self) -> tuple[int, int]:
        stride = cast(int, self.network.backbone.stride)  # torch types every attribute of a module as a tensor
        size = self.request.volume.space.size // stride
        return size, size

    def _segmentation(self, logits: Tensor) -> NetworkSegmentation:
        request = self.request
        return NetworkSegmentation(
            request.volume.space, request.labels, logits, request.slices.start, request.kept_masks(), request.box
        )

    def _batch_logits(self, batch: Sequence[int]) -> Tensor:
        """Half precision logits ``(L, len(batch), h, w)``; the batch is filled up to its fixed size."""
        found = self.encoder.features(self.request.volume, batch)
        filled = [*found, *[found[-1]] * (self.encoder.batch_size - len(found))]
        features = feature_batch(filled, self.device)
        logits = []
        for label in self.request.labels:
            supports = self.request.assigned[label][batch[0]]
            volumes = [self.request.drawn_on[support.volume_id, support.plane] for support in supports]
            summary = self.summaries.of(supports, volumes)
            with torch.inference_mode():
                output = self.network(features, summary)
                logits.append(output.logit[: len(batch)].float().clamp(-_LARGEST_LOGIT, _LARGEST_LOGIT).half().cpu())
                if self.request.keep_iterates:
                    self._store_iterates(label, batch, output.iterates)
        return torch.stack(logits)

    def _store_iterates(self, label: int, batch: Sequence[int], stages: Sequence[Iterate]) -> None:
        stored = self._iterates.setdefault(label, {})
        for index, s in enumerate(batch):
            stored[self.request.volume.space.volume_index(s)] = [
                StoredIterate(
                    foreground=(stage.u[index, 0].float() * 255).round().byte().cpu().numpy(),
                    noise=stage.v[index, 0].half().cpu().numpy(),
                )
                for stage in stages
            ]

    def _deliver(self, segmentation: NetworkSegmentation, slices: Sequence[int], labelmap: np.ndarray) -> None:
        """Write the labels of network slices and hand their probabilities over."""
        for s in slices:
            raise_if(self.cancelled)
            probabilities = segmentation.probabilities(s)
            segmentation.write_labels(labelmap, s, probabilities)
            if self.on_slice is not None:
                by_label = dict(zip(self.request.labels, probabilities, strict=True))
                self.on_slice(self.request.volume.space.volume_index(s), by_label)

    def _refined(self, logits: Tensor, refinement: Refinement) -> Tensor:
        """Half precision logits ``(L, n, size, size)`` after the consistency step."""
        request = self.request
        first = request.slices.start
        drawn = {
            (request.labels.index(support.label), support.network_slice - first): support.network_mask
            for support in request.drawn
            if support.label in request.labels
        }
        raise_if(self.cancelled)
        refined = refinement(
            logits, drawn, lambda s: request.volume.image(first + s), lambda: raise_if(self.cancelled)
        )
        raise_if(self.cancelled)
        return refined.clamp_(-_LARGEST_LOGIT, _LARGEST_LOGIT).half()
