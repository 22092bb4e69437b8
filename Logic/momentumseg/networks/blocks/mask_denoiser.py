"""The mask denoiser of LMS-Net (MD, Sec. III-B.3, Fig. 8c)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from momentumseg.errors import InputError
from momentumseg.networks.blocks.zero_start import start_at_zero


class MaskDenoiser(nn.Module):
    """MD(u) = sigmoid(logit(u) + R(u)) with a DnCNN R of five 3x3 convolutions.

    The last convolution starts at zero, so an untrained denoiser is the identity.

    Args:
        width: channels of the hidden layers.
        depth: number of convolutions, >= 2.
        normalization: ``"batch"`` as in DnCNN, or ``"none"`` (batches of one slice train better without).

    Raises:
        InputError: unknown normalization, or fewer than two convolutions.
    """

    def __init__(self, width: int = 64, depth: int = 5, normalization: str = "batch") -> None:
        super().__init__()
        if normalization not in ("batch", "none"):
            raise InputError(f"The mask denoiser has no normalization {normalization!r}; use 'batch' or 'none'.")
        if depth < 2:
            raise InputError(f"The mask denoiser has {depth} convolutions; use at least 2.")
        layers: list[nn.Module] = [nn.Conv2d(1, width, 3, padding=1), nn.ReLU(inplace=True)]
        for _ in range(depth - 2):
            layers += _hidden_layer(width, normalization)
        last = nn.Conv2d(width, 1, 3, padding=1)
        start_at_zero(last)
        self.residual = nn.Sequential(*layers, last)

    def forward(self, u: Tensor, logit: Tensor) -> Tensor:
        """Denoised masks ``(B, h, w)``.

        Args:
            u: soft masks ``(B, h, w)``.
            logit: their exact logits ``(B, h, w)``; computing them from a saturated u would lose the gradient.
        """
        return torch.sigmoid(logit + self.residual(u.unsqueeze(1)).squeeze(1))


def _hidden_layer(width: int, normalization: str) -> list[nn.Module]:
    if normalization == "batch":
        return [nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    return [nn.Conv2d(width, width, 3, padding=1), nn.ReLU(inplace=True)]
