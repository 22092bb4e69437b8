"""EfficientNet-Lite0/1/2 tapped at strides 4, 8 and 16 and fused at stride 4: the default encoder on a CPU.

Source: Tan and Le, "EfficientNet", ICML 2019, in TensorFlow's Lite variant (ReLU6, no squeeze-and-excitation, stem and
head not scaled). Parameter names are those of the ImageNet files of the package registry, so that these load as they
are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from momentumseg.errors import InputError
from momentumseg.networks.registry import register_backbone

_BATCH_NORM_EPSILON = 1e-3


@dataclass(frozen=True)
class _Stage:
    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


_BASE_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)
_TAPPED_STAGES = (1, 2, 4)
# width and depth multipliers of the three sizes
_SIZES = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2)}


class SamePadConv2d(nn.Conv2d):
    """Convolution with TensorFlow's "same" padding, which is asymmetric for even inputs at stride 2."""

    def forward(self, images: Tensor) -> Tensor:
        vertical = _same_padding(images.shape[-2], self.kernel_size[0], self.stride[0])
        horizontal = _same_padding(images.shape[-1], self.kernel_size[1], self.stride[1])
        if vertical[0] == vertical[1] and horizontal[0] == horizontal[1]:
            symmetric = (vertical[0], horizontal[0])
            return functional.conv2d(images, self.weight, self.bias, self.stride, symmetric, 1, self.groups)
        padded = functional.pad(images, (*horizontal, *vertical))
        return functional.conv2d(padded, self.weight, self.bias, self.stride, 0, 1, self.groups)


class PointwiseConv2d(nn.Conv2d):
    """1x1 convolution as a matrix product over channels-last pixels.

    On one CPU thread torch sends 1x1 convolutions to a kernel that copies channels-last images back and forth; the
    product of the same numbers needs no copy (a training step is about a quarter faster).
    """

    def __init__(self, inputs: int, outputs: int, bias: bool = False) -> None:
        super().__init__(inputs, outputs, 1, bias=bias)

    def forward(self, images: Tensor) -> Tensor:
        if images.device.type != "cpu":
            return super().forward(images)
        pixels = functional.linear(images.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias)
        return pixels.permute(0, 3, 1, 2)


