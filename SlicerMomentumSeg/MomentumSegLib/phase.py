"""What a few-shot run is doing: the states of its machine and how they follow each other."""

from __future__ import annotations

import enum

from MomentumSegLib.translation import tr as _


class Phase(enum.Enum):
    """State of a run.

    ``IDLE -> STARTING -> RUNNING -> WRITING -> IDLE``, with ``CANCELLING -> IDLE`` from STARTING and RUNNING; a failure
    leads to IDLE from everywhere.
    """

    IDLE = "idle"
    STARTING = "starting"
    RUNNING = "running"
    WRITING = "writing"
    CANCELLING = "cancelling"

    @property
    def is_busy(self) -> bool:
        return self is not Phase.IDLE

    @property
    def can_cancel(self) -> bool:
        return self in (Phase.STARTING, Phase.RUNNING)


def remaining_text(seconds: float | None) -> str:
    """Return a remaining time as people say it: ``"12 s left"``, ``"3 min left"``, nothing where it is not known."""
    if seconds is None:
        return ""
    if seconds < 1.5:
        return _("almost done")
    if seconds < 90:
        return _("{seconds} s left").format(seconds=round(seconds))
    return _("{minutes} min left").format(minutes=round(seconds / 60))
