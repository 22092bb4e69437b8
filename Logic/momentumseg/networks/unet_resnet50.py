"""U-Net on ResNet-50, the network of LVM-Med's end-to-end fine-tuning.

Source: Nguyen et al., "LVM-Med", NeurIPS 2023, section on downstream tasks. Parameter names of encoder and decoder are
those of the widely used layout ``encoder.*``, ``decoder.blocks.N.*``, ``segmentation_head.0.*``, so that fine-tuned
files of others fit too. LVM-Med's weights may not be shipped or fetched: the user gives the file, which
``load_backbone_weights(network.encoder, file)`` reads (plain ResNet-50 names, with or without ``fc``).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from momentumseg.networks.backbones.resnet50 import ResNet50Encoder
from momentumseg.networks.blocks.momentum_sequence import AUTOMATIC, MomentumSettings
from momentumseg.networks.registry import register_segmentation
from momentumseg.networks.segmentation import SegmentationNetwork

_WIDTHS = (256, 128, 64, 32, 16)


class _DecoderBlock(nn.Module):
    """Doubled (nearest), joined with the skip, two 3x3 convolutions."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = _convolution(inputs, outputs)
        self.conv2 = _convolution(outputs, outputs)

    def forward(self, features: Tensor, skip: Tensor | None) -> Tensor:
        features = functional.interpolate(features, scale_factor=2.0, mode="nearest")
        if skip is not None:
            features = torch.cat([features, skip], dim=1)
        return cast(Tensor, self.conv2(self.conv1(features)))


class _Decoder(nn.Module):
    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        deep = (channels[-1], *_WIDTHS)
        skips = (*reversed(channels[:-1]), 0)
        inputs = [a + b for a, b in zip(deep, skips, strict=False)]
        self.blocks = nn.ModuleList(_DecoderBlock(a, b) for a, b in zip(inputs, _WIDTHS, strict=True))

    def forward(self, features: list[Tensor]) -> Tensor:
        deep, *skips = reversed(features)
        for block, skip in zip(self.blocks, [*skips, None], strict=True):
            deep = block(deep, skip)
        return deep


@register_segmentation("unet_resnet50")
class UNetResNet50(SegmentationNetwork):
    """U-Net whose encoder is ResNet-50.

    Momentum: the sequences of the encoder (2, 3, 5 and 2 blocks); the decoder has no residual blocks.

    Args:
        in_channels, classes: channels of images and logits.
        momentum, differentiation: see :class:`MomentumSettings`.
    """

    def __init__(
        self, in_channels: int = 3, classes: int = 1, *, momentum: float = 0.0, differentiation: str = AUTOMATIC
    ) -> None:
        super().__init__(in_channels, classes)
        self.encoder = ResNet50Encoder(MomentumSettings(momentum, differentiation), in_channels)
        self.decoder = _Decoder(self.encoder.channels)
        self.segmentation_head = nn.Sequential(nn.Conv2d(_WIDTHS[-1], classes, 3, padding=1))

    def encode(self, images: Tensor) -> list[Tensor]:
        """Encoder features at strides 2, 4, 8, 16 and 32."""
        return cast("list[Tensor]", self.encoder(self.checked(images)))

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, classes, H, W)`` of images ``(B, in_channels, H, W)``."""
        return cast(Tensor, self.segmentation_head(self.decoder(self.encode(images))))


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )
