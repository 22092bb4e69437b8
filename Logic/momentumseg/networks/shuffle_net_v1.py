"""ShuffleNet (V1) classifier, plain and with momentum.

Source: Zhang et al., "ShuffleNet: An extremely efficient convolutional neural network for mobile devices", CVPR 2018.
ShuffleNet V2 concatenates instead of adding and can have no momentum. No published weights are used.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from momentumseg.errors import InputError
from momentumseg.networks.blocks.momentum_sequence import AUTOMATIC, MomentumSequence, MomentumSettings
from momentumseg.networks.registry import register_classifier

_WIDTHS = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}  # channels of the first stage by groups (table 1 of the paper)
_REPEATS = (4, 8, 4)
_STEM = 24


class ShuffleUnit(nn.Module):
    """Grouped 1x1, channel shuffle, depth-wise 3x3, grouped 1x1; added to x, or at stride 2 joined to its average.

    Args:
        inputs, outputs: channels.
        groups: of the 1x1 convolutions.
        stride: 1 keeps the shape.
        first_groups: of the first 1x1 convolution.
    """

    def __init__(self, inputs: int, outputs: int, groups: int, stride: int, first_groups: int) -> None:
        super().__init__()
        hidden, added = outputs // 4, outputs if stride == 1 else outputs - inputs
        self.groups, self.stride = groups, stride
        self.squeeze = _convolution(inputs, hidden, 1, groups=first_groups)
        self.depth_wise = _convolution(hidden, hidden, 3, stride, groups=hidden)
        self.expand = _convolution(hidden, added, 1, groups=groups)

    def forward(self, features: Tensor) -> Tensor:
        """The whole unit, which ends with a ReLU."""
        hidden = functional.relu(self.squeeze(features))
        branch = self.expand(self.depth_wise(functional.channel_shuffle(hidden, self.groups)))
        if self.stride == 1:
            return functional.relu(features + branch)
        return functional.relu(torch.cat([functional.avg_pool2d(features, 3, 2, padding=1), branch], dim=1))


@register_classifier("shufflenet_v1")
class ShuffleNetV1(nn.Module):
    """Classifier of images; the stride-1 units of the stages (3, 7, 3) are the momentum sequences.

    Args:
        in_channels: of the images.
        classes: number of logits.
        groups: 1, 2, 3, 4 or 8; the paper recommends 3.
        momentum, differentiation: see :class:`MomentumSettings`.

    Raises:
        InputError: another number of groups, or a number of channels or classes below 1.
    """

    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 1000,
        *,
        groups: int = 3,
        momentum: float = 0.0,
        differentiation: str = AUTOMATIC,
    ) -> None:
        super().__init__()
        if groups not in _WIDTHS:
            raise InputError(f"There is no ShuffleNet with {groups} groups; choose one of {sorted(_WIDTHS)}.")
        if in_channels < 1 or classes < 1:
            raise InputError(
                f"A classifier needs channels and classes, not {in_channels} and {classes}; choose 1 or more."
            )
        settings = MomentumSettings(momentum, differentiation)
        self.stem = nn.Sequential(_convolution(in_channels, _STEM, 3, stride=2), nn.ReLU())
        stages, inputs, outputs = [], _STEM, _WIDTHS[groups]
        for index, repeats in enumerate(_REPEATS):
            first = ShuffleUnit(inputs, outputs, groups, 2, first_groups=1 if index == 0 else groups)
            following = (ShuffleUnit(outputs, outputs, groups, 1, groups) for _ in range(repeats - 1))
            stages.append(MomentumSequence([first, *following], settings, lead=1, of_blocks=True))
            inputs, outputs = outputs, 2 * outputs
        self.stages = nn.Sequential(*stages)
        self.classifier = nn.Linear(inputs, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, classes)`` of images ``(B, in_channels, H, W)``."""
        features = functional.max_pool2d(self.stem(images), 3, stride=2, padding=1)
        return cast(Tensor, self.classifier(self.stages(features).mean(dim=(2, 3))))


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    )
