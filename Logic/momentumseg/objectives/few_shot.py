"""The few-shot objective: query cross-entropy and prototype alignment (LMS-Net eq. 22-23; PANet, ADNet)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from momentumseg.errors import InputError
from momentumseg.networks.blocks.precision import full_precision
from momentumseg.networks.blocks.prototypes import masked_average
from momentumseg.networks.few_shot import FewShotNetwork, FewShotOutput, upsample_probability, upsampled

_PROBABILITY_EPSILON = 1e-6


class FewShotObjective(nn.Module):
    """Loss of one episode: ``L = L_ce + alignment * L_par + regularization * R``.

    Args:
        network: what is trained.
        background_weight: class weight of the background in L_ce (0.1; 1.0 is the paper's eq. 22 to the letter).
        alignment: weight of L_par (the paper: 1).
        regularization: weight of the head's own term, for the heads that have one (ADNet's threshold: 1).
        deep_supervision: weight of L_ce averaged over the earlier iterates u^0 .. u^(K-1) (the paper: 0).
    """

    def __init__(
        self,
        network: FewShotNetwork,
        background_weight: float = 0.1,
        alignment: float = 1.0,
        regularization: float = 1.0,
        deep_supervision: float = 0.0,
    ) -> None:
        super().__init__()
        self.network = network
        self.background_weight = background_weight
        self.alignment = alignment
        self.regularization = regularization
        self.deep_supervision = deep_supervision

    @classmethod
    def from_mapping(cls, network: FewShotNetwork, table: Mapping[str, Any]) -> FewShotObjective:
        """Objective of a recipe's ``[objective]`` table.

        Raises:
            InputError: unknown option.
        """
        try:
            return cls(network, **table)
        except TypeError as error:
            raise InputError(f"The recipe's [objective] table has an unknown option: {error}.") from error

    def forward(
        self,
        support_image: Tensor,
        support_mask: Tensor,
        query_image: Tensor,
        query_mask: Tensor,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Losses of one episode under ``"loss"``, ``"cross_entropy"`` and ``"alignment"``, and the query's ``"dice"``.

        Args:
            support_image, query_image: ``(3, S, S)``.
            support_mask, query_mask: ``(S, S)`` of 0 and 1.
            generator: draws the first centre of the support's regions.
        """
        features = self.network.encode(torch.stack([support_image, query_image])).float()
        with full_precision(features.device):
            return self._losses(features, support_mask, query_mask, generator)

    def _losses(
        self, features: Tensor, support_mask: Tensor, query_mask: Tensor, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        support, query = features[:1], features[1:]
        summary = self.network.summarize(support, support_mask[None], generator)
        output = self.network(query, summary)
        probability = upsample_probability(output.logit, query_mask.shape[-1])[0]
        losses = {"cross_entropy": weighted_cross_entropy(probability, query_mask, self.background_weight)}
        losses["alignment"] = self._alignment(support, support_mask, query, probability)
        losses["loss"] = (
            losses["cross_entropy"] + self.alignment * losses["alignment"] + self._extra(output, query_mask)
        )
        losses["dice"] = _dice(probability.detach() > 0.5, query_mask > 0)
        return losses

    def _alignment(self, support: Tensor, support_mask: Tensor, query: Tensor, probability: Tensor) -> Tensor:
        """L_par: the support predicted from the query's predicted mask, by the data term alone; 0 for an empty mask."""
        predicted = (probability.detach() > 0.5).float()
        if self.alignment == 0 or not predicted.any():
            return query.new_zeros(())
        prototype = masked_average(query, predicted[None])
        back = upsample_probability(self.network.head.match(support, prototype), support_mask.shape[-1])[0]
        return weighted_cross_entropy(back, support_mask, background_weight=1.0)

    def _extra(self, output: FewShotOutput, query_mask: Tensor) -> Tensor:
        """The head's own term and the deep supervision, weighted; a scalar."""
        extra = self.regularization * self.network.head.regularization()
        earlier = output.iterates[:-1]
        if self.deep_supervision and earlier:
            probabilities = [upsampled(iterate.u[:, 0], query_mask.shape[-1])[0] for iterate in earlier]
            losses = [weighted_cross_entropy(p, query_mask, self.background_weight) for p in probabilities]
            extra = extra + self.deep_supervision * torch.stack(losses).mean()
        return extra


def weighted_cross_entropy(probability: Tensor, mask: Tensor, background_weight: float) -> Tensor:
    """Weighted mean of ``-log p`` of the true class; weight 1 for the foreground, ``background_weight`` for the rest.

    Args:
        probability: of the foreground, any shape.
        mask: 0 and 1, same shape.
    """
    foreground = mask > 0
    truth = torch.where(foreground, probability, 1 - probability).clamp(_PROBABILITY_EPSILON, 1)
    weights = torch.where(foreground, 1.0, background_weight)
    return -(weights * torch.log(truth)).sum() / weights.sum()


def _dice(prediction: Tensor, truth: Tensor) -> Tensor:
    overlap = (prediction & truth).sum()
    return 2 * overlap / (prediction.sum() + truth.sum()).clamp(min=1)
