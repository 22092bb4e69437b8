"""How long a mask may take before the user is told, and offered to end the worker."""

from __future__ import annotations

from collections.abc import Callable

import qt

from MomentumSegLib.settings import load_settings


class Patience:
    """Watches one question at a time.

    Args:
        on_overdue: called with the seconds that the question has waited.

    Attributes:
        is_overdue: whether the watched question waits for longer than the settings allow.
    """

    def __init__(self, on_overdue: Callable[[int], None]) -> None:
        self._on_overdue = on_overdue
        self._question: object = None
        self.is_overdue = False
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.connect("timeout()", self._overdue)

    def watch(self, question: object) -> None:
        """Watch this question from now on, if it is another one; None: none is on its way."""
        if question is self._question:
            return
        self._question = question
        self.is_overdue = False
        self._timer.stop()
        if question is not None:
            self._timer.start(1000 * load_settings().prompt_seconds)

    def _overdue(self) -> None:
        self.is_overdue = True
        self._on_overdue(load_settings().prompt_seconds)
