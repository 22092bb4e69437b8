"""LMS-Net and fLMS-Net: a learned Mumford-Shah model unfolded into a few-shot head.

Source: Zhang et al., "LMS-Net: A Learned Mumford-Shah Network For Few-Shot Medical Image Segmentation" (eq. 8-21).
The data term of the model compares each pixel with a foreground prototype l_1 and its opposite l_2 = -l_1 by cosine;
the prior is a learned denoiser of the mask. Both alternate over K stages, and every stage's iterate is returned.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from momentumseg.errors import InputError
from momentumseg.networks.blocks.mask_denoiser import MaskDenoiser
from momentumseg.networks.blocks.momentum_update import MomentumUpdateTransformer
from momentumseg.networks.blocks.prototypes import cosine_map, soft_average
from momentumseg.networks.few_shot import FewShotHead, FewShotOutput, Iterate, SupportSummary
from momentumseg.networks.registry import register_head

_LOGIT_CLAMP = 1e-6


class DataTerm(nn.Module):
    """DC, the closed-form mask of the data term: logit u_1 = 2 alpha (cos(F, l_1) - tau) + alpha (v_2 - v_1).

    LMS-Net, eq. 12 and 20; the paper has no tau.

    Args:
        alpha: slope, positive.
        threshold: initial tau; learned if ``learn_threshold``. The paper has none (0, not learned).

    Raises:
        InputError: alpha is not positive.
    """

    def __init__(self, alpha: float, threshold: float, learn_threshold: bool) -> None:
        super().__init__()
        if alpha <= 0:
            raise InputError(f"The data term has alpha = {alpha}; use a positive slope.")
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


class UnfoldedHead(FewShotHead):
    """What LMS-Net and fLMS-Net share: the data term and one primal-dual step a stage, in ``primal_dual``.

    Args:
        stages: K, at least 1.
        alpha, threshold, learn_threshold: see :class:`DataTerm`.
        regions: see :class:`FewShotHead`.
        share_stages: one set of weights for all stages.

    Raises:
        InputError: an option out of its range.
    """

    primal_dual: nn.ModuleList

    def __init__(
        self, stages: int, alpha: float, threshold: float, learn_threshold: bool, regions: int, share_stages: bool
    ) -> None:
        super().__init__(regions)
        if stages < 1:
            raise InputError(f"The unfolded network has stages = {stages}; use at least 1.")
        self.stages = stages
        self.distinct_stages = 1 if share_stages else stages
        self.data_term = DataTerm(alpha, threshold, learn_threshold)

    def match(self, features: Tensor, prototype: Tensor) -> Tensor:
        """Logit ``(B, h, w)`` by the data term with v = 0, of features ``(B, C, h, w)`` and prototypes ``(B, C)``."""
        return self.data_term(cosine_map(functional.normalize(features, dim=1), prototype))

    def denoisers(self, width: int, normalization: str) -> nn.ModuleList:
        """A primal-dual step for every stage that has weights of its own."""
        return nn.ModuleList(
            PrimalDualStep(MaskDenoiser(width, normalization=normalization)) for _ in range(self.distinct_stages)
        )

    def module_of(self, stage: int) -> int:
        """Index of the modules that a stage uses."""
        return min(stage, self.distinct_stages - 1)

    def noise(self, stage: int, logit: Tensor, carried: Tensor | None = None) -> Tensor:
        """v of a stage, see :meth:`PrimalDualStep.noise`."""
        return cast(PrimalDualStep, self.primal_dual[self.module_of(stage)]).noise(logit, carried)


@register_head("lms")
class LmsHead(UnfoldedHead):
    """LMS-Net: K stages of prototype update (MUT) and mask update (PD-Net); v starts at zero in each stage.

    Args:
        channels: feature channels C.
        stages: K (the paper: 2).
        alpha, threshold, learn_threshold: see :class:`DataTerm`. The paper: 20 (from the code it builds on), 0, False.
        regions: Voronoi regions over all supports together.
        share_stages: one set of weights for all stages.
        denoiser_width, denoiser_normalization: see :class:`MaskDenoiser`.
        attention_heads, attention_hidden, dropout, identity_start: see :class:`MomentumUpdateTransformer`.
    """

    def __init__(
        self,
        channels: int,
        stages: int = 2,
        alpha: float = 5.0,
        threshold: float = 0.5,
        learn_threshold: bool = True,
        regions: int = 100,
        share_stages: bool = False,
        denoiser_width: int = 32,
        denoiser_normalization: str = "none",
        attention_heads: int = 8,
        attention_hidden: int | None = None,
        dropout: float = 0.1,
        identity_start: bool = True,
    ) -> None:
        super().__init__(stages, alpha, threshold, learn_threshold, regions, share_stages)
        self.updates = nn.ModuleList(
            MomentumUpdateTransformer(channels, attention_heads, attention_hidden, dropout, identity_start)
            for _ in range(self.distinct_stages)
        )
        self.primal_dual = self.denoisers(denoiser_width, denoiser_normalization)

    def forward(self, features: Tensor, summary: SupportSummary) -> FewShotOutput:
        """Foreground of the query features ``(B, C, h, w)``, with iterates u^0 .. u^K."""
        direction = functional.normalize(features, dim=1)
        logit = self.data_term(cosine_map(direction, summary.prototype.expand(len(features), -1)))
        iterates = [Iterate.of(logit)]
        regional = summary.regional.unsqueeze(0).expand(len(features), -1, -1)
        for stage in range(self.stages):
            query_prototype = soft_average(features, torch.sigmoid(logit))
            regional = self.updates[self.module_of(stage)](regional, query_prototype)
            data = self.data_term(cosine_map(direction, regional.mean(dim=1)))
            v = self.noise(stage, data)
            logit = self.data_term.with_noise(data, v)
            iterates.append(Iterate.of(logit, v))
        return FewShotOutput(logit, iterates)


@register_head("flms")
class FixedLmsHead(UnfoldedHead):
    """fLMS-Net: the prototype stays that of the supports; only the mask is updated, v carried from stage to stage.

    Args:
        channels: feature channels C; the head has no weights that depend on them.
        stages: K (the paper: 3). Others as in :class:`LmsHead`.
    """

    def __init__(
        self,
        channels: int,
        stages: int = 3,
        alpha: float = 5.0,
        threshold: float = 0.5,
        learn_threshold: bool = True,
        share_stages: bool = False,
        denoiser_width: int = 32,
        denoiser_normalization: str = "none",
    ) -> None:
        super().__init__(stages, alpha, threshold, learn_threshold, regions=1, share_stages=share_stages)
        self.primal_dual = self.denoisers(denoiser_width, denoiser_normalization)

    def forward(self, features: Tensor, summary: SupportSummary) -> FewShotOutput:
        """Foreground of the query features ``(B, C, h, w)``, with iterates u^0 .. u^K."""
        data = self.match(features, summary.prototype.expand(len(features), -1))
        logit, v = data, None
        iterates = [Iterate.of(logit)]
        for stage in range(self.stages):
            v = self.noise(stage, logit, carried=v)
            logit = self.data_term.with_noise(data, v)
            iterates.append(Iterate.of(logit, v))
        return FewShotOutput(logit, iterates)
