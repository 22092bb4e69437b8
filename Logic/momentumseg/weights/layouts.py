"""Which tensors a published file must hold for a backbone, and how they get in.

A backbone states it in one of two ways:

* ``pretrained_tensors() -> dict[str, Tensor]``: its own tensors by the file's names; they are overwritten in place.
  Without that method all of its state is expected under its own names.
* ``load_imagenet(tensors)`` for backbones that transform the file's tensors first (EfficientNet-Lite folds its batch
  normalisation).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from momentumseg.networks.backbones.efficientnet_lite import EfficientNetLite, EfficientNetLitePyramid

_LITE_SIZES = (0, 1, 2)


def needed_tensors(backbone: nn.Module) -> dict[str, Tensor]:
    """Return the tensors (shape matters, values do not) that a file must hold, by the file's names without prefix."""
    if isinstance(backbone, EfficientNetLitePyramid):
        return _efficientnet_lite_tensors(backbone)
    declared = getattr(backbone, "pretrained_tensors", None)
    return dict(declared()) if callable(declared) else dict(backbone.state_dict(keep_vars=True))


def fill_backbone(backbone: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put a file's tensors into the backbone; all of :func:`needed_tensors` must be among them, others are left out."""
    if isinstance(backbone, EfficientNetLitePyramid):
        backbone.load_imagenet(dict(tensors))
        return
    needed = needed_tensors(backbone)
    copy_tensors({name: value for name, value in tensors.items() if name in needed}, needed)


def copy_tensors(tensors: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> None:
    """Overwrite targets in place by name, keeping their dtype and device."""
    with torch.no_grad():
        for name, value in tensors.items():
            targets[name].copy_(value)


def _efficientnet_lite_tensors(backbone: EfficientNetLitePyramid) -> dict[str, Tensor]:
    """The ImageNet layout (with batch normalisation) of the size whose filters the folded trunk has."""
    folded = {name: value.shape for name, value in backbone.trunk.state_dict().items() if name.endswith("conv.weight")}
    for size in _LITE_SIZES:
        with torch.device("meta"):
            layout = dict(EfficientNetLite(size).state_dict())
        if {name: value.shape for name, value in layout.items() if name.endswith("conv.weight")} == folded:
            return layout
    return dict(backbone.trunk.state_dict())
