"""Asks before the application is closed while a training runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer

from MomentumSegLib.translation import tr as _


class _CloseFilter(qt.QWidget):
    """Sees the events of the main window before the window does. Never shown."""

    may_close: Callable[[], bool] | None = None

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Keep the window from closing when the user says so; everything else goes on to it."""
        if event.type() == qt.QEvent.Close and self.may_close is not None and not self.may_close():
            event.ignore()
            return True
        return False


class CloseQuestion:
    """Installed on the main window as long as the module is there.

    Args:
        trains: whether a training runs at the moment.
    """

    def __init__(self, trains: Callable[[], bool]) -> None:
        self._trains = trains
        self._window = slicer.util.mainWindow()
        self._filter: Any = None
        if self._window is not None:
            self._filter = _CloseFilter()
            self._filter.may_close = self._may_close
            self._window.installEventFilter(self._filter)

    def remove(self) -> None:
        """Ask no more."""
        if self._filter is not None:
            self._window.removeEventFilter(self._filter)
            self._filter = self._window = None

    def _may_close(self) -> bool:
        if not self._trains():
            return True
        question = _("Stop the training and close? It continues from the last checkpoint.")
        return bool(slicer.util.confirmYesNoDisplay(question, windowTitle=_("A training is running")))
