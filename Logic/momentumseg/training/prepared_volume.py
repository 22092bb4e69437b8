"""What episodes are drawn from: the normalised slices of a volume and its regions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from momentumseg.errors import InputError


@dataclass(frozen=True)
class PreparedVolume:
    """A volume that is ready for training.

    Attributes:
        stack: ``(S, H, W)`` normalised slices, float32 or float16 (half the memory; images are float32 again).
        regions: ``(R, S, H, W)`` unsigned or signed integers, one label map a source, 0 = no region. A
            ``(S, H, W)`` array counts as one source.
        name: for messages.
    """

    stack: np.ndarray
    regions: np.ndarray
    name: str = ""

    def __post_init__(self) -> None:
        if self.regions.ndim == 3:
            object.__setattr__(self, "regions", self.regions[None])
        if self.stack.ndim != 3 or self.regions.ndim != 4 or self.regions.shape[1:] != self.stack.shape:
            raise InputError(
                f"The regions {self.regions.shape} of {self.name or 'a volume'} do not fit its slices "
                f"{self.stack.shape}: compute them again."
            )
