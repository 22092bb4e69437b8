"""What all networks that map images to label maps share."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from momentumseg.errors import InputError


class SegmentationNetwork(nn.Module):
    """``(B, in_channels, *S) -> (B, classes, *S)`` logits.

    Attributes:
        in_channels, classes: channels in and out.
        dimensions: of the images, 2 or 3.
        divisor: every side of an image must be a multiple of it.
        config: the table that built the network, when the registry did.

    Raises:
        InputError: a number of channels below 1.
    """

    dimensions = 2
    divisor = 32

    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__()
        if in_channels < 1 or classes < 1:
            raise InputError(
                f"A network needs channels and classes, not {in_channels} and {classes}; choose 1 or more."
            )
        self.in_channels = in_channels
        self.classes = classes
        self.config: dict[str, Any] = {}

    def checked(self, images: Tensor) -> Tensor:
        """The images; a single channel is repeated where the network takes three, as pretrained ones do.

        Raises:
            InputError: another number of dimensions or channels, or sides that are no multiples of :attr:`divisor`.
        """
        if images.ndim != self.dimensions + 2:
            raise InputError(
                f"The network takes {self.dimensions}D images (B, C, ...), not the shape {tuple(images.shape)}; "
                "choose a network of the images' dimensions."
            )
        if images.shape[1] == 1 and self.in_channels == 3:
            images = images.expand(-1, 3, *images.shape[2:])
        if images.shape[1] != self.in_channels:
            raise InputError(
                f"The images have {images.shape[1]} channels and the network takes {self.in_channels}; "
                f"build it with in_channels = {images.shape[1]}."
            )
        if any(side % self.divisor for side in images.shape[2:]):
            raise InputError(
                f"The images are {'x'.join(map(str, images.shape[2:]))}, but every side must be a multiple of "
                f"{self.divisor}; choose another patch size."
            )
        return images
