"""Lagrange duality consistency (LDC) loss.

Source: Zheng et al., "Lagrange duality and compound multi-attention transformer ...", 2024, "LDC loss". Its eq. 3
multiplies no violation for the bounds of the outputs (their terms cancel) and a softmax keeps those bounds anyway; its
code forgets the multiplier after each epoch. What is left and meant: cross-entropy and Dice, subject to each structure
having as many voxels as in the reference, with a multiplier that stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from momentumseg.errors import InputError
from momentumseg.objectives.dual_ascent import DualAscent, KktResiduals


@dataclass(frozen=True)
class DualityLoss:
    """What one evaluation gives.

    Attributes:
        loss: what is minimised, a scalar: primal and the constraints' term.
        cross_entropy, dice: terms of the primal, scalars.
        equality: h ``(classes - 1,)``, predicted minus reference fraction of each structure.
        inequality: g ``(1,)``, mean square of the parameters minus its limit; None without a limit.
        residuals: of the constraints before the multipliers' next step.
    """

    loss: Tensor
    cross_entropy: Tensor
    dice: Tensor
    equality: Tensor
    inequality: Tensor | None
    residuals: KktResiduals


class LagrangeDualityLoss(nn.Module):
    """min CE + Dice subject to mean p_c = mean y_c for every structure c, and optionally mean w^2 <= C.

    The reference y is a one-hot label map or, for unlabelled images, the probabilities of an EMA teacher. Use one
    instance for each of the two, because their multipliers answer different questions. After the optimiser's step call
    :meth:`ascend`.

    Args:
        classes: channels of the logits, background first.
        step: rho of the multipliers.
        cross_entropy, dice: weights of the primal's terms.
        class_weights: of the Dice of each structure (classes - 1), for long tails; default equal.
        weight_limit: C; None leaves that constraint out.

    Raises:
        InputError: fewer than two classes, or another number of class weights.
    """

    class_weights: Tensor

    def __init__(
        self,
        classes: int,
        step: float = 0.01,
        *,
        cross_entropy: float = 1.0,
        dice: float = 1.0,
        class_weights: Sequence[float] | None = None,
        weight_limit: float | None = None,
    ) -> None:
        super().__init__()
        if classes < 2:
            raise InputError(f"The loss needs a background and at least one structure, not {classes} classes.")
        weights = torch.ones(classes - 1) if class_weights is None else torch.tensor(class_weights, dtype=torch.float)
        if len(weights) != classes - 1 or float(weights.sum()) <= 0:
            raise InputError(f"There are {len(weights)} class weights for {classes - 1} structures; give one for each.")
        self.register_buffer("class_weights", weights / weights.sum(), persistent=False)
        self.cross_entropy = cross_entropy
        self.dice = dice
        self.weight_limit = weight_limit
        self.multipliers = DualAscent(classes - 1, 0 if weight_limit is None else 1, step)

    def forward(
        self, logits: Tensor, reference: Tensor, parameters: Iterable[Tensor] = (), trusted: Tensor | None = None
    ) -> DualityLoss:
        """Loss of logits ``(B, classes, *S)`` against a reference of the same shape that sums to one over classes.

        Args:
            parameters: what the limit of the weights is about; not asked without a limit.
            trusted: voxels ``(B, *S)`` whose reference cross-entropy and Dice believe, default all; the constraint is
                about the whole image.
        """
        logits, reference = logits.float(), reference.detach().float()
        probabilities = torch.softmax(logits, dim=1)
        if trusted is None:
            entropy = functional.cross_entropy(logits, reference)
            dice = self._dice(probabilities[:, 1:], reference[:, 1:])
        else:
            believed = trusted[:, None].float()
            entropy = functional.cross_entropy(logits, reference * believed)
            dice = self._dice(probabilities[:, 1:] * believed, reference[:, 1:] * believed)
        equality = _fractions(probabilities) - _fractions(reference)
        inequality = self._inequality(parameters)
        loss = self.cross_entropy * entropy + self.dice * dice + self.multipliers(equality, inequality)
        residuals = self.multipliers.residuals(equality, inequality)
        kept = None if inequality is None else inequality.detach()
        return DualityLoss(loss, entropy.detach(), dice.detach(), equality.detach(), kept, residuals)

    def ascend(self, result: DualityLoss, part: float = 1.0) -> None:
        """Move the multipliers by the violations of that evaluation, or by a part of the step."""
        self.multipliers.ascend(result.equality, result.inequality, part)

    def _dice(self, probabilities: Tensor, reference: Tensor) -> Tensor:
        """1 - soft Dice of each structure over the batch, weighted."""
        axes = [0, *range(2, probabilities.ndim)]
        overlap = (probabilities * reference).sum(axes)
        total = probabilities.sum(axes) + reference.sum(axes)
        return (self.class_weights * (1 - (2 * overlap + 1) / (total + 1))).sum()

    def _inequality(self, parameters: Iterable[Tensor]) -> Tensor | None:
        if self.weight_limit is None:
            return None
        values = list(parameters)
        if not values:
            raise InputError("The loss limits the network's weights; give it the network's parameters.")
        squares = torch.stack([value.float().square().sum() for value in values]).sum()
        return (squares / sum(value.numel() for value in values) - self.weight_limit).reshape(1)


def teacher_consistency(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of the probabilities of two logits ``(B, classes, *S)``; no gradient to the teacher."""
    reference = torch.softmax(teacher.detach().float(), dim=1)
    return functional.mse_loss(torch.softmax(student.float(), dim=1), reference)


def _fractions(probabilities: Tensor) -> Tensor:
    """Mean probability of each structure, ``(classes - 1,)``."""
    return probabilities[:, 1:].mean(dim=[0, *range(2, probabilities.ndim)])
