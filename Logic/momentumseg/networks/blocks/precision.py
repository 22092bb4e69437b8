"""Single precision inside mixed precision, for the few places that need it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


def full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Switch autocast off within the block, on devices that have it.

    Few-shot heads multiply cosines by up to 40 and take products of un-normalised features that reach 10^3: the eight
    bits of bfloat16 would move masks by whole pixels and round probabilities near one to exactly one.
    """
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
