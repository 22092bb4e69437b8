"""From prompts on one slice and its cached embedding to a mask: the cheap half of a prompted network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from momentumseg.errors import InputError
from momentumseg.networks.sam.sam import SamNetwork
from momentumseg.sessions.clicks_as_boxes import Answers, BoxSearch, Clicks
from momentumseg.sessions.feature_encoder import FeatureEncoder, feature_batch
from momentumseg.sessions.prompt_objects import (
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    Prompt,
    boxes_of,
    check_no_contradiction,
    points_of,
)
from momentumseg.transforms.prompt_preprocessing import PromptPreprocessing
from momentumseg.transforms.prompt_slices import PromptSlices
from momentumseg.weights.cards import ModelCard

# Logit of what is certainly outside, at least: a probability below 1/1000.
_OUTSIDE = -8.0
# Voxels around a mask that is to be refined, where its box goes.
_MASK_BOX_MARGIN = 2.0


class PromptModel(Protocol):
    """What a session needs of `weights.prompt_models.LoadedPromptModel`."""

    @property
    def network(self) -> SamNetwork: ...

    @property
    def preprocessing(self) -> PromptPreprocessing: ...

    @property
    def card(self) -> ModelCard: ...

    @property
    def sha256(self) -> str: ...

    @property
    def embedding_sha256(self) -> str: ...

    @property
    def capabilities(self) -> frozenset[str]: ...

    @property
    def experimental(self) -> frozenset[str]: ...


@dataclass(frozen=True)
class Candidate:
    """One mask that a network offers.

    Attributes:
        low_resolution: float32 ``(h, w)``, the network's logits; the mask prompt of the next click.
        predicted_iou: what the network expects its intersection over union with the truth to be.
    """

    low_resolution: np.ndarray = field(repr=False)
    predicted_iou: float


@dataclass(frozen=True)
class SlicePrediction:
    """Mask of one object on one slice, in the volume's own slice layout.

    Attributes:
        slice_index: of the volume.
        logits: float32 (rows, columns); the mask is where they are positive.
        chosen: what they were made from.
        alternatives: all candidates of an ambiguous single click, the best first; else only the chosen one.
    """

    slice_index: int
    logits: np.ndarray = field(repr=False)
    chosen: Candidate
    alternatives: tuple[Candidate, ...] = field(repr=False)

    @cached_property
    def mask(self) -> np.ndarray:
        """Boolean (rows, columns)."""
        return self.logits > 0.0

    @property
    def probability(self) -> np.ndarray:
        """Float32 (rows, columns), sigmoid of the logits."""
        return torch.sigmoid(torch.from_numpy(self.logits)).numpy()

    @property
    def predicted_iou(self) -> float:
        return self.chosen.predicted_iou

    @property
    def low_resolution(self) -> np.ndarray:
        """See :class:`Candidate`."""
        return self.chosen.low_resolution

    def inside(self, window: np.ndarray | None) -> SlicePrediction:
        """The same with nothing outside a window (rows, columns); as it is for None."""
        if window is None:
            return self
        floor = min(float(self.logits.min()), _OUTSIDE)
        return replace(self, logits=np.where(window, self.logits, np.float32(floor)))


class PromptDecoder:
    """Runs the prompt encoder and the mask decoder of a model on cached embeddings.

    Args:
        model: network, preprocessing and what it can take.
        encoder: gives the embeddings.
        device: of the network.
    """

    def __init__(self, model: PromptModel, encoder: FeatureEncoder, device: torch.device) -> None:
        self._model = model
        self._encoder = encoder
        self._device = device

    def can(self, capability: str) -> bool:
        """Whether the model takes "points", "negative points", "boxes", "mask" or makes "multimask"."""
        return capability in self._model.capabilities

    def was_trained_for(self, capability: str) -> bool:
        """Whether it also does well with that; what it only takes makes masks worse (measured, see Docs/prompts.md)."""
        return self.can(capability) and capability not in self._model.experimental

    def check(self, prompts: Sequence[Prompt], slices: PromptSlices, slice_index: int) -> None:
        """Refuse prompts that the model cannot take, that contradict each other, or that lie on an empty image.

        Raises:
            InputError: one of these.
        """
        check_no_contradiction(prompts, slice_index)
        points, boxes = points_of(prompts), boxes_of(prompts)
        if points and not self.can("points"):
            raise self._refusal("clicks or scribbles", "draw a box around the structure")
        if boxes and not self.can("boxes"):
            raise self._refusal("boxes", "click into the structure")
        if any(not point.positive for point in points) and not self.can("negative points"):
            raise self._refusal("clicks outside the structure", "remove them or draw a box")
        has_mask = any(isinstance(prompt, MaskPrompt) for prompt in prompts)
        if points and not boxes and not has_mask and not any(point.positive for point in points):
            raise InputError(
                f"On slice {slice_index} only what does not belong to the structure is marked: add a click inside it "
                "or a box around it."
            )
        if slices.is_blank(slice_index):
            raise InputError(
                f"Slice {slice_index} has the same value everywhere, so that nothing can be found on it: "
                "choose another slice."
            )

    def predict(
        self,
        slices: PromptSlices,
        slice_index: int,
        prompts: Sequence[Prompt],
        before: Candidate | None = None,
    ) -> SlicePrediction:
        """Mask of prompts that `check` has passed.

        Several boxes are parts of one object: each is segmented by itself, with the points in it and all points
        that mark what does not belong to it, and the parts are joined. A single click with nothing else is ambiguous
        (SAM, Kirillov et al. 2023, section 3): all candidates are returned, and the one with the best predicted IoU
        is chosen. Networks that were not trained on clicks are asked with boxes, see `clicks_as_boxes`.

        Args:
            before: the object so far; a mask prompt for models that were trained for that.
        """
        embedding = self._embedding(slices, slice_index)
        boxes, points, before = self._unfolded(slices, prompts, before)
        if len(boxes) > 1:
            parts = [
                self._candidates(slices, embedding, _points_in(points, box, boxes), box, None, False)[0]
                for box in boxes
            ]
            candidates = [_joined(parts)]
        else:
            ambiguous = len(points) == 1 and not boxes and before is None and self.can("multimask")
            box = boxes[0] if boxes else None
            candidates = self._candidates(slices, embedding, points, box, before, ambiguous)
            candidates = candidates if ambiguous else candidates[:1]
        wanted = (points[0].choice or 0) if len(candidates) > 1 else 0
        chosen = candidates[min(wanted, len(candidates) - 1)]
        return SlicePrediction(slice_index, slices.to_slice(chosen.low_resolution), chosen, tuple(candidates))

    def _embedding(self, slices: PromptSlices, slice_index: int) -> Tensor:
        return feature_batch(self._encoder.features(slices, [slice_index]), self._device).float()

    def _unfolded(
        self, slices: PromptSlices, prompts: Sequence[Prompt], before: Candidate | None
    ) -> tuple[list[BoxPrompt], list[PointPrompt], Candidate | None]:
        """(boxes, points, the object so far); a mask to refine gives a box, and is the object so far."""
        boxes, points = boxes_of(prompts), points_of(prompts)
        masks = [prompt.mask for prompt in prompts if isinstance(prompt, MaskPrompt)]
        if masks:
            if not boxes:
                boxes = [BoxPrompt.around(masks[-1], _MASK_BOX_MARGIN).clipped(slices.slice_shape)]
            before = before or Candidate(slices.to_logits(masks[-1]), 1.0)
        return boxes, points, before

    def _candidates(
        self,
        slices: PromptSlices,
        embedding: Tensor,
        points: Sequence[PointPrompt],
        box: BoxPrompt | None,
        before: Candidate | None,
        multimask: bool,
    ) -> list[Candidate]:
        """Candidates of one set of prompts, the best first."""
        box_pixels = None if box is None else _box_pixels(slices, box)
        if not points or self.was_trained_for("points"):
            clicks = _clicks(slices, points) if points else None
            mask = before.low_resolution if before is not None and self.was_trained_for("mask") else None
            logits, scores = self._ask(embedding, box_pixels, clicks, mask, multimask)
            order = np.argsort(-scores, kind="stable")
            return [Candidate(logits[index].copy(), float(scores[index])) for index in order]
        search = BoxSearch(
            lambda several: self._ask(embedding, several),
            lambda one, clicks: self._ask(embedding, one, clicks),
            self._model.network.image_size,
        )
        known = None if before is None else (before.low_resolution, before.predicted_iou)
        found = search.answers(_clicks(slices, points), box_pixels, known)
        return [Candidate(logits, score) for logits, score in found]

    def _ask(
        self,
        embedding: Tensor,
        boxes: np.ndarray | None,
        clicks: Clicks | None = None,
        mask_logits: np.ndarray | None = None,
        multimask: bool = False,
    ) -> Answers:
        """All masks of one question, or the masks of N boxes ``(N, 4)``."""
        arguments: dict[str, Tensor | None] = dict.fromkeys(("points", "labels", "boxes", "masks"))
        if boxes is not None:
            arguments["boxes"] = self._tensor(boxes.reshape(-1, 4))
        if clicks is not None:
            arguments["points"] = self._tensor(clicks.points)[None]
            arguments["labels"] = torch.from_numpy(clicks.inside.astype(np.int64))[None].to(self._device)
        if mask_logits is not None:
            arguments["masks"] = self._tensor(mask_logits)[None, None]
        with torch.inference_mode():
            output = self._model.network.decode(embedding, **arguments, multimask=multimask)
        logits = output.logits.float().cpu().numpy()
        scores = output.iou.float().cpu().numpy().clip(0.0, 1.0)
        return logits.reshape(-1, *logits.shape[-2:]), scores.reshape(-1)

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(self._device)

    def _refusal(self, what: str, instead: str) -> InputError:
        return InputError(
            f"The model {self._model.card.name} does not take {what}: {instead}, or choose another model."
        )


def embedding_identity(model: PromptModel) -> str:
    """What an embedding depends on besides the volume: the encoder's weights and the preprocessing."""
    return f"{model.embedding_sha256}:{model.preprocessing.identity}"


def _clicks(slices: PromptSlices, points: Sequence[PointPrompt]) -> Clicks:
    """Points in network pixels."""
    places = slices.to_network(np.array([(point.x, point.y) for point in points]))
    return Clicks(np.asarray(places, dtype=np.float64), np.array([point.positive for point in points]))


def _box_pixels(slices: PromptSlices, box: BoxPrompt) -> np.ndarray:
    return slices.box_to_network(np.array([(box.x0, box.y0), (box.x1, box.y1)]))


def _points_in(points: Sequence[PointPrompt], box: BoxPrompt, boxes: Sequence[BoxPrompt]) -> list[PointPrompt]:
    """Points that belong to one of several boxes: those inside it, and all that mark what does not belong."""
    return [
        point
        for point in points
        if not point.positive or box.contains(point) or not any(other.contains(point) for other in boxes)
    ]


def _joined(parts: Sequence[Candidate]) -> Candidate:
    """The union of parts; it is no surer than its least sure part."""
    logits = np.maximum.reduce([part.low_resolution for part in parts])
    return Candidate(logits, min(part.predicted_iou for part in parts))