class InvertedResidual(nn.Module):
    """Expand 1x1, depth-wise k x k, project 1x1; identity skip where shapes allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.skip = stride == 1 and inputs == outputs
        if expansion != 1:
            self._expand_conv = PointwiseConv2d(inputs, hidden)
            self._bn0 = _batch_norm(hidden)
        self._depthwise_conv = SamePadConv2d(hidden, hidden, kernel, stride, groups=hidden, bias=False)
        self._bn1 = _batch_norm(hidden)
        self._project_conv = PointwiseConv2d(hidden, outputs)
        self._bn2 = _batch_norm(outputs)
        self.expands = expansion != 1

    def forward(self, features: Tensor) -> Tensor:
        hidden = features
        if self.expands:
            hidden = functional.relu6(self._bn0(self._expand_conv(hidden)), inplace=True)
        hidden = functional.relu6(self._bn1(self._depthwise_conv(hidden)), inplace=True)
        hidden = self._bn2(self._project_conv(hidden))
        return features + hidden if self.skip else hidden


class EfficientNetLite(nn.Module):
    """The classifier's feature layers up to stride 16; ``forward`` returns the taps at strides 4, 8 and 16.

    Args:
        size: 0, 1 or 2.
        complete: build all seven stages and the classifier, whose names and shapes are those of the ImageNet files.
    """

    def __init__(self, size: int = 0, complete: bool = False) -> None:
        super().__init__()
        if size not in _SIZES:
            raise InputError(f"There is no EfficientNet-Lite{size} here; choose 0, 1 or 2.")
        width, depth = _SIZES[size]
        stages = _BASE_STAGES if complete else _BASE_STAGES[: _TAPPED_STAGES[-1] + 1]
        self._conv_stem = SamePadConv2d(3, 32, 3, 2, bias=False)
        self._bn0 = _batch_norm(32)
        self._blocks = nn.ModuleList()
        self.taps: list[int] = []
        self.tap_channels: list[int] = []
        inputs = 32
        for index, stage in enumerate(stages):
            outputs = _scaled_channels(stage.channels, width)
            ends = index in (0, len(_BASE_STAGES) - 1)
            for repeat in range(stage.repeats if ends else math.ceil(stage.repeats * depth)):
                self._blocks.append(
                    InvertedResidual(inputs, outputs, stage.kernel, stage.stride if repeat == 0 else 1, stage.expansion)
                )
                inputs = outputs
            if index in _TAPPED_STAGES:
                self.taps.append(len(self._blocks) - 1)
                self.tap_channels.append(outputs)
        if complete:
            self._conv_head = nn.Conv2d(inputs, 1280, 1, bias=False)
            self._bn1 = _batch_norm(1280)
            self._fc = nn.Linear(1280, 1000)

    def forward(self, images: Tensor, frozen_blocks: int = 0) -> list[Tensor]:
        """Features ``[(B, c4, S/4, S/4), (B, c8, S/8, S/8), (B, c16, S/16, S/16)]`` of images ``(B, 3, S, S)``.

        Args:
            frozen_blocks: no gradient is computed for the stem and this many blocks; 0 leaves the stem trainable too.
        """
        taps = []
        with torch.set_grad_enabled(torch.is_grad_enabled() and frozen_blocks == 0):
            features = functional.relu6(self._bn0(self._conv_stem(images)), inplace=True)
        for index, block in enumerate(self._blocks):
            with torch.set_grad_enabled(torch.is_grad_enabled() and index >= frozen_blocks):
                features = block(features)
            if index in self.taps:
                taps.append(features)
        return taps


class EfficientNetLitePyramid(nn.Module):
    """EfficientNet-Lite with its three taps projected to C channels and summed at stride 4.

    Batch normalisation is folded into the convolutions (its ImageNet statistics stay fixed), which makes every slice's
    features independent of its batch and training faster.

    Args:
        size: of the EfficientNet-Lite (0, 1, 2).
        channels: C.
        frozen_blocks: stem and this many blocks keep their ImageNet weights in training.
    """

    stride = 4

    def __init__(self, size: int = 0, channels: int = 128, frozen_blocks: int = 3) -> None:
        super().__init__()
        self.out_channels = channels
        self.frozen_blocks = frozen_blocks
        self.trunk = fold_batch_norms(EfficientNetLite(size))
        for module in self._frozen_modules():
            module.requires_grad_(False)  # they never get a gradient; data-parallel training would wait for it
        self.projections = nn.ModuleList(
            PointwiseConv2d(tap, channels, bias=index == 0) for index, tap in enumerate(self.trunk.tap_channels)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Features ``(B, C, S/4, S/4)`` of images ``(B, 3, S, S)``; S must be divisible by 16."""
        taps = self.trunk(images.contiguous(memory_format=torch.channels_last), self.frozen_blocks)
        fused = self.projections[0](taps[0])
        for projection, tap in zip(list(self.projections)[1:], taps[1:], strict=True):
            fused = fused + _resized(projection(tap), fused.shape[-2:])
        return fused

    @torch.no_grad()
    def load_imagenet(self, state: dict[str, Tensor]) -> None:
        """Take the trunk from an ImageNet file's tensors (names as in the file; its deeper stages are not needed).

        Raises:
            InputError: a tensor is missing or has another shape.
        """
        size = _size_of(state)
        plain = EfficientNetLite(size)
        layout = plain.state_dict()
        missing = sorted(set(layout) - set(state))
        if missing:
            raise InputError(
                f"The file is no EfficientNet-Lite: {len(missing)} tensors are missing, the first is {missing[0]}."
            )
        if any(state[key].shape != value.shape for key, value in layout.items()):
            raise InputError(f"The file's tensors are not those of an EfficientNet-Lite{size}; choose another file.")
        plain.load_state_dict({key: state[key] for key in layout})
        folded = fold_batch_norms(plain).state_dict()
        if _shapes(folded) != _shapes(self.trunk.state_dict()):
            raise InputError(f"The file holds EfficientNet-Lite{size}, but the network is built for another size.")
        self.trunk.load_state_dict(folded)

    @torch.no_grad()
    def whiten(self, images: Tensor, samples: int = 20000, seed: int = 0) -> None:
        """Set the projections to whitened principal components of the taps over unlabelled images ``(B, 3, S, S)``.

        Args:
            images: on any device; B S^2 / 16 cells at least as many as the taps have channels.
            samples: at most this many cells, drawn at random, make the covariance.
            seed: of that draw.
        """
        first = cast(PointwiseConv2d, self.projections[0])
        images = images.to(first.weight.device)
        taps = self.trunk(images.contiguous(memory_format=torch.channels_last))
        stacked = torch.cat([_resized(tap, taps[0].shape[-2:]) for tap in taps], dim=1)
        values = stacked.permute(0, 2, 3, 1).reshape(-1, stacked.shape[1]).double()
        generator = torch.Generator().manual_seed(seed)
        values = values[torch.randperm(len(values), generator=generator)[:samples].to(values.device)]
        mean = values.mean(dim=0)
        covariance = (values - mean).T @ (values - mean) / len(values)
        variance, directions = torch.linalg.eigh(covariance)
        kept = min(self.out_channels, len(variance))
        order = variance.argsort(descending=True)[:kept]
        matrix = (directions[:, order] / (variance[order] + 1e-3 * variance.max()).sqrt()).T.float()
        for module, part in zip(self.projections, matrix.split(self.trunk.tap_channels, dim=1), strict=True):
            weight = cast(PointwiseConv2d, module).weight
            weight.zero_()
            weight[:kept, :, 0, 0] = part
        offset = cast(Tensor, first.bias)
        offset.zero_()
        offset[:kept] = -(matrix @ mean.float())

    def trunk_parameters(self) -> list[nn.Parameter]:
        """Pretrained parameters that training may change (those beyond the frozen blocks)."""
        frozen = {id(parameter) for module in self._frozen_modules() for parameter in module.parameters()}
        return [parameter for parameter in self.trunk.parameters() if id(parameter) not in frozen]

    def _frozen_modules(self) -> list[nn.Module]:
        if self.frozen_blocks == 0:
            return []
        return [self.trunk._conv_stem, *self.trunk._blocks[: self.frozen_blocks]]


