"""ResUNet, in two or three dimensions, plain and with momentum.

Source: Zhang et al., "Road extraction by deep residual U-Net", IEEE GRSL 2018; the defaults are its network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from momentumseg.errors import InputError
from momentumseg.networks.blocks.momentum_sequence import AUTOMATIC, MomentumSettings
from momentumseg.networks.blocks.normalization import convolution, enlarged
from momentumseg.networks.blocks.residual_units import ResidualLevel
from momentumseg.networks.registry import register_segmentation
from momentumseg.networks.segmentation import SegmentationNetwork


@register_segmentation("resunet")
class ResUNet(SegmentationNetwork):
    """U-Net of residual units; with momentum the velocity takes the same way as the features.

    It is enlarged, concatenated and projected with them, so that momentum has an effect also with one unit a level.

    Args:
        in_channels, classes: channels of images and logits.
        dimensions: 2 or 3.
        widths: channels of the levels, finest first.
        units: residual units of each level; those beyond the first keep the shape and form the momentum sequences.
        norm: "batch", "instance", "group", "layer" or "none".
        block: "preactivation", "basic" or "bottleneck".
        momentum, differentiation: see :class:`MomentumSettings`.

    Raises:
        InputError: unknown words, or fewer than two levels.
    """

    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 1,
        *,
        dimensions: int = 2,
        widths: Sequence[int] = (64, 128, 256, 512),
        units: int = 1,
        norm: str = "batch",
        block: str = "preactivation",
        momentum: float = 0.0,
        differentiation: str = AUTOMATIC,
    ) -> None:
        super().__init__(in_channels, classes)
        if dimensions not in (2, 3):
            raise InputError(f"There is no ResUNet for {dimensions}D images; choose 2 or 3.")
        if len(widths) < 2 or min(widths) < 1:
            raise InputError(f"The ResUNet has widths {list(widths)}; give at least two numbers above 0.")
        self.dimensions = dimensions
        self.divisor = 2 ** (len(widths) - 1)
        settings = MomentumSettings(momentum, differentiation)

        def level(inputs: int, outputs: int, stride: int = 1, raw: bool = False) -> ResidualLevel:
            return ResidualLevel(
                inputs, outputs, units, settings, stride=stride, norm=norm, block=block, dimensions=dimensions, raw=raw
            )

        self.encoder = nn.ModuleList([level(in_channels, widths[0], raw=True)])
        self.encoder.extend(level(a, b, stride=2) for a, b in zip(widths, widths[1:], strict=False))
        self.decoder = nn.ModuleList(level(b + a, a) for a, b in reversed(list(zip(widths, widths[1:], strict=False))))
        self.head = convolution(widths[0], classes, 1, dimensions=dimensions)

    def encode(self, images: Tensor) -> list[Tensor]:
        """Features of the levels, finest first."""
        return [features for features, _ in self._levels(self.checked(images))]

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, classes, *S)`` of images ``(B, in_channels, *S)``."""
        levels = self._levels(self.checked(images))
        features, velocity = levels.pop()
        for level, (skip, skip_velocity) in zip(self.decoder, reversed(levels), strict=True):
            features = torch.cat([enlarged(features, 2), skip], dim=1)
            if velocity is not None and skip_velocity is not None:
                velocity = torch.cat([enlarged(velocity, 2), skip_velocity], dim=1)
            features, velocity = level(features, velocity)
        return cast(Tensor, self.head(features))

    def _levels(self, images: Tensor) -> list[tuple[Tensor, Tensor | None]]:
        found: list[tuple[Tensor, Tensor | None]] = []
        features, velocity = images, None
        for level in self.encoder:
            features, velocity = level(features, velocity)
            found.append((features, velocity))
        return found
