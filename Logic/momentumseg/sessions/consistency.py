"""The one place where sessions meet the consistency step of the inference room."""

from __future__ import annotations

from momentumseg.errors import InputError
from momentumseg.sessions.few_shot_run import Refinement
from momentumseg.sessions.volume_slices import VolumeSlices


def refinement_of(consistency: object | bool | None, volume: VolumeSlices) -> Refinement | None:
    """The step that makes a volume consistent through its slices, or None when it is off.

    Args:
        consistency: None as recommended, False off, True on, or the step's settings.
        volume: that is segmented.
    """
    if consistency is None or consistency is False:
        return None
    raise InputError("There is no consistency step in this version: leave it off.")
