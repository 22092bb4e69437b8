"""A second output of a segmentation network: signed distance maps from the features before its last layer."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from momentumseg.errors import InputError
from momentumseg.networks.blocks.normalization import convolution


def build_distance_head(network: nn.Module, structures: int, dimensions: int = 2) -> nn.Module:
    """A 1x1 convolution to one map a structure (before the tanh); all other layers are shared with the segmentation.

    Raises:
        InputError: the network's last layer is not known.
    """
    layers = (module for module in _last_layer(network).modules() if isinstance(module, nn.Conv2d | nn.Conv3d))
    return convolution(next(layers).in_channels, structures, 1, dimensions=dimensions)


def logits_and_distances(network: nn.Module, head: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits ``(B, classes, *S)`` and maps ``(B, structures, *S)`` of images, from one run through the network."""
    found: list[Tensor] = []

    def keep(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        found.append(inputs[0])

    # the hook is there during this call only: copies and checkpoints of the network know nothing of it
    handle = _last_layer(network).register_forward_pre_hook(keep)
    try:
        logits = network(images)
    finally:
        handle.remove()
    return logits, head(found[-1])


def _last_layer(network: nn.Module) -> nn.Module:
    for name in ("head", "segmentation_head"):
        layer = getattr(network, name, None)
        if isinstance(layer, nn.Module):
            return layer
    raise InputError(
        f"The last layer of {type(network).__name__} is not known, so it has no distance maps; "
        "set strategy.distance and strategy.contrast to 0."
    )
