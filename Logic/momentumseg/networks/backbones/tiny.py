"""A few plain convolutions at stride 4: an encoder for tests and for machines where nothing else runs."""

from __future__ import annotations

from torch import Tensor, nn

from momentumseg.networks.registry import register_backbone


@register_backbone("tiny")
class TinyBackbone(nn.Module):
    """Four 3x3 convolutions with ReLU, two of them with stride 2, and a linear last one; no pretrained weights exist.

    There is no normalisation over the batch, so a slice's features do not depend on its neighbours in any mode.

    Args:
        channels: C of the features.
        width: channels of the hidden layers.
    """

    stride = 4

    def __init__(self, channels: int = 32, width: int = 16) -> None:
        super().__init__()
        self.out_channels = channels
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, channels, 3, padding=1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Features ``(B, C, S/4, S/4)`` of images ``(B, 3, S, S)``."""
        return self.layers(images)

    def trunk_parameters(self) -> list[nn.Parameter]:
        """Pretrained parameters: none."""
        return []
