"""PVTFormer, plain and with momentum.

Source: Jha et al., "CT liver segmentation via PVT-based encoding and refined decoding", ISBI 2024. The fourth stage of
the encoder is left out: the paper does not use its features.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from momentumseg.networks.backbones.pvt_v2 import PvtV2B3
from momentumseg.networks.blocks.decoder_units import ConvolutionUnit, DecoderUnit
from momentumseg.networks.blocks.momentum_sequence import AUTOMATIC, MomentumSettings
from momentumseg.networks.blocks.normalization import enlarged
from momentumseg.networks.registry import register_segmentation
from momentumseg.networks.segmentation import SegmentationNetwork

_WIDTH = 64
_STAGES = 3


class _UpUnit(nn.Module):
    """Enlarged, then a residual unit."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.unit = DecoderUnit(_WIDTH, _WIDTH)

    def forward(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.unit(enlarged(features, self.factor)))


@register_segmentation("pvtformer")
class PvtFormer(SegmentationNetwork):
    """PVT v2 B3 up to stride 16, decoded in steps and, from each stride, at once; all joined at full size.

    Momentum: the sequences of the encoder (6, 8 and 36 branches); the decoder's units change channels and stay plain.

    Args:
        in_channels, classes: channels of images and logits.
        drop_path: of the encoder, in training.
        momentum, differentiation: see :class:`MomentumSettings`.
    """

    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 1,
        *,
        drop_path: float = 0.1,
        momentum: float = 0.0,
        differentiation: str = AUTOMATIC,
    ) -> None:
        super().__init__(in_channels, classes)
        self.encoder = PvtV2B3(MomentumSettings(momentum, differentiation), in_channels, _STAGES, drop_path)
        self.reduce = nn.ModuleList(ConvolutionUnit(width, _WIDTH, 1) for width in self.encoder.channels)
        self.decoder = nn.ModuleList(DecoderUnit(2 * _WIDTH, _WIDTH) for _ in range(_STAGES - 1))
        self.stepwise = _UpUnit(4)
        self.at_once = nn.ModuleList(_UpUnit(factor) for factor in (4, 8, 16))
        self.join = DecoderUnit((_STAGES + 1) * _WIDTH, _WIDTH)
        self.head = nn.Conv2d(_WIDTH, classes, 1)

    def encode(self, images: Tensor) -> list[Tensor]:
        """Encoder features at strides 4, 8 and 16."""
        return cast("list[Tensor]", self.encoder(self.checked(images)))

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, classes, H, W)`` of images ``(B, in_channels, H, W)``."""
        reduced = [unit(features) for unit, features in zip(self.reduce, self.encode(images), strict=True)]
        features = reduced[-1]
        for unit, skip in zip(self.decoder, reversed(reduced[:-1]), strict=True):
            features = unit(torch.cat([enlarged(features, 2), skip], dim=1))
        large = [self.stepwise(features), *(up(part) for up, part in zip(self.at_once, reduced, strict=True))]
        return cast(Tensor, self.head(self.join(torch.cat(large, dim=1))))
