"""What the training module is doing: the states of its machine."""

from __future__ import annotations

import enum

from MomentumSegLib.translation import tr as _


class TrainingPhase(enum.Enum):
    """State of the module's controller.

    ``IDLE -> CHECKING -> IDLE`` for a check; ``IDLE -> CHECKING -> TRAINING -> FINISHED`` for a training, with
    ``TRAINING -> PAUSING -> PAUSED -> TRAINING``; ``PAUSED -> KEEPING -> FINISHED`` when the best so far is kept.
    A failure leads to IDLE before the training has begun, to PAUSED afterwards.
    """

    IDLE = "idle"
    CHECKING = "checking"
    TRAINING = "training"
    PAUSING = "pausing"
    PAUSED = "paused"
    KEEPING = "keeping"
    FINISHED = "finished"

    @property
    def is_busy(self) -> bool:
        """Whether the worker is at it."""
        return self in (TrainingPhase.CHECKING, TrainingPhase.TRAINING, TrainingPhase.PAUSING, TrainingPhase.KEEPING)

    @property
    def trains(self) -> bool:
        """Whether something would be lost if the worker ended now."""
        return self in (TrainingPhase.TRAINING, TrainingPhase.PAUSING, TrainingPhase.KEEPING)


def duration_text(seconds: float) -> str:
    """Return a duration for people: ``"40 s"``, ``"12 min"``, ``"3 h 20 min"``, ``"2 days"``."""
    if seconds < 90:
        return _("{seconds} s").format(seconds=max(1, round(seconds)))
    minutes = round(seconds / 60)
    if minutes < 120:
        return _("{minutes} min").format(minutes=minutes)
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        text = _("{hours} h {minutes} min") if minutes else _("{hours} h")
        return text.format(hours=hours, minutes=minutes)
    return _("{days} days").format(days=round(hours / 24))
