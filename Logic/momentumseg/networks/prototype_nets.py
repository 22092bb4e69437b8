"""Baselines: one prototype with a learned threshold (in the manner of ADNet) and regional prototypes (of RPT).

Sources: Hansen et al., "Anomaly detection-inspired few-shot medical image segmentation", MedIA 2022; Zhu et al.,
"Region-enhanced prototypical transformer", MICCAI 2023. Written from the papers' descriptions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from momentumseg.networks.blocks.momentum_update import MomentumUpdateTransformer
from momentumseg.networks.blocks.prototypes import soft_average
from momentumseg.networks.few_shot import FewShotOutput, Iterate, SupportSummary
from momentumseg.networks.lms_net import summarize_supports
from momentumseg.networks.registry import register_head

_COSINE_SCALE = 20.0
_SLOPE = 0.5


class AnomalyThreshold(nn.Module):
    """Foreground logit 0.5 (20 cos - t'), with t' = -t of ADNet's anomaly score; t' starts at 10 (cos = 0.5)."""

    def __init__(self, initial: float = 10.0) -> None:
        super().__init__()
        self.threshold = nn.Parameter(torch.tensor(float(initial)))

    def forward(self, features: Tensor, prototype: Tensor) -> Tensor:
        """Logit ``(B, h, w)`` of features ``(B, C, h, w)`` and prototypes ``(B, C)``."""
        cosine = torch.einsum("bchw,bc->bhw", functional.normalize(features, dim=1),
                              functional.normalize(prototype, dim=1, eps=1e-8))
        return _SLOPE * (_COSINE_SCALE * cosine - self.threshold)

    def regularization(self) -> Tensor:
        """ADNet's t / 20: keeps the region that counts as foreground small."""
        return -self.threshold / _COSINE_SCALE


@register_head("prototype")
class PrototypeHead(nn.Module):
    """One mean prototype of the supports and a learned cosine threshold (ADNet). The fastest head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.score = AnomalyThreshold()

    def summarize(self, features: Tensor, masks: Tensor, generator: torch.Generator | None = None) -> SupportSummary:
        return summarize_supports(features, masks, 1, generator)

    def forward(self, features: Tensor, summary: SupportSummary) -> FewShotOutput:
        logit = self.score(features, summary.prototype.expand(len(features), -1))
        return FewShotOutput(logit, [_plain_iterate(logit)])

    def match(self, features: Tensor, prototype: Tensor) -> Tensor:
        """Logit ``(B, h, w)`` of features ``(B, C, h, w)`` and prototypes ``(B, C)``."""
        return self.score(features, prototype)

    def regularization(self) -> Tensor:
        return self.score.regularization()


@register_head("regional")
class RegionalPrototypeHead(nn.Module):
    """Regional prototypes refined towards the query by one shared transformer block, applied several times (RPT).

    Args:
        channels: feature channels C.
        regions: at most this many Voronoi regions over all supports together.
        iterations: applications of the block (RPT: 3).
        attention_heads, dropout: of the block.
    """

    def __init__(self, channels: int, regions: int = 100, iterations: int = 3, attention_heads: int = 8,
                 dropout: float = 0.1) -> None:
        super().__init__()
        self.regions = regions
        self.iterations = iterations
        self.score = AnomalyThreshold()
        self.block = MomentumUpdateTransformer(channels, attention_heads, dropout=dropout, momentum=True)

    def summarize(self, features: Tensor, masks: Tensor, generator: torch.Generator | None = None) -> SupportSummary:
        return summarize_supports(features, masks, self.regions, generator)

    def forward(self, features: Tensor, summary: SupportSummary) -> FewShotOutput:
        logit = self.score(features, summary.prototype.expand(len(features), -1))
        iterates = [_plain_iterate(logit)]
        query_prototype = soft_average(features, torch.sigmoid(logit))
        regional = summary.regional.unsqueeze(0).expand(len(features), -1, -1)
        for _ in range(self.iterations):
            regional = self.block(regional, query_prototype)
        logit = self.score(features, regional.mean(dim=1))
        return FewShotOutput(logit, [*iterates, _plain_iterate(logit)])

    def match(self, features: Tensor, prototype: Tensor) -> Tensor:
        """Logit ``(B, h, w)`` of features ``(B, C, h, w)`` and prototypes ``(B, C)``."""
        return self.score(features, prototype)

    def regularization(self) -> Tensor:
        return self.score.regularization()


def _plain_iterate(logit: Tensor) -> Iterate:
    u = torch.sigmoid(torch.stack([logit, -logit], dim=1))
    return Iterate(u, torch.zeros_like(u))
