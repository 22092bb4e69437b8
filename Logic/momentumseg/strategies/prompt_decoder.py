"""Decoder-only fine-tuning of a network of the SAM family, with boxes that are drawn less than exactly."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from torch import Tensor, nn

from momentumseg.errors import InputError
from momentumseg.networks.sam.box_decoder import BoxDecoder
from momentumseg.objectives.prompt_mask import PromptMaskObjective
from momentumseg.strategies.base import Strategy
from momentumseg.strategies.prompted_slices import PromptedSlices, PromptedStructure, grown_box
from momentumseg.strategies.registry import register_strategy


@register_strategy("prompt_decoder")
class PromptDecoder(Strategy):
    """Train the mask decoder on cached embeddings; image encoder and prompt encoder stay as they are.

    A sample is one structure on one slice, with the box around it, each side of which lies ``margin`` pixels further
    out, give or take up to ``jitter`` pixels (no further inward than a quarter of the box). Every structure comes once
    before any comes again. The image is never augmented, because its embedding is computed once.

    Args:
        network: the decoder to train.
        objective: of logits, predicted overlaps and targets.
        sampler: structures and embeddings.
        margin, jitter: in pixels of the network's logits, of which SAM has 256 along a side.
        smallest_area: voxels; structures with less on a slice are left out.

    Attributes:
        structures: that samples are drawn from.

    Raises:
        InputError: a number that cannot be used, or no structure that is large enough.

    Source: Nguyen et al., "LVM-Med", NeurIPS 2023, prompt setting (margin 0, jitter 20).
    """

    def __init__(
        self,
        network: BoxDecoder,
        objective: PromptMaskObjective,
        sampler: PromptedSlices,
        *,
        margin: float = 0.0,
        jitter: float = 20.0,
        smallest_area: int = 20,
    ) -> None:
        super().__init__()
        for name, value in {"margin": margin, "jitter": jitter, "smallest_area": smallest_area}.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise InputError(f"The recipe's strategy.{name} is {value!r}; use a number of 0 or more.")
        self.network: nn.Module = network
        self.objective = objective
        self.structures = [found for found in sampler.structures if found.area >= smallest_area]
        if not self.structures:
            raise InputError(
                f"No structure has {smallest_area} voxels on a slice; lower strategy.smallest_area in the recipe."
            )
        self.smallest_area = int(smallest_area)
        self._slices = sampler
        self.margin = float(margin)
        self._jitter = float(jitter)
        self._order = lru_cache(maxsize=4)(self._order_of)  # of the last passes; samples are made ahead of time

    def sample(self, index: int) -> tuple[np.ndarray, ...]:
        """Embedding float16 ``(C, h, h)``, box float32 ``(4,)`` in network pixels, target float32 ``(1, 4h, 4h)``."""
        structure = self.structure(index)
        return self._slices.embedding(structure), self.jittered_box(index), self._slices.target(structure)

    def structure(self, index: int) -> PromptedStructure:
        """The structure of sample ``index``."""
        repeat, place = divmod(index, len(self.structures))
        return self.structures[self._order(repeat)[place]]

    def jittered_box(self, index: int) -> np.ndarray:
        """The box of sample ``index``, float32 ``(4,)`` as (x, y, x, y) in network pixels."""
        structure = self.structure(index)
        transform = self._slices.transform(structure)
        random = np.random.default_rng([self._slices.seed, 1, index])
        outward = (self.margin + random.uniform(-self._jitter, self._jitter, 4)) * transform.logit_pixel
        return grown_box(self._slices.box(structure), outward, transform.image_size).astype(np.float32)

    def forward(self, *batch: Tensor) -> dict[str, Tensor]:
        """Losses of embeddings ``(B, C, h, h)``, boxes ``(B, 4)`` and targets ``(B, 1, 4h, 4h)``."""
        embeddings, boxes, targets = batch
        answer = self.network(embeddings.float(), boxes)
        losses: dict[str, Tensor] = self.objective(answer.logits, answer.iou, targets)
        return losses

    def _order_of(self, repeat: int) -> np.ndarray:
        return np.random.default_rng([self._slices.seed, 0, repeat]).permutation(len(self.structures))
