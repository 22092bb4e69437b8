"""Momentum residual sequences, which can be differentiated without storing what is inside them.

Sources: Biswas et al., "A novel momentum-based deep learning technique ...", eq. 1-5; Sander et al., "Momentum residual
neural networks", ICML 2021. The ways to differentiate are in :mod:`momentumseg.networks.blocks.momentum_gradients`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from momentumseg.errors import InputError
from momentumseg.networks.blocks.momentum_gradients import CHECKPOINT, LOOP, REVERSIBLE, WAYS, Chain, run_chain

_log = logging.getLogger(__name__)

AUTOMATIC = "automatic"
DIFFERENTIATIONS = (AUTOMATIC, *WAYS)

# The inverse divides by the momentum in every block: decimal digits that it loses, and that single precision can spare.
SAFE_DIGITS = 2.0
MOST_DIGITS = 4.0


@dataclass(frozen=True)
class MomentumSettings:
    """How residual sequences of a network run.

    Attributes:
        momentum: g in [0, 1); 0 is the ordinary residual network.
        differentiation: "autograd" stores everything, "reversible" stores the sequence's end and computes backwards,
            "checkpoint" stores every block's input; "automatic" is reversible where the inverse is accurate
            (n log10(1/g) <= 2), else checkpoint; at g = 0 it is autograd.

    Raises:
        InputError: g outside [0, 1), another word, or reversible without momentum.
    """

    momentum: float = 0.0
    differentiation: str = AUTOMATIC

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            raise InputError(
                f"The momentum is {self.momentum}; choose 0 (none) or more, below 1 (where no block has an effect)."
            )
        if self.differentiation not in DIFFERENTIATIONS:
            raise InputError(
                f"There is no differentiation {self.differentiation!r}; choose one of {', '.join(DIFFERENTIATIONS)}."
            )
        if self.differentiation == REVERSIBLE and self.momentum == 0:
            raise InputError(
                "Without momentum a residual network has no inverse; choose a momentum above 0 or 'autograd'."
            )

    def way(self, count: int) -> str:
        """The way in which a sequence of ``count`` blocks is differentiated.

        Raises:
            InputError: reversible was asked for, but the inverse of so many blocks would be noise.
        """
        digits = lost_digits(count, self.momentum)
        if self.differentiation == AUTOMATIC:
            if self.momentum == 0:
                return LOOP
            return REVERSIBLE if digits <= SAFE_DIGITS else CHECKPOINT
        if self.differentiation == REVERSIBLE and digits > MOST_DIGITS:
            raise InputError(
                f"{count} blocks with momentum {self.momentum} cannot be computed backwards accurately; "
                "choose differentiation = 'automatic' or a momentum nearer to 1."
            )
        if self.differentiation == REVERSIBLE and digits > SAFE_DIGITS:
            _log.warning("the inverse of %d blocks with momentum %g loses %.1f digits", count, self.momentum, digits)
        return self.differentiation


def carried_velocity(velocity: Tensor | None, branch: Tensor, settings: MomentumSettings) -> Tensor:
    """g v + (1-g) f of one step outside a sequence, in float32 at least; ``velocity`` None is zero."""
    wide = branch.float() if branch.dtype in (torch.float16, torch.bfloat16) else branch
    pushed = (1 - settings.momentum) * wide
    return pushed if velocity is None else pushed + settings.momentum * velocity


def lost_digits(count: int, momentum: float) -> float:
    """n log10(1/g): decimal digits that the inverse of n blocks loses; infinite at g = 0."""
    return count * math.log10(1 / momentum) if momentum > 0 else math.inf


def momentum_chain(
    blocks: Sequence[nn.Module],
    features: Tensor,
    velocity: Tensor | None = None,
    *,
    settings: MomentumSettings,
    of_blocks: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """``v <- g v + (1-g) f(x)``, ``x <- x + v`` for each block (eq. 2, 3).

    The state (x, v) is in double precision within, and leaves in that of the features, under autocast in float32 at
    least; the blocks alone run in half precision.

    Args:
        blocks: f of each step; must keep the shape and not write into their input.
        features: x ``(B, C, ...)``.
        velocity: v at the start, of x's shape; None is zero.
        of_blocks: each module is a whole block, x + f(x) in one, as with a ReLU after the sum; f(x) = block(x) - x.

    Returns:
        x and v at the end; v is None without momentum, where nobody needs it.
    """
    if not blocks:
        return features, velocity
    chain = Chain(tuple(blocks), settings.momentum, of_blocks)
    return run_chain(chain, features, velocity, settings.way(len(blocks)))


class MomentumSequence(nn.Sequential):
    """Residual blocks run as a momentum sequence; parameter names are those of ``nn.Sequential``.

    Args:
        blocks: see :func:`momentum_chain`.
        settings: momentum and differentiation.
        lead: this many modules at the front are applied plainly, ``x <- block(x)``, because they change the shape;
            the sequence begins after them with v = 0.
        of_blocks: the modules are whole blocks, not branches.
    """

    def __init__(
        self,
        blocks: Iterable[nn.Module],
        settings: MomentumSettings | None = None,
        *,
        lead: int = 0,
        of_blocks: bool = False,
    ) -> None:
        super().__init__(*blocks)
        self.settings = settings or MomentumSettings()
        self.lead = lead
        self.of_blocks = of_blocks
        if len(self) > lead:
            self.settings.way(len(self) - lead)  # what cannot run is refused when the network is built

    def forward(self, features: Tensor) -> Tensor:
        """x ``(B, C, ...)`` after all blocks, from v = 0."""
        return self.advance(features)[0]

    def advance(self, features: Tensor, velocity: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """x and v after all blocks; see :func:`momentum_chain`."""
        modules = list(self)
        for block in modules[: self.lead]:
            features, velocity = block(features), None
        return momentum_chain(
            modules[self.lead :], features, velocity, settings=self.settings, of_blocks=self.of_blocks
        )

    @torch.no_grad()
    def inverse(self, features: Tensor, velocity: Tensor) -> tuple[Tensor, Tensor]:
        """x and v before the blocks, of x and v after them (eq. 4, 5), without the leading ones.

        Raises:
            InputError: no momentum, so no inverse.
        """
        if self.settings.momentum == 0:
            raise InputError("Without momentum a residual network has no inverse; choose a momentum above 0.")
        chain = Chain(tuple(list(self)[self.lead :]), self.settings.momentum, self.of_blocks)
        for index in reversed(range(len(chain.blocks))):
            features = features - velocity
            velocity = chain.velocity_before(velocity, chain.branch(index, features))
        return features, velocity
