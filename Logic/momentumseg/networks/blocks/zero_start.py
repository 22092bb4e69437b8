"""Layers that contribute nothing until they have learned something."""

from __future__ import annotations

from torch import nn


def start_at_zero(layer: nn.Linear | nn.Conv2d) -> None:
    """Set weight and bias to zero."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
