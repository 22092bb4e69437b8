"""The parts common to all few-shot networks: a shared encoder, and a head that compares with prototypes.

A head never sees the supports' images again after :meth:`FewShotNetwork.summarize`; its cost for a query slice
therefore does not depend on how many slices were drawn.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from momentumseg.errors import InputError
from momentumseg.networks.blocks.precision import full_precision
from momentumseg.networks.blocks.prototypes import masked_average, regional_prototypes


@dataclass(frozen=True)
class SupportSummary:
    """What a head keeps of the supports of one label.

    Attributes:
        prototype: mean foreground feature over the supports, ``(C,)`` (l_1^0 of LMS-Net).
        regional: features of Voronoi regions of the support masks, ``(N, C)`` (p^0 of LMS-Net), in any order.
    """

    prototype: Tensor
    regional: Tensor


@dataclass(frozen=True)
class Iterate:
    """One stage of an unfolded network.

    Attributes:
        u: soft partition ``(B, 2, h, w)``, channel 0 the foreground u_1 and channel 1 the background u_2; sums to one.
        v: noise that the mask denoiser removed, ``(B, 2, h, w)``; zero where a method has no denoiser.
    """

    u: Tensor
    v: Tensor

    @classmethod
    def of(cls, logit: Tensor, v: Tensor | None = None) -> Iterate:
        """Stage with the logit ``(B, h, w)`` of u_1; without ``v`` nothing was removed."""
        u = torch.sigmoid(torch.stack([logit, -logit], dim=1))
        return cls(u, torch.zeros_like(u) if v is None else v)

    @property
    def entropy(self) -> Tensor:
        """E(u) = -sum_i u_i ln u_i in nats, ``(B, h, w)`` (LMS-Net, Fig. 7)."""
        return -(torch.xlogy(self.u, self.u)).sum(dim=1)


@dataclass(frozen=True)
class FewShotOutput:
    """Result of a head for a batch of query slices.

    Attributes:
        logit: logit of the foreground probability, ``(B, h, w)``.
        iterates: the stages, first to last.
    """

    logit: Tensor
    iterates: list[Iterate] = field(default_factory=list)


class FewShotHead(nn.Module, ABC):
    """What turns prototypes and query features into a mask; registered with ``register_head``.

    Args:
        regions: regional prototypes to keep, over all supports together; every support has at least one.

    Raises:
        InputError: fewer than one region.
    """

    def __init__(self, regions: int = 1) -> None:
        super().__init__()
        if regions < 1:
            raise InputError(f"The few-shot head has regions = {regions}; use at least 1.")
        self.regions = regions

    def summarize(self, features: Tensor, masks: Tensor, generator: torch.Generator | None = None) -> SupportSummary:
        """Prototypes of n supports: l is their mean, the regions are shared out among them and concatenated.

        Arguments and errors as in :meth:`FewShotNetwork.summarize`.
        """
        masks = (masks > 0).to(features.dtype)
        share = max(1, self.regions // len(features))
        regional = [
            regional_prototypes(feature, mask, share, generator) for feature, mask in zip(features, masks, strict=True)
        ]
        return SupportSummary(masked_average(features, masks).mean(dim=0), torch.cat(regional))

    @abstractmethod
    def forward(self, features: Tensor, summary: SupportSummary) -> FewShotOutput:
        """Foreground of the query features ``(B, C, h, w)``; slices of a batch must not influence each other."""

    @abstractmethod
    def match(self, features: Tensor, prototype: Tensor) -> Tensor:
        """Logit ``(B, h, w)`` of features ``(B, C, h, w)`` by their prototypes ``(B, C)`` alone, for the alignment."""

    def regularization(self) -> Tensor:
        """The head's own term of the objective, a scalar; zero for most heads."""
        return torch.zeros((), device=next(self.parameters()).device)


class FewShotNetwork(nn.Module):
    """A backbone and a few-shot head, built by :func:`momentumseg.networks.registry.build_few_shot_network`.

    Args:
        backbone: ``(B, 3, S, S) -> (B, C, S/stride, S/stride)`` with attributes ``out_channels`` and ``stride``.
        head: see :class:`FewShotHead`. It computes in float32, under autocast too.
        config: the table that it was built from; stored in weight files.
    """

    def __init__(self, backbone: nn.Module, head: FewShotHead, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.config = dict(config)

    def encode(self, images: Tensor) -> Tensor:
        """Features ``(B, C, S/stride, S/stride)`` of images ``(B, 3, S, S)``."""
        return self.backbone(images)

    def summarize(self, features: Tensor, masks: Tensor, generator: torch.Generator | None = None) -> SupportSummary:
        """Prototypes of one label.

        Args:
            features: ``(n, C, h, w)`` of the n drawn slices.
            masks: ``(n, S, S)``, foreground > 0.
            generator: draws the first centre of the regions in training; None is deterministic.

        Raises:
            EmptySupportError: a mask has no foreground.
        """
        with full_precision(features.device):
            return self.head.summarize(features.float(), masks, generator)

    def forward(self, features: Tensor, summary: SupportSummary) -> FewShotOutput:
        """Foreground of the query features ``(B, C, h, w)``; slices of a batch do not influence each other."""
        with full_precision(features.device):
            return self.head(features.float(), summary)


def upsample_probability(logit: Tensor, size: int) -> Tensor:
    """Foreground probability at image resolution, ``(B, h, w) -> (B, size, size)``.

    Probabilities (not logits) are interpolated, with aligned corners, as in RPT and LMS-Net.
    """
    return upsampled(torch.sigmoid(logit), size)


def upsampled(probability: Tensor, size: int) -> Tensor:
    """Probabilities ``(B, h, w)`` interpolated linearly to ``(B, size, size)``, with aligned corners."""
    resized = functional.interpolate(probability[:, None], size=(size, size), mode="bilinear", align_corners=True)
    return resized.squeeze(1)
