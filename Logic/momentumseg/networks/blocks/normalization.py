"""Convolutions, normalisations and resizing in two or three dimensions, by name."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional

from momentumseg.errors import InputError

NORMS = ("batch", "instance", "group", "layer", "none")
_GROUPS = 8
_LINEAR = {2: "bilinear", 3: "trilinear"}


def normalization(name: str, channels: int, dimensions: int = 2) -> nn.Module:
    """Normalisation layer of ``(B, C, ...)``: one of :data:`NORMS`; "group" has eight groups where C allows.

    Raises:
        InputError: another name.
    """
    if name == "batch":
        return nn.BatchNorm3d(channels) if dimensions == 3 else nn.BatchNorm2d(channels)
    if name == "instance":
        kind = nn.InstanceNorm3d if dimensions == 3 else nn.InstanceNorm2d
        return kind(channels, affine=True)
    if name == "group":
        return nn.GroupNorm(math.gcd(_GROUPS, channels), channels)
    if name == "layer":
        return nn.GroupNorm(1, channels)
    if name == "none":
        return nn.Identity()
    raise InputError(f"There is no normalisation {name!r}; choose one of {', '.join(NORMS)}.")


def convolution(
    inputs: int, outputs: int, kernel: int = 3, *, stride: int = 1, bias: bool = True, dimensions: int = 2
) -> nn.Conv2d | nn.Conv3d:
    """Convolution that keeps the size at stride 1."""
    kind = nn.Conv3d if dimensions == 3 else nn.Conv2d
    return kind(inputs, outputs, kernel, stride, padding=kernel // 2, bias=bias)


def enlarged(features: Tensor, factor: int, *, aligned: bool = False) -> Tensor:
    """Features ``(B, C, *S)`` at ``factor`` times the size, linearly interpolated; ``aligned`` at their corners."""
    mode = _LINEAR[features.ndim - 2]
    return functional.interpolate(features, scale_factor=float(factor), mode=mode, align_corners=aligned)


def resized(features: Tensor, like: Tensor) -> Tensor:
    """Features ``(B, C, *S)`` at the size of another map, linearly interpolated."""
    return functional.interpolate(features, size=like.shape[2:], mode=_LINEAR[features.ndim - 2], align_corners=False)