def fold_batch_norms(trunk: EfficientNetLite) -> EfficientNetLite:
    """The same function with each batch normalisation folded into the convolution before it, in place.

    The biases that come from the normalisations do not require a gradient: in training they keep their ImageNet values.
    """
    trunk.eval()
    _fold(trunk, "_conv_stem", "_bn0")
    for block in trunk._blocks:
        for convolution, norm in (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")):
            if hasattr(block, convolution):
                _fold(block, convolution, norm)
    return trunk


def _fold(module: nn.Module, convolution: str, norm: str) -> None:
    setattr(module, convolution, fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm)))
    setattr(module, norm, nn.Identity())


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_BATCH_NORM_EPSILON, momentum=0.01)


def _resized(features: Tensor, size: torch.Size) -> Tensor:
    return functional.interpolate(features, size=size, mode="bilinear", align_corners=False)


def _shapes(state: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in state.items()}


def _scaled_channels(channels: int, width: float) -> int:
    """Channels times width, rounded to a multiple of eight but not below 90 %."""
    scaled = channels * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


def _same_padding(length: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((math.ceil(length / stride) - 1) * stride + kernel - length, 0)
    return total // 2, total - total // 2


def _size_of(state: dict[str, Tensor]) -> int:
    """Which EfficientNet-Lite a file holds, told by its depth and one width."""
    if "_blocks.20._project_conv.weight" not in state:
        return 0
    return 1 if state["_blocks.20._project_conv.weight"].shape[0] == 320 else 2


for _size in _SIZES:
    register_backbone(f"efficientnet_lite{_size}")(partial(EfficientNetLitePyramid, _size))
