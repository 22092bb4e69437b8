"""Loss of one mask a prompt: overlap and cross-entropy of the mask, and how well the network knows its own overlap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from monai.losses import DiceCELoss
from torch import Tensor, nn
from torch.nn import functional

from momentumseg.errors import InputError


class PromptMaskObjective(nn.Module):
    """MONAI's Dice and cross-entropy of a sigmoid, with squared denominators, and the error of the predicted overlap.

    Args:
        dice: weight of the Dice loss.
        cross_entropy: weight of the binary cross-entropy.
        iou: weight of the squared error of the predicted against the true intersection over union; 0 leaves the
            network's estimate as it was.

    Raises:
        InputError: a weight that is not a number of 0 or more.

    Source: Nguyen et al., "LVM-Med", NeurIPS 2023 (prompt setting); the third term is that of Kirillov et al.,
    "Segment Anything", ICCV 2023, appendix A.
    """

    def __init__(self, *, dice: float = 1.0, cross_entropy: float = 1.0, iou: float = 0.0) -> None:
        super().__init__()
        for name, weight in {"dice": dice, "cross_entropy": cross_entropy, "iou": iou}.items():
            if isinstance(weight, bool) or not isinstance(weight, int | float) or weight < 0:
                raise InputError(f"The recipe's objective.{name} is {weight!r}; use a number of 0 or more.")
        self.iou_weight = float(iou)
        self.mask_loss = DiceCELoss(sigmoid=True, squared_pred=True, lambda_dice=dice, lambda_ce=cross_entropy)

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> PromptMaskObjective:
        """Objective of a recipe's ``[objective]`` table, whose name is "prompt_mask".

        Raises:
            InputError: another name, an unknown option or a weight that cannot be used.
        """
        options = dict(table)
        name = options.pop("name", "prompt_mask")
        if name != "prompt_mask":
            raise InputError(f"A decoder for prompts is trained with the objective 'prompt_mask', not {name!r}.")
        try:
            return cls(**options)
        except TypeError as error:
            raise InputError(f"The objective 'prompt_mask' does not accept these options: {error}.") from error

    def forward(self, logits: Tensor, predicted_iou: Tensor, target: Tensor) -> dict[str, Tensor]:
        """``"loss"`` and, for the log, its mask part, the mean Dice of the masks and the mean error of the overlap.

        Args:
            logits: ``(N, 1, H, W)``.
            predicted_iou: ``(N, 1)``.
            target: ``(N, 1, H, W)``, 1 inside and 0 outside.
        """
        logits, target = logits.float(), target.float()
        mask_loss = cast(Tensor, self.mask_loss(logits, target))
        dice, iou = overlaps(logits.detach() > 0, target > 0.5)
        terms = {"loss": mask_loss, "mask": mask_loss.detach(), "dice": dice.mean()}
        if self.iou_weight:
            predicted = predicted_iou.float()[:, 0]
            terms["loss"] = mask_loss + self.iou_weight * functional.mse_loss(predicted, iou)
            terms["iou_error"] = (predicted.detach() - iou).abs().mean()
        return terms


def overlaps(found: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """(Dice, intersection over union), each ``(N,)``, of boolean masks ``(N, 1, H, W)``; 1 where both are empty."""
    both = (found & truth).flatten(1).sum(1).float()
    sizes = found.flatten(1).sum(1).float() + truth.flatten(1).sum(1).float()
    empty = sizes == 0
    dice = torch.where(empty, 1.0, 2 * both / sizes.clamp_min(1))
    return dice, torch.where(empty, 1.0, both / (sizes - both).clamp_min(1))
