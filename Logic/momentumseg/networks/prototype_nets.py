"""Baselines: one prototype with a learned threshold (in the manner of ADNet) and regional prototypes (of RPT).

Sources: Hansen et al., "Anomaly detection-inspired few-shot medical image segmentation", MedIA 2022; Zhu et al.,
"Region-enhanced prototypical transformer", MICCAI 2023. Written from the papers' descriptions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from momentumseg.errors import InputError
from momentumseg.networks.blocks.momentum_update import MomentumUpdateTransformer
from momentumseg.networks.blocks.prototypes import cosine_map, soft_average
from momentumseg.networks.few_shot import FewShotHead, FewShotOutput, Iterate, SupportSummary
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
        cosine = cosine_map(functional.normalize(features, dim=1), prototype)
        return _SLOPE * (_COSINE_SCALE * cosine - self.threshold)

    def regularization(self) -> Tensor:
        """ADNet's t / 20: keeps the region that counts as foreground small."""
        return -self.threshold / _COSINE_SCALE


class ThresholdHead(FewShotHead):
    """What both baselines share: the cosine with a learned threshold."""

    def __init__(self, regions: int = 1) -> None:
        super().__init__(regions)
        self.score = AnomalyThreshold()

    def match(self, features: Tensor, prototype: Tensor) -> Tensor:
        """Logit ``(B, h, w)`` of features ``(B, C, h, w)`` and prototypes ``(B, C)``."""
        return self.score(features, prototype)

    def regularization(self) -> Tensor:
        """Term of the learned threshold, a scalar."""
        return self.score.regularization()


@register_head("prototype")
class PrototypeHead(ThresholdHead):
    """One mean prototype of the supports and a learned cosine threshold (ADNet). The fastest head.

    Args:
        channels: feature channels C; the head has no weights that depend on them.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, features: Tensor, summary: SupportSummary) -> FewShotOutput:
        """Foreground of the query features ``(B, C, h, w)``; its only iterate is the result."""
        logit = self.match(features, summary.prototype.expand(len(features), -1))
        return FewShotOutput(logit, [Iterate.of(logit)])


@register_head("regional")
class RegionalPrototypeHead(ThresholdHead):
    """Regional prototypes refined towards the query by one shared transformer block, applied several times (RPT).

    Args:
        channels: feature channels C.
        regions: Voronoi regions over all supports together.
        iterations: applications of the block (RPT: 3), at least 1.
        attention_heads, dropout: of the block.

    Raises:
        InputError: an option out of its range.
    """

    def __init__(
        self, channels: int, regions: int = 100, iterations: int = 3, attention_heads: int = 8, dropout: float = 0.1
    ) -> None:
        super().__init__(regions)
        if iterations < 1:
            raise InputError(f"The regional head has iterations = {iterations}; use at least 1.")
        self.iterations = iterations
        self.block = MomentumUpdateTransformer(channels, attention_heads, dropout=dropout)

    def forward(self, features: Tensor, summary: SupportSummary) -> FewShotOutput:
        """Foreground of the query features ``(B, C, h, w)``, with the coarse mask as the first iterate."""
        logit = self.match(features, summary.prototype.expand(len(features), -1))
        iterates = [Iterate.of(logit)]
        query_prototype = soft_average(features, torch.sigmoid(logit))
        regional = summary.regional.unsqueeze(0).expand(len(features), -1, -1)
        for _ in range(self.iterations):
            regional = self.block(regional, query_prototype)
        logit = self.match(features, regional.mean(dim=1))
        return FewShotOutput(logit, [*iterates, Iterate.of(logit)])
