"""Segmentation losses by name; the formulas are MONAI's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from monai.losses import DiceCELoss, DiceFocalLoss, TverskyLoss
from torch import Tensor, nn

from momentumseg.errors import InputError

# Dice of each image by itself, not of the batch as a whole: the gradient of a batch that several devices share is then
# the mean of their gradients.
_DICE = {"include_background": False, "to_onehot_y": True, "softmax": True, "batch": False}


class SegmentationObjective(nn.Module):
    """A loss of MONAI on logits ``(B, classes, *S)`` and labels ``(B, *S)``, with the Dice that it led to.

    Args:
        loss: takes logits and labels ``(B, 1, *S)``.
        classes: background and structures.
    """

    def __init__(self, loss: nn.Module, classes: int) -> None:
        super().__init__()
        self.loss = loss
        self.classes = classes

    def forward(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """``"loss"``, and ``"dice"`` of the structures in the batch for the log."""
        logits = logits.float()
        value = cast(Tensor, self.loss(logits, labels[:, None]))
        return {"loss": value, "dice": batch_dice(logits.detach(), labels)}


def batch_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean Dice of the structures that are in the labels of a batch; a scalar, 1 when there is none.

    Args:
        logits: ``(B, classes, *S)``.
        labels: ``(B, *S)``.
    """
    predicted = logits.max(dim=1).indices  # argmax over a few channels takes thirty times as long on a CPU
    found = []
    for structure in range(1, logits.shape[1]):
        truth, guess = labels == structure, predicted == structure
        if truth.any():
            found.append(2.0 * (truth & guess).sum() / (truth.sum() + guess.sum()))
    return torch.stack(found).mean() if found else logits.new_ones(())


def _dice_ce(dice: float = 1.0, cross_entropy: float = 1.0) -> nn.Module:
    return DiceCELoss(lambda_dice=dice, lambda_ce=cross_entropy, smooth_nr=1e-5, smooth_dr=1e-5, **_DICE)


def _dice_focal(dice: float = 1.0, focal: float = 1.0, gamma: float = 2.0) -> nn.Module:
    return DiceFocalLoss(lambda_dice=dice, lambda_focal=focal, gamma=gamma, **_DICE)


def _tversky(alpha: float = 0.3, beta: float = 0.7) -> nn.Module:
    return TverskyLoss(alpha=alpha, beta=beta, **_DICE)


_LOSSES: dict[str, Callable[..., nn.Module]] = {"dice_ce": _dice_ce, "dice_focal": _dice_focal, "tversky": _tversky}


def objective_names() -> list[str]:
    """Names that a recipe may use for its objective."""
    return sorted(_LOSSES)


def build_objective(table: Mapping[str, Any], classes: int) -> SegmentationObjective:
    """Objective of a recipe's ``[objective]`` table: ``name`` ("dice_ce" when absent) and options of the loss.

    Raises:
        InputError: unknown name or option, or fewer than two classes.
    """
    options = dict(table)
    name = options.pop("name", "dice_ce")
    if name not in _LOSSES:
        raise InputError(f"There is no objective named {name!r}; choose one of {', '.join(objective_names())}.")
    if classes < 2:
        raise InputError(f"Training needs a background and at least one structure, not {classes} classes.")
    try:
        return SegmentationObjective(_LOSSES[name](**options), classes)
    except (TypeError, ValueError) as error:
        raise InputError(f"The objective {name!r} does not accept these options: {error}.") from error
