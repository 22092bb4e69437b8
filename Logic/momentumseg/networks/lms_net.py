"""LMS-Net and fLMS-Net: a learned Mumford-Shah model unfolded into a few-shot head.

Source: Zhang et al., "LMS-Net: A Learned Mumford-Shah Network For Few-Shot Medical Image Segmentation" (eq. 8-21).
The data term of the model compares each pixel with a foreground prototype l_1 and its opposite l_2 = -l_1 by cosine; the
prior is a learned denoiser of the mask. Both alternate over K stages, and every stage's iterate is returned.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from momentumseg.networks.blocks.mask_denoiser import MaskDenoiser
from momentumseg.networks.blocks.momentum_update import MomentumUpdateTransformer
from momentumseg.networks.blocks.prototypes import masked_average, regional_prototypes, soft_average
from momentumseg.networks.few_shot import FewShotOutput, Iterate, SupportSummary
from momentumseg.networks.registry import register_head

_LOGIT_CLAMP = 1e-6


class DataTerm(nn.Module):
    """DC, the closed-form mask of the data term: logit u_1 = 2 alpha (cos(F, l_1) - tau) + alpha (v_2 - v_1) (eq. 12, 20).

    Args:
        alpha: slope.
        threshold: initial tau; learned if ``learn_threshold``. The paper has none (0, not learned).
    """

    def __init__(self, alpha: float, threshold: float, learn_threshold: bool) -> None:
        super().__init__()
        self.alpha = alpha
        self.threshold = nn.Parameter(torch.tensor(float(threshold)), requires_grad=learn_threshold)

    def forward(self, cosine: Tensor) -> Tensor:
        """Logit of u_1 for v = 0, of the same shape as ``cosine``."""
        return 2 * self.alpha * (cosine - self.threshold)

    def with_noise(self, logit: Tensor, v: Tensor) -> Tensor:
        """Logit of u_1 for noise ``v`` ``(B, 2, h, w)`` given the logit for v = 0."""
        return logit + self.alpha * (v[:, 1] - v[:, 0])


class PrimalDualStep(nn.Module):
    """PD-Net: v_i = delta (z_i - MD(z_i)), then DC with that v (eq. 13, 21).

    In LMS-Net z = u; in fLMS-Net v is carried between the stages and z = u + v / delta.
    """

    def __init__(self, denoiser: MaskDenoiser, delta: float = 1.0) -> None:
        super().__init__()
        self.denoiser = denoiser
        # softplus(raw) = delta, positive whatever the optimiser does
        self.raw_delta = nn.Parameter(torch.tensor(math.log(math.expm1(delta))))

    @property
    def delta(self) -> Tensor:
        return functional.softplus(self.raw_delta)

    def noise(self, logit: Tensor, carried: Tensor | None = None) -> Tensor:
        """v ``(B, 2, h, w)`` of the mask with foreground ``logit`` ``(B, h, w)``.

        Args:
            logit: logit of u_1; that of u_2 is its negative.
            carried: v of the previous stage, ``(B, 2, h, w)``, or None for zero.
        """
        logits = torch.stack([logit, -logit], dim=1)
        z = torch.sigmoid(logits)
        if carried is not None:
            z = z + carried / self.delta
            clamped = z.clamp(_LOGIT_CLAMP, 1 - _LOGIT_CLAMP)
            logits = torch.log(clamped) - torch.log1p(-clamped)
        # the same one-channel denoiser serves u_1 and u_2: they are folded into the batch
        denoised = self.denoiser(z.flatten(0, 1), logits.flatten(0, 1)).view_as(z)
        return self.delta * (z - denoised)


class _UnfoldedHead(nn.Module):
    """What LMS-Net and fLMS-Net share: support prototypes, data term and the zeroth iterate."""

    def __init__(self, alpha: float, threshold: float, learn_threshold: bool, regions: int) -> None:
        super().__init__()
        self.data_term = DataTerm(alpha, threshold, learn_threshold)
        self.regions = regions

    def summarize(self, features: Tensor, masks: Tensor, generator: torch.Generator | None = None) -> SupportSummary:
        """Prototypes of n supports: l is averaged over them, their regions are shared out and concatenated."""
        return summarize_supports(features, masks, self.regions, generator)

    def match(self, features: Tensor, prototype: Tensor) -> Tensor:
        """Logit ``(B, h, w)`` by the data term alone, of features ``(B, C, h, w)`` and prototypes ``(B, C)``."""
        return self.data_term(_cosine(functional.normalize(features, dim=1), prototype))


@register_head("lms")
class LmsHead(_UnfoldedHead):
    """LMS-Net: K stages of prototype update (MUT) and mask update (PD-Net); v starts at zero in each stage.

    Args:
        channels: feature channels C.
        stages: K (the paper: 2).
        alpha, threshold, learn_threshold: see :class:`DataTerm`. The paper: 20 (from the code it builds on), 0, False.
        regions: at most this many Voronoi regions over all supports together.
        share_stages: one set of weights for all stages.
        denoiser_width, denoiser_normalization: see :class:`MaskDenoiser`.
        attention_heads, attention_hidden, dropout, identity_start: see :class:`MomentumUpdateTransformer`.
    """

    def __init__(self, channels: int, stages: int = 2, alpha: float = 5.0, threshold: float = 0.5,
                 learn_threshold: bool = True, regions: int = 100, share_stages: bool = False, denoiser_width: int = 32,
                 denoiser_normalization: str = "none", attention_heads: int = 8, attention_hidden: int | None = None,
                 dropout: float = 0.1, identity_start: bool = True) -> None:
        super().__init__(alpha, threshold, learn_threshold, regions)
        self.stages = stages
        distinct = 1 if share_stages else stages
        self.updates = nn.ModuleList(
            MomentumUpdateTransformer(channels, attention_heads, attention_hidden, dropout, identity_start) for _ in range(distinct))
        self.primal_dual = nn.ModuleList(
            PrimalDualStep(MaskDenoiser(denoiser_width, normalization=denoiser_normalization)) for _ in range(distinct))

    def forward(self, features: Tensor, summary: SupportSummary) -> FewShotOutput:
        """Foreground of the query features ``(B, C, h, w)``, with iterates u^0 .. u^K."""
        direction = functional.normalize(features, dim=1)
        logit = self.data_term(_cosine(direction, summary.prototype.expand(len(features), -1)))
        iterates = [_iterate(logit)]
        regional = summary.regional.unsqueeze(0).expand(len(features), -1, -1)
        for stage in range(self.stages):
            module = min(stage, len(self.updates) - 1)
            query_prototype = soft_average(features, torch.sigmoid(logit))
            regional = self.updates[module](regional, query_prototype)
            data = self.data_term(_cosine(direction, regional.mean(dim=1)))
            v = self.primal_dual[module].noise(data)
            logit = self.data_term.with_noise(data, v)
            iterates.append(_iterate(logit, v))
        return FewShotOutput(logit, iterates)


@register_head("flms")
class FixedLmsHead(_UnfoldedHead):
    """fLMS-Net: the prototype stays that of the supports; only the mask is updated, v carried from stage to stage.

    Args:
        stages: K (the paper: 3). Others as in :class:`LmsHead`.
    """

    def __init__(self, channels: int, stages: int = 3, alpha: float = 5.0, threshold: float = 0.5,
                 learn_threshold: bool = True, share_stages: bool = False, denoiser_width: int = 32,
                 denoiser_normalization: str = "none") -> None:
        super().__init__(alpha, threshold, learn_threshold, regions=1)
        self.stages = stages
        self.primal_dual = nn.ModuleList(
            PrimalDualStep(MaskDenoiser(denoiser_width, normalization=denoiser_normalization))
            for _ in range(1 if share_stages else stages))

    def forward(self, features: Tensor, summary: SupportSummary) -> FewShotOutput:
        """Foreground of the query features ``(B, C, h, w)``, with iterates u^0 .. u^K."""
        cosine = _cosine(functional.normalize(features, dim=1), summary.prototype.expand(len(features), -1))
        data = self.data_term(cosine)
        logit, v = data, None
        iterates = [_iterate(logit)]
        for stage in range(self.stages):
            v = self.primal_dual[min(stage, len(self.primal_dual) - 1)].noise(logit, carried=v)
            logit = self.data_term.with_noise(data, v)
            iterates.append(_iterate(logit, v))
        return FewShotOutput(logit, iterates)


def summarize_supports(features: Tensor, masks: Tensor, regions: int, generator: torch.Generator | None) -> SupportSummary:
    """Mean prototype of n supports and at most ``regions`` regional prototypes over all of them together."""
    masks = (masks > 0).to(features.dtype)
    share = max(1, regions // len(features))
    regional = [regional_prototypes(feature, mask, share, generator) for feature, mask in zip(features, masks, strict=True)]
    return SupportSummary(masked_average(features, masks).mean(dim=0), torch.cat(regional))


def _cosine(direction: Tensor, prototype: Tensor) -> Tensor:
    """Cosine ``(B, h, w)`` of unit features ``(B, C, h, w)`` with prototypes ``(B, C)``."""
    return torch.einsum("bchw,bc->bhw", direction, functional.normalize(prototype, dim=1, eps=1e-8))


def _iterate(logit: Tensor, v: Tensor | None = None) -> Iterate:
    u = torch.sigmoid(torch.stack([logit, -logit], dim=1))
    return Iterate(u, torch.zeros_like(u) if v is None else v)
