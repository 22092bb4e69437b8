"""MobileNetV2 classifier, plain and with momentum.

Source: Sandler et al., "MobileNetV2: Inverted residuals and linear bottlenecks", CVPR 2018. Parameter names are those
of the published ImageNet file, which fits in every tensor but a classifier of another number of classes.
"""

from __future__ import annotations

from itertools import groupby
from typing import cast

from torch import Tensor, nn

from momentumseg.errors import InputError
from momentumseg.networks.blocks.momentum_sequence import AUTOMATIC, MomentumSettings, momentum_chain
from momentumseg.networks.registry import register_classifier

_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
_STEM, _LAST = 32, 1280


class InvertedResidual(nn.Module):
    """Expand 1x1, depth-wise 3x3, project 1x1 without activation; ``is_residual`` where the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.is_residual = stride == 1 and inputs == outputs
        expand = [] if expansion == 1 else [_convolution(inputs, hidden, 1)]
        depth_wise = _convolution(hidden, hidden, 3, stride, groups=hidden)
        self.conv = nn.Sequential(
            *expand, depth_wise, nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        )

    def forward(self, features: Tensor) -> Tensor:
        """The branch; whoever runs the block adds x where it is residual."""
        return cast(Tensor, self.conv(features))


@register_classifier("mobilenet_v2")
class MobileNetV2(nn.Module):
    """Classifier of images; residual blocks behind each other (1, 2, 3, 2, 2) are the momentum sequences.

    Args:
        in_channels: of the images.
        classes: number of logits.
        dropout: before the classifier, in training.
        momentum, differentiation: see :class:`MomentumSettings`.

    Raises:
        InputError: a number of channels or classes below 1.
    """

    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 1000,
        *,
        dropout: float = 0.2,
        momentum: float = 0.0,
        differentiation: str = AUTOMATIC,
    ) -> None:
        super().__init__()
        if in_channels < 1 or classes < 1:
            raise InputError(
                f"A classifier needs channels and classes, not {in_channels} and {classes}; choose 1 or more."
            )
        self.settings = MomentumSettings(momentum, differentiation)
        features: list[nn.Module] = [_convolution(in_channels, _STEM, 3, stride=2)]
        inputs = _STEM
        for expansion, outputs, repeats, stride in _STAGES:
            for index in range(repeats):
                features.append(InvertedResidual(inputs, outputs, stride if index == 0 else 1, expansion))
                inputs = outputs
        features.append(_convolution(inputs, _LAST, 1))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(_LAST, classes))

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, classes)`` of images ``(B, in_channels, H, W)``."""
        features = images
        for residual, group in groupby(self.features, key=lambda block: getattr(block, "is_residual", False)):
            if residual:
                features, _ = momentum_chain(list(group), features, settings=self.settings)
            else:
                for block in group:
                    features = block(features)
        return cast(Tensor, self.classifier(features.mean(dim=(2, 3))))


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(inplace=True),
    )
