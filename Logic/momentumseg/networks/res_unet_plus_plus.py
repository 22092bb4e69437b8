"""ResUNet++, plain and with momentum.

Source: Jha et al., "ResUNet++: An advanced architecture for medical image segmentation", ISM 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from momentumseg.errors import InputError
from momentumseg.networks.blocks.atrous_pyramid import SummedAtrousPyramid
from momentumseg.networks.blocks.momentum_sequence import AUTOMATIC, MomentumSettings
from momentumseg.networks.blocks.residual_units import ResidualLevel
from momentumseg.networks.blocks.squeeze_excitation import SqueezeExcitation
from momentumseg.networks.registry import register_segmentation
from momentumseg.networks.segmentation import SegmentationNetwork


class _Level(nn.Module):
    """A residual level whose result is weighted by channel attention; features and velocity alike."""

    def __init__(
        self, inputs: int, outputs: int, units: int, settings: MomentumSettings, stride: int, raw: bool
    ) -> None:
        super().__init__()
        self.level = ResidualLevel(inputs, outputs, units, settings, stride=stride, raw=raw)
        self.attention = SqueezeExcitation(outputs)

    def forward(self, features: Tensor, velocity: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        features, velocity = self.level(features, velocity)
        weights = self.attention.weights(features)
        return features * weights, None if velocity is None else velocity * weights


class _AttentionGate(nn.Module):
    """Weights for the deeper map x from the skip s: 3x3 of (pooled 3x3 of s + 3x3 of x), pre-activated."""

    def __init__(self, skip: int, deep: int) -> None:
        super().__init__()
        self.of_skip = nn.Sequential(_preactivated(skip, deep), nn.MaxPool2d(2))
        self.of_deep = _preactivated(deep, deep)
        self.of_both = _preactivated(deep, deep)

    def forward(self, skip: Tensor, deep: Tensor) -> Tensor:
        """``(B, deep, h, w)`` of skip ``(B, skip, 2h, 2w)`` and deep ``(B, deep, h, w)``."""
        weights: Tensor = self.of_both(self.of_skip(skip) + self.of_deep(deep))
        return weights


@register_segmentation("resunet++")
class ResUNetPlusPlus(SegmentationNetwork):
    """Residual U-Net with channel attention, dilated pyramids at both ends of the decoder, and attention gates.

    The velocity starts at zero behind a pyramid, which is no residual block; in the decoder it is gated, enlarged and
    concatenated with the features.

    Args:
        in_channels, classes: channels of images and logits.
        widths: channels of the four encoder levels; the pyramid behind them has twice the last.
        units: residual units of each level; the paper has one.
        momentum, differentiation: see :class:`MomentumSettings`.

    Raises:
        InputError: not four widths.
    """

    divisor = 8

    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 1,
        *,
        widths: Sequence[int] = (16, 32, 64, 128),
        units: int = 1,
        momentum: float = 0.0,
        differentiation: str = AUTOMATIC,
    ) -> None:
        super().__init__(in_channels, classes)
        if len(widths) != 4 or min(widths) < 1:
            raise InputError(f"ResUNet++ has four levels; give four widths instead of {list(widths)}.")
        settings = MomentumSettings(momentum, differentiation)
        w1, w2, w3, w4 = widths
        self.encoder = nn.ModuleList(
            [
                _Level(in_channels, w1, units, settings, stride=1, raw=True),
                _Level(w1, w2, units, settings, stride=2, raw=False),
                _Level(w2, w3, units, settings, stride=2, raw=False),
                _Level(w3, w4, units, settings, stride=2, raw=False),
            ]
        )
        self.bridge = SummedAtrousPyramid(w4, 2 * w4)
        skips, deeps, outputs = (w3, w2, w1), (2 * w4, w4, w3), (w4, w3, w2)
        self.gates = nn.ModuleList(_AttentionGate(*pair) for pair in zip(skips, deeps, strict=True))
        self.decoder = nn.ModuleList(
            _Level(skip + deep, output, units, settings, stride=1, raw=False)
            for skip, deep, output in zip(skips, deeps, outputs, strict=True)
        )
        self.pyramid = SummedAtrousPyramid(w2, w1)
        self.head = nn.Conv2d(w1, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, classes, H, W)`` of images ``(B, in_channels, H, W)``."""
        levels = self._levels(self.checked(images))
        features, _ = levels.pop()
        features, velocity = self.bridge(features), None
        for gate, level, (skip, skip_velocity) in zip(self.gates, self.decoder, reversed(levels), strict=True):
            weights = gate(skip, features)
            moved = None if skip_velocity is None else _joined(velocity, weights, skip_velocity)
            features, velocity = level(torch.cat([_doubled(features * weights), skip], dim=1), moved)
        return cast(Tensor, self.head(self.pyramid(features)))

    def _levels(self, images: Tensor) -> list[tuple[Tensor, Tensor | None]]:
        found: list[tuple[Tensor, Tensor | None]] = []
        features, velocity = images, None
        for level in self.encoder:
            features, velocity = level(features, velocity)
            found.append((features, velocity))
        return found


def _joined(velocity: Tensor | None, weights: Tensor, skip_velocity: Tensor) -> Tensor:
    """The velocity on its way through gate, enlargement and concatenation; None is at rest."""
    deep = torch.zeros_like(weights) if velocity is None else velocity * weights
    return torch.cat([_doubled(deep), skip_velocity], dim=1)


def _doubled(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=2.0, mode="nearest")


def _preactivated(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, outputs, 3, padding=1))
