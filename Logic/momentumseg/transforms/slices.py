"""From a stack of slices to the three-channel images that a two-dimensional backbone reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from momentumseg.errors import InputError

SliceContext = Literal["single", "neighbours"]


def slices_to_images(
    stack: np.ndarray, indices: Sequence[int] | np.ndarray, context: SliceContext = "single"
) -> np.ndarray:
    """Three-channel images of the chosen slices.

    Args:
        stack: ``(S, H, W)`` normalised slices.
        indices: slice indices ``0 .. S-1``.
        context: ``"single"``: the slice three times (ADNet, RPT, LMS-Net); ``"neighbours"``: the slices
            ``k-1, k, k+1``, the first and last slice standing in for what lies outside.

    Returns:
        ``(B, 3, H, W)`` float32, a new array.

    Raises:
        InputError: an unknown context, a stack that is not 3D, or an index outside the stack.
    """
    if stack.ndim != 3:
        raise InputError(f"A stack of slices has 3 axes but this one has {stack.ndim}: pass (slices, rows, columns).")
    if context not in get_args(SliceContext):
        raise InputError(f'The slice context "{context}" is unknown: use "single" or "neighbours".')
    centres = np.asarray(indices, dtype=np.int64).reshape(-1)
    if centres.size and (centres.min() < 0 or centres.max() >= len(stack)):
        raise InputError(f"Slices {centres.min()} to {centres.max()} were asked of a stack of {len(stack)} slices.")
    offsets = np.array([-1, 0, 1]) if context == "neighbours" else np.zeros(3, dtype=np.int64)
    channels = np.clip(centres[:, None] + offsets, 0, len(stack) - 1)
    return np.asarray(stack[channels], dtype=np.float32)
