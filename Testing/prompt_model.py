"""A model for prompts that needs no training: it finds what is as bright as what was pointed at.

Its embedding is the image itself, so that every mask can be told in advance: inside a box, or around clicks, whatever
differs by less than a tolerance from the brightness there. It says how sure it is by whether it found anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from momentumseg.networks.sam.sam import MaskPrediction
from momentumseg.transforms.prompt_preprocessing import PromptPreprocessing
from momentumseg.weights.cards import ModelCard

SIZE = 64
CELL = 4
TOLERANCES = (0.2, 0.4, 0.05)  # of the one mask, and of the two further ones that an ambiguous click is offered
STEEPNESS = 60.0
EVERYTHING = frozenset({"points", "negative points", "boxes", "mask", "multimask"})


class BrightnessNetwork(torch.nn.Module):
    """Has the interface of `SamNetwork`; remembers what it was asked."""

    image_size = SIZE
    embedding_size = SIZE // CELL
    mask_size = SIZE

    def __init__(self) -> None:
        super().__init__()
        self.encoded = 0
        self.questions: list[dict[str, Tensor | None]] = []

    def encode(self, images: Tensor) -> Tensor:
        self.encoded += len(images)
        return functional.pixel_unshuffle(images[:, :1], CELL)

    def decode(self, embedding: Tensor, *, points=None, labels=None, boxes=None, masks=None, multimask=False):
        if boxes is not None and len(boxes) > 1:
            return self._several(embedding, boxes)
        self.questions.append({"points": points, "labels": labels, "boxes": boxes, "masks": masks})
        image = functional.pixel_shuffle(embedding, CELL)[0, 0]
        reference = self._brightness(image, points, labels, boxes, masks)
        difference = (image - reference).abs()
        logits, scores = [], []
        for tolerance in TOLERANCES if multimask else TOLERANCES[:1]:
            mask = (tolerance - difference) * STEEPNESS
            mask = self._without(mask, image, points, labels, boxes)
            logits.append(mask)
            scores.append(0.95 - tolerance if bool((mask > 0).any()) else 0.0)
        return MaskPrediction(torch.stack(logits)[None], torch.tensor(scores)[None])

    def _several(self, embedding: Tensor, boxes: Tensor) -> MaskPrediction:
        answers = [self.decode(embedding, boxes=box[None]) for box in boxes]
        return MaskPrediction(torch.cat([one.logits for one in answers]), torch.cat([one.iou for one in answers]))

    @staticmethod
    def _brightness(image, points, labels, boxes, masks) -> Tensor:
        """Median in the middle of the box, or mean at the positive points, or in the mask."""
        if points is not None and bool((labels == 1).any()):
            x, y = points[labels == 1].round().long().clamp(0, SIZE - 1).T
            return image[y, x].mean()
        if boxes is not None:
            x0, y0, x1, y1 = boxes[0].tolist()
            rows, columns = _middle(y0, y1), _middle(x0, x1)
            return image[rows, columns].median()
        return image[masks[0, 0] > 0].mean()

    @staticmethod
    def _without(mask, image, points, labels, boxes) -> Tensor:
        mask = mask.clone()
        if boxes is not None:
            x0, y0, x1, y1 = boxes[0].tolist()
            y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
            mask[(x < x0 - 0.5) | (x > x1 + 0.5) | (y < y0 - 0.5) | (y > y1 + 0.5)] = -20.0
        for px, py in points[labels == 0].round().long().clamp(0, SIZE - 1).tolist() if points is not None else ():
            mask[(image - image[py, px]).abs() < TOLERANCES[0]] = -20.0
        return mask


def _middle(low: float, high: float) -> slice:
    centre, half = (low + high) / 2, max((high - low) / 8, 1.0)
    return slice(max(int(centre - half), 0), min(int(centre + half) + 1, SIZE))


@dataclass
class PromptModel:
    """What a session needs of a loaded model for prompts."""

    network: BrightnessNetwork = field(default_factory=BrightnessNetwork)
    preprocessing: PromptPreprocessing = field(
        default_factory=lambda: PromptPreprocessing.of("lite-medsam", SIZE, SIZE)
    )
    card: ModelCard = field(default_factory=lambda: ModelCard("brightness", licence="none"))
    sha256: str = "0" * 64
    embedding_sha256: str = "0" * 64
    capabilities: frozenset[str] = EVERYTHING
    experimental: frozenset[str] = frozenset()
    notice: str = ""
