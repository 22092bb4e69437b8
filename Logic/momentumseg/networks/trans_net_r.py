"""TransNetR, plain and with momentum.

Source: Jha et al., "TransNetR: Transformer-based residual network for polyp segmentation", MIDL 2023. Different from
the published code: its attention ran across the images of a batch, with tokens for one image size; here each image's
patches are the tokens, and any size divisible by 32 can be used. Its fourth encoder stage, never used, is absent.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from momentumseg.networks.backbones.resnet50 import ResNet50Encoder
from momentumseg.networks.blocks.decoder_units import ConvolutionUnit, DecoderUnit
from momentumseg.networks.blocks.momentum_sequence import AUTOMATIC, MomentumSettings
from momentumseg.networks.blocks.normalization import enlarged
from momentumseg.networks.registry import register_segmentation
from momentumseg.networks.segmentation import SegmentationNetwork

_WIDTH = 64
_LEAK = 0.1


class ResidualTransformerUnit(nn.Module):
    """3x3 convolution, transformer over patches, 1x1 convolution, projected skip; then a residual unit.

    Args:
        inputs, outputs: channels.
        tokens: width of the transformer.
        patch: pixels of a patch's side; sides of the map must be multiples of it.
        heads, layers: of the transformer.
    """

    def __init__(self, inputs: int, outputs: int, tokens: int, patch: int = 4, heads: int = 4, layers: int = 2) -> None:
        super().__init__()
        self.patch = patch
        self.before = ConvolutionUnit(inputs, outputs, leak=_LEAK)
        self.embed = nn.Linear(outputs * patch**2, tokens)
        layer = nn.TransformerEncoderLayer(tokens, heads, batch_first=True)
        self.transformer = nn.TransformerEncoder(layer, layers)
        self.restore = nn.Linear(tokens, outputs * patch**2)
        self.after = ConvolutionUnit(outputs, outputs, 1, linear=True)
        self.skip = ConvolutionUnit(inputs, outputs, 1, linear=True)
        self.unit = DecoderUnit(outputs, outputs, _LEAK)

    def forward(self, features: Tensor) -> Tensor:
        """``(B, outputs, H, W)`` of features ``(B, inputs, H, W)``."""
        hidden = self.before(features)
        patches = functional.pixel_unshuffle(hidden, self.patch)
        tokens = self.transformer(self.embed(patches.flatten(2).transpose(1, 2)))
        mixed = self.restore(tokens).transpose(1, 2).reshape(patches.shape)
        mixed = self.after(functional.pixel_shuffle(mixed, self.patch))
        return cast(Tensor, self.unit(functional.leaky_relu(mixed + self.skip(features), _LEAK)))


@register_segmentation("transnetr")
class TransNetR(SegmentationNetwork):
    """ResNet-50 up to stride 16, and a decoder of 64 channels with two transformer units.

    Momentum: the sequences of the encoder (2, 3 and 5 blocks); the decoder's units change channels and stay plain.

    Args:
        in_channels, classes: channels of images and logits.
        momentum, differentiation: see :class:`MomentumSettings`.
    """

    def __init__(
        self, in_channels: int = 3, classes: int = 1, *, momentum: float = 0.0, differentiation: str = AUTOMATIC
    ) -> None:
        super().__init__(in_channels, classes)
        self.encoder = ResNet50Encoder(MomentumSettings(momentum, differentiation), in_channels, stages=3)
        self.reduce = nn.ModuleList(ConvolutionUnit(width, _WIDTH, 1, _LEAK) for width in self.encoder.channels)
        self.decoder = nn.ModuleList(
            [
                ResidualTransformerUnit(2 * _WIDTH, _WIDTH, tokens=64),
                ResidualTransformerUnit(2 * _WIDTH, _WIDTH, tokens=256),
                DecoderUnit(2 * _WIDTH, _WIDTH, _LEAK),
            ]
        )
        self.head = nn.Conv2d(_WIDTH, classes, 1)

    def encode(self, images: Tensor) -> list[Tensor]:
        """Encoder features at strides 2, 4, 8 and 16."""
        return cast("list[Tensor]", self.encoder(self.checked(images)))

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, classes, H, W)`` of images ``(B, in_channels, H, W)``."""
        reduced = [unit(features) for unit, features in zip(self.reduce, self.encode(images), strict=True)]
        features = reduced.pop()
        for unit, skip in zip(self.decoder, reversed(reduced), strict=True):
            features = unit(torch.cat([enlarged(features, 2, aligned=True), skip], dim=1))
        return cast(Tensor, self.head(enlarged(features, 2, aligned=True)))
