"""Residual units that change the shape and carry the velocity of a momentum network across the change."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from momentumseg.errors import InputError
from momentumseg.networks.blocks.momentum_sequence import MomentumSequence, MomentumSettings, carried_velocity
from momentumseg.networks.blocks.normalization import convolution, normalization

BLOCKS = ("preactivation", "basic", "bottleneck")
_BOTTLENECK = 4


class ShapeChangingUnit(nn.Module):
    """x <- P x + f(x), with momentum v <- g W v + (1-g) f(x), x <- P x + v.

    P is the shortcut (1x1 convolution W, then a normalisation). Alone in its level a unit with v = 0 would only be a
    residual scaled by 1-g; so the velocity of the level before is carried through the same W, without bias and
    normalisation, which would make a velocity of rest.

    Args:
        body: f.
        shortcut: W.
        shortcut_norm: the rest of P.
        settings: momentum.
        ends_with_relu: the unit is relu(P x + f(x)), of which f is what it adds to P x.
    """

    def __init__(
        self,
        body: nn.Module,
        shortcut: nn.Conv2d | nn.Conv3d,
        shortcut_norm: nn.Module,
        settings: MomentumSettings,
        ends_with_relu: bool = False,
    ) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut
        self.shortcut_norm = shortcut_norm
        self.settings = settings
        self.ends_with_relu = ends_with_relu

    def forward(self, features: Tensor, velocity: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """x and v ``(B, C', ...)`` of x and v ``(B, C, ...)``; v is None without momentum or at rest."""
        kept = self.shortcut_norm(self.shortcut(features))
        branch = self.body(features)
        whole = torch.relu(kept + branch) if self.ends_with_relu else None
        if self.settings.momentum == 0:
            return (kept + branch if whole is None else whole), None
        if velocity is not None:
            bias = self.shortcut.bias
            velocity = self.shortcut(velocity)
            velocity = velocity if bias is None else velocity - bias.view(1, -1, *[1] * (velocity.ndim - 2))
        velocity = carried_velocity(velocity, branch if whole is None else whole - kept, self.settings)
        return kept + velocity, velocity


class _BasicBlock(nn.Module):
    """relu(x + body(x))."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(features + self.body(features))


class ResidualLevel(nn.Module):
    """One shape-changing unit and, where ``units`` is above 1, a momentum sequence of units that keep the shape.

    Args:
        inputs, outputs: channels.
        units: residual units of the level.
        settings: momentum and differentiation of the sequence.
        stride: of the first unit.
        norm: see :func:`normalization`.
        block: "preactivation" (norm, ReLU, 3x3, twice), "basic" (3x3, norm, ReLU, 3x3, norm; ReLU after the sum) or
            "bottleneck" (pre-activated 1x1, 3x3, 1x1 with a quarter of the channels within).
        dimensions: 2 or 3.
        raw: the input is an image: the first normalisation and ReLU are left out.

    Raises:
        InputError: unknown block, or fewer than one unit.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        units: int,
        settings: MomentumSettings,
        *,
        stride: int = 1,
        norm: str = "batch",
        block: str = "preactivation",
        dimensions: int = 2,
        raw: bool = False,
    ) -> None:
        super().__init__()
        if block not in BLOCKS:
            raise InputError(f"There is no residual block {block!r}; choose one of {', '.join(BLOCKS)}.")
        if units < 1:
            raise InputError(f"A level has {units} residual units; choose at least 1.")
        build = {"preactivation": _preactivation, "basic": _basic, "bottleneck": _bottleneck}[block]
        ends_with_relu = block == "basic"
        shortcut = convolution(inputs, outputs, 1, stride=stride, dimensions=dimensions)
        shortcut_norm = normalization(norm, outputs, dimensions)
        body = build(inputs, outputs, stride, norm, dimensions, raw)
        self.first = ShapeChangingUnit(body, shortcut, shortcut_norm, settings, ends_with_relu)
        bodies = [build(outputs, outputs, 1, norm, dimensions, False) for _ in range(units - 1)]
        more: Sequence[nn.Module] = [_BasicBlock(body) for body in bodies] if ends_with_relu else bodies
        self.more = MomentumSequence(more, settings, of_blocks=ends_with_relu)

    def forward(self, features: Tensor, velocity: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """x and v at the end of the level."""
        return self.more.advance(*self.first(features, velocity))


def _preactivation(inputs: int, outputs: int, stride: int, norm: str, dimensions: int, raw: bool) -> nn.Sequential:
    before: list[nn.Module] = [] if raw else [normalization(norm, inputs, dimensions), nn.ReLU()]
    return nn.Sequential(
        *before,
        convolution(inputs, outputs, stride=stride, dimensions=dimensions),
        normalization(norm, outputs, dimensions),
        nn.ReLU(),
        convolution(outputs, outputs, dimensions=dimensions),
    )


def _basic(inputs: int, outputs: int, stride: int, norm: str, dimensions: int, raw: bool) -> nn.Sequential:
    return nn.Sequential(
        convolution(inputs, outputs, stride=stride, dimensions=dimensions),
        normalization(norm, outputs, dimensions),
        nn.ReLU(),
        convolution(outputs, outputs, dimensions=dimensions),
        normalization(norm, outputs, dimensions),
    )


def _bottleneck(inputs: int, outputs: int, stride: int, norm: str, dimensions: int, raw: bool) -> nn.Sequential:
    inner = max(1, outputs // _BOTTLENECK)
    before: list[nn.Module] = [] if raw else [normalization(norm, inputs, dimensions), nn.ReLU()]
    return nn.Sequential(
        *before,
        convolution(inputs, inner, 1, dimensions=dimensions),
        normalization(norm, inner, dimensions),
        nn.ReLU(),
        convolution(inner, inner, stride=stride, dimensions=dimensions),
        normalization(norm, inner, dimensions),
        nn.ReLU(),
        convolution(inner, outputs, 1, dimensions=dimensions),
    )
