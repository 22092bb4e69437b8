"""The residual unit of the decoders of TransNetR and PVTFormer."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional


class DecoderUnit(nn.Module):
    """act(3x3, norm, act, 3x3, norm + projected skip), with a ReLU of slope ``leak``. Momentum leaves it plain."""

    def __init__(self, inputs: int, outputs: int, leak: float = 0.0) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs))
        self.leak = leak

    def forward(self, features: Tensor) -> Tensor:
        hidden = functional.leaky_relu(self.bn1(self.conv1(features)), self.leak)
        return functional.leaky_relu(self.bn2(self.conv2(hidden)) + self.shortcut(features), self.leak)


class ConvolutionUnit(nn.Sequential):
    """k x k convolution, batch normalisation and, unless ``linear``, a ReLU of slope ``leak``."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, leak: float = 0.0, linear: bool = False) -> None:
        layers = [nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), nn.BatchNorm2d(outputs)]
        activation = cast("list[nn.Module]", [] if linear else [nn.LeakyReLU(leak)])
        super().__init__(*layers, *activation)
