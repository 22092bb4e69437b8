"""Which slice to draw next: the one that brings a drawn slice near to most of what is still uncertain.

A drawn slice helps its neighbours too, the less the nearer they are to another drawn slice. So the help of drawing
slice s is the sum over all slices t of their uncertain area times 1 - |s - t| / (distance of t to its nearest drawn
slice), where that is positive. A tip has little area and no neighbours beyond, and is not chosen before the large
slices are known.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np


def help_of_drawing(uncertain_area: Mapping[int, float], known: Collection[int]) -> dict[int, float]:
    """For each slice how much uncertain area a drawing there brings nearer, in the unit of the area.

    Args:
        uncertain_area: slice -> area, of one label.
        known: slices on which the label is drawn, or is known to be absent.
    """
    slices = np.array(sorted(uncertain_area), dtype=np.int64)
    area = np.array([uncertain_area[s] for s in slices.tolist()])
    marks = np.array(sorted(known), dtype=np.int64)
    if len(marks) == 0:
        away = np.full(len(slices), max(1, int(np.ptp(slices)))) if len(slices) else np.zeros(0)
    else:
        away = np.abs(slices[:, None] - marks).min(axis=1)
    share = np.abs(slices[:, None] - slices) / np.maximum(away, 1)
    gain = np.clip(1 - share, 0, None) * (away > 0)
    return dict(zip(slices.tolist(), (gain * area).sum(axis=1).tolist(), strict=True))
