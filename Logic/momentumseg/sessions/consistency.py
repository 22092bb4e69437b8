"""The one place where sessions meet the consistency step of the inference room."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from momentumseg.errors import InputError
from momentumseg.inference.volume_consistency import ConsistencyConfig, make_consistent, part_count
from momentumseg.sessions.few_shot_run import Refinement
from momentumseg.sessions.supports import Support
from momentumseg.sessions.volume_slices import VolumeSlices


def refinement_of(
    consistency: ConsistencyConfig | bool | None, volume: VolumeSlices, parts: Sequence[int]
) -> Refinement | None:
    """The step that makes a volume consistent through its slices, or None when it is off.

    Args:
        consistency: None or True as recommended, False off, or the step's settings.
        volume: that is segmented.
        parts: for each label, how many separate parts its supports show, see :func:`supported_parts`.
    """
    if consistency is False:
        return None
    config = ConsistencyConfig() if consistency is None or consistency is True else consistency
    if not isinstance(config, ConsistencyConfig):
        raise InputError(f"The consistency step cannot be set to {consistency!r}; use True, False or its settings.")
    space = volume.space

    def refine(
        logits: Tensor,
        drawn: dict[tuple[int, int], np.ndarray],
        image: Callable[[int], np.ndarray],
        check: Callable[[], None],
    ) -> Tensor:
        return make_consistent(
            logits,
            drawn,
            image,
            size=space.size,
            pixel_spacing=space.pixel_spacing,
            slice_spacing=space.slice_spacing,
            parts=parts,
            config=config,
            check=check,
        )

    return refine


def supported_parts(supports: Sequence[Support], labels: Sequence[int]) -> list[int]:
    """For each label, the largest number of separate parts on one of its drawn slices (at least one)."""
    return [
        max((part_count(support.network_mask) for support in supports if support.label == label), default=1)
        for label in labels
    ]
