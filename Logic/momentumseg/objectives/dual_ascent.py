"""Constraints by augmented Lagrangian: multipliers that persist through training (Bertsekas, 1982, ch. 2 and 3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn

from momentumseg.errors import InputError


@dataclass(frozen=True)
class KktResiduals:
    """How far a solution is from satisfying its constraints; all are 0 at a solution.

    Attributes:
        equality: largest \\|h\\|.
        inequality: largest max(g, 0).
        complementarity: largest \\|eta g\\|.
    """

    equality: float
    inequality: float
    complementarity: float


class DualAscent(nn.Module):
    """Multipliers of constraints h = 0 and g <= 0, which rise where a constraint is violated.

    ``lambda <- lambda + rho h``, ``eta <- max(0, eta + rho g)``. They are buffers: a checkpoint keeps them.

    Args:
        equalities, inequalities: numbers of constraints.
        step: rho > 0.

    Raises:
        InputError: another step.
    """

    equality_multipliers: Tensor
    inequality_multipliers: Tensor

    def __init__(self, equalities: int, inequalities: int = 0, step: float = 0.01) -> None:
        super().__init__()
        if not step > 0:
            raise InputError(f"The step of the multipliers is {step}; choose a number above 0.")
        self.step = step
        self.register_buffer("equality_multipliers", torch.zeros(equalities))
        self.register_buffer("inequality_multipliers", torch.zeros(inequalities))

    def forward(self, equalities: Tensor, inequalities: Tensor | None = None) -> Tensor:
        """Term of the augmented Lagrangian, a scalar.

        ``lambda h + rho/2 h^2 + (max(0, eta + rho g)^2 - eta^2) / (2 rho)``; its gradient with respect to h is the
        multiplier after the next :meth:`ascend`, and to g likewise.

        Args:
            equalities: h ``(equalities,)``.
            inequalities: g ``(inequalities,)``.
        """
        prices, slopes = self.equality_multipliers.clone(), self.inequality_multipliers.clone()  # ascend() moves them
        total = (prices * equalities + self.step / 2 * equalities**2).sum()
        if inequalities is None:
            return total
        pushed = torch.relu(slopes + self.step * inequalities)
        return total + ((pushed**2 - slopes**2) / (2 * self.step)).sum()

    @torch.no_grad()
    def ascend(self, equalities: Tensor, inequalities: Tensor | None = None, part: float = 1.0) -> None:
        """One step of the multipliers, after the optimiser's; several processes use the mean of their violations.

        Args:
            part: of the step that is made. An untrained network violates constraints in ways that say nothing.
        """
        step = part * self.step
        self.equality_multipliers += step * _mean_over_processes(equalities.detach())
        if inequalities is not None:
            pushed = self.inequality_multipliers + step * _mean_over_processes(inequalities.detach())
            self.inequality_multipliers.copy_(pushed.clamp(min=0))

    @torch.no_grad()
    def residuals(self, equalities: Tensor, inequalities: Tensor | None = None) -> KktResiduals:
        """Of the constraints' values, with the multipliers as they are."""
        if inequalities is None or not len(inequalities):
            return KktResiduals(_largest(equalities.abs()), 0.0, 0.0)
        products = (self.inequality_multipliers * inequalities).abs()
        return KktResiduals(_largest(equalities.abs()), _largest(inequalities.clamp(min=0)), _largest(products))


def _largest(values: Tensor) -> float:
    return float(values.max()) if values.numel() else 0.0


def _mean_over_processes(values: Tensor) -> Tensor:
    if not (distributed.is_available() and distributed.is_initialized()):
        return values
    total = values.clone()
    distributed.all_reduce(total)
    return total / distributed.get_world_size()
