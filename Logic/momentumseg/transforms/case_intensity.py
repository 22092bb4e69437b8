"""Intensities of a case as an automatic network gets them: one function for training and for inference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from momentumseg.errors import InputError
from momentumseg.transforms.intensity import IntensityNormalization

ZSCORE, PERCENTILE, OWN = "zscore", "percentile", "own"

IntensityRule = str | Sequence[float]
"""``"zscore"``: mean 0 and standard deviation 1 of each channel; ``"percentile"``: the same after clipping to its 0.5
and 99.5 percentiles; ``[low, high]``: that window, in the volume's own units (HU for CT), to -1 .. 1; ``"own"``: the
values of the file, for networks whose preprocessing starts from these (prompts)."""


def checked_intensity_rule(rule: object) -> IntensityRule:
    """The rule itself, a window as a list of two floats.

    Raises:
        InputError: no such rule, or a window that is empty.
    """
    if rule in (ZSCORE, PERCENTILE, OWN):
        return str(rule)
    if isinstance(rule, Sequence) and not isinstance(rule, str) and len(rule) == 2:
        low, high = rule
        if all(isinstance(bound, int | float) and np.isfinite(bound) for bound in rule) and low < high:
            return [float(low), float(high)]
    raise InputError(
        f"The intensity rule {rule!r} cannot be used; choose '{ZSCORE}', '{PERCENTILE}' or a window such as "
        f"[-100, 300] ('{OWN}' for prompts)."
    )


def normalized_channels(image: np.ndarray, rule: IntensityRule, out: np.ndarray | None = None) -> np.ndarray:
    """Each channel of an image normalised by itself, float32 of the same shape, without unit.

    Args:
        image: ``(C, D, H, W)`` of the whole volume, on the grid that the network sees.
        rule: see :data:`IntensityRule`.
        out: float32 array of the same shape for the result, which may be ``image``; a new one by default.

    Raises:
        InputError: an unknown rule, voxels that are not numbers, or a channel with one value only.
    """
    rule = checked_intensity_rule(rule)
    out = np.empty(image.shape, dtype=np.float32) if out is None else out
    for channel, target in zip(image, out, strict=True):
        if rule == OWN:
            target[...] = channel
            continue
        constants = _constants(channel, rule)
        target[...] = channel
        np.clip(target, constants.low, constants.high, out=target)
        target -= np.float32(constants.mean)
        target /= np.float32(constants.std)
    return out


def _constants(channel: np.ndarray, rule: IntensityRule) -> IntensityNormalization:
    if rule == ZSCORE:
        return IntensityNormalization.fit(channel, low_percentile=0.0, high_percentile=100.0)
    if rule == PERCENTILE:
        return IntensityNormalization.fit(channel)
    low, high = (float(bound) for bound in rule)
    return IntensityNormalization(low, high, mean=(low + high) / 2.0, std=(high - low) / 2.0)
