"""A noisier view of the same patches, for a student whose teacher sees them as they are; on the device, in torch.

Nothing moves but whole boxes between the images of a batch, so that the teacher's maps can be composed the same way.
Boxes: French et al., "Semi-supervised semantic segmentation needs strong, varied perturbations", BMVC 2020.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from momentumseg.errors import InputError


@dataclass(frozen=True)
class NoisyView:
    """Contrast, brightness and noise of each image, in units of that image's standard deviation.

    Attributes:
        noise: largest standard deviation of the added noise.
        contrast: the image's differences from its mean are multiplied by 1 - contrast .. 1 + contrast.
        brightness: largest shift.

    Raises:
        InputError: a negative strength, or a contrast of 1 or more.
    """

    noise: float = 0.3
    contrast: float = 0.4
    brightness: float = 0.3

    def __post_init__(self) -> None:
        for name in ("noise", "contrast", "brightness"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or value < 0 or (name == "contrast" and value >= 1):
                raise InputError(f"The recipe's strategy.{name} is {value!r}; use 0 or more (contrast below 1).")

    def __call__(self, images: Tensor) -> Tensor:
        """Images ``(B, C, *S)`` as the student sees them; draws from torch's random state."""
        axes = tuple(range(2, images.ndim))
        mean, spread = images.mean(axes, keepdim=True), images.std(axes, keepdim=True)
        view = mean + (images - mean) * (1 + self.contrast * _signed(mean))
        view = view + spread * self.brightness * _signed(mean)
        return view + spread * self.noise * torch.rand_like(mean) * torch.randn_like(images)


def boxes_to_exchange(images: Tensor, probability: float) -> Tensor:
    """One box in each image, or none: bool ``(B, 1, *S)``, of 1/4 to 1/2 of the patch; draws random numbers."""
    count, sizes = len(images), images.shape[2:]
    share = 0.25 + 0.25 * torch.rand(count, device=images.device)
    inside = (torch.rand(count, device=images.device) < probability).view(-1, 1, *[1] * len(sizes))
    for axis, size in enumerate(sizes):
        side = size * share ** (1 / len(sizes))
        first = torch.rand(count, device=images.device) * (size - side)
        places = torch.arange(size, device=images.device) + 0.5
        along = (places >= first[:, None]) & (places < (first + side)[:, None])
        inside = inside & along.view(count, 1, *[size if other == axis else 1 for other in range(len(sizes))])
    return inside


def exchanged(values: Tensor, boxes: Tensor) -> Tensor:
    """Values ``(B, C, *S)`` with the boxes taken from the next image of the batch."""
    return torch.where(boxes, values.roll(-1, dims=0), values)


def _signed(like: Tensor) -> Tensor:
    """Uniform in -1 .. 1."""
    return 2 * torch.rand_like(like) - 1
