"""CMAformer, in the layout its paper describes.

Source: Zheng et al., "Lagrange duality and compound multi-attention transformer for semi-supervised medical image
segmentation", 2024. Different from the published code: attention runs over an image's places and not over the batch,
tokens return to their own places, and sizes are not built in.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from momentumseg.errors import InputError
from momentumseg.networks.blocks.atrous_pyramid import JoinedAtrousPyramid
from momentumseg.networks.blocks.normalization import convolution, enlarged
from momentumseg.networks.blocks.squeeze_excitation import SqueezeExcitation
from momentumseg.networks.blocks.token_attention import CrossScaleAttention, DecoderLayer, EncoderLayer
from momentumseg.networks.registry import register_segmentation
from momentumseg.networks.segmentation import SegmentationNetwork

GATES = ("additive", "qkv")
_REDUCTION = 16


class _PatchEmbedding(nn.Module):
    """Strided 3x3 convolution, x sigmoid(depth-wise 3x3 x) for the places, layer norm over the channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.project = convolution(inputs, outputs, stride=2)
        self.place = nn.Conv2d(outputs, outputs, 3, padding=1, groups=outputs)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, features: Tensor) -> Tensor:
        features = self.project(features)
        features = features * torch.sigmoid(self.place(features))
        return cast(Tensor, self.norm(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))


class _ResidualConvolution(nn.Module):
    """Pre-activated 3x3 twice, plus a normalised 3x3 of the input."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(_preactivated(inputs, outputs, stride=stride), _preactivated(outputs, outputs))
        self.shortcut = nn.Sequential(convolution(inputs, outputs, stride=stride), nn.BatchNorm2d(outputs))

    def forward(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.body(features) + self.shortcut(features))


class _Stem(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(convolution(inputs, outputs), _preactivated(outputs, outputs))
        self.shortcut = convolution(inputs, outputs)

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.body(images) + self.shortcut(images))


class _Stage(nn.Sequential):
    """Patch embedding, channel attention, residual convolution."""

    def __init__(self, inputs: int, embedded: int, outputs: int, stride: int) -> None:
        super().__init__(
            _PatchEmbedding(inputs, embedded),
            SqueezeExcitation(embedded, _REDUCTION),
            _ResidualConvolution(embedded, outputs, stride),
        )


class _AdditiveGate(nn.Module):
    """Weights for x from x and the skip: 1x1 of (3x3 of skip + 3x3 of x), all pre-activated."""

    def __init__(self, skip: int, channels: int) -> None:
        super().__init__()
        self.of_skip = _preactivated(skip, channels)
        self.of_deep = _preactivated(channels, channels)
        self.of_both = _preactivated(channels, channels, kernel=1)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        return cast(Tensor, self.of_both(self.of_skip(skip) + self.of_deep(features)) * features)


@register_segmentation("cmaformer")
class CmaFormer(SegmentationNetwork):
    """Residual convolutions with channel attention, a transformer at stride 32, and cross-attention on the way up.

    Args:
        in_channels, classes: channels of images and logits.
        width: channels of the stem; the stages have 4, 16 and 32 times as many.
        layers: of the transformer's encoder and of its decoder.
        heads: of each attention.
        gate: cross-attention between scales, "additive" (the published code) or "qkv" (the paper's text).
        relative_position: add a learned bias for the distance of two places, which starts at zero.

    Raises:
        InputError: another gate, or heads that do not divide the channels.
    """

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 3,
        *,
        width: int = 16,
        layers: int = 3,
        heads: int = 8,
        gate: str = "additive",
        relative_position: bool = False,
    ) -> None:
        super().__init__(in_channels, classes)
        if gate not in GATES:
            raise InputError(f"There is no cross-attention {gate!r}; choose one of {', '.join(GATES)}.")
        w2, w3, w4 = 4 * width, 16 * width, 32 * width
        self.stem = _Stem(in_channels, width)
        self.stages = nn.ModuleList(
            [
                _Stage(width, 2 * width, w2, 2),
                _Stage(w2, 8 * width, w3, 2),
                _Stage(w3, w4, w4, 1),
            ]
        )
        self.encoder_layers = nn.ModuleList(EncoderLayer(w4, heads, relative_position) for _ in range(layers))
        self.bridge = JoinedAtrousPyramid(w4, w4)
        self.decoder_layers = nn.ModuleList(DecoderLayer(w4, heads, relative_position) for _ in range(layers))

        def build_gate(skip: int, channels: int) -> nn.Module:
            return CrossScaleAttention(channels, skip, heads) if gate == "qkv" else _AdditiveGate(skip, channels)

        self.gates = nn.ModuleList([build_gate(w4, w4), build_gate(w3, w3), build_gate(w2, 8 * width)])
        self.decoder = nn.ModuleList(
            [
                _ResidualConvolution(w4 + w3, w3),
                _ResidualConvolution(w3 + w2, 8 * width),
                _ResidualConvolution(8 * width + width, 2 * width),
            ]
        )
        self.pyramid = JoinedAtrousPyramid(2 * width, width)
        self.head = nn.Conv2d(width, classes, 1)

    def encode(self, images: Tensor) -> list[Tensor]:
        """Features at strides 1, 4, 16 and 32."""
        found = [self.stem(self.checked(images))]
        for stage in self.stages:
            found.append(stage(found[-1]))
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, classes, H, W)`` of images ``(B, in_channels, H, W)``."""
        x1, x2, x3, x4 = self.encode(images)
        features = self.gates[0](self._transformed(x4), x4)
        features = self.decoder[0](torch.cat([enlarged(features, 2), x3], dim=1))
        features = self.gates[1](features, x3)
        features = self.decoder[1](torch.cat([enlarged(features, 4), x2], dim=1))
        features = self.gates[2](features, x2)
        features = self.decoder[2](torch.cat([enlarged(features, 4), x1], dim=1))
        return cast(Tensor, self.head(self.pyramid(features)))

    def _transformed(self, features: Tensor) -> Tensor:
        """Encoder, bridge and decoder of the transformer, ``(B, C, h, w)``."""
        tokens = features.permute(0, 2, 3, 1)
        for layer in self.encoder_layers:
            tokens = layer(tokens)
        memory = tokens
        tokens = self.bridge(tokens.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        for layer in self.decoder_layers:
            tokens = layer(tokens, memory)
        return tokens.permute(0, 3, 1, 2).contiguous()


def _preactivated(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), convolution(inputs, outputs, kernel, stride=stride))
