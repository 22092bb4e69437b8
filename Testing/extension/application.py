"""The part of Slicer's application object that dialogs and panels ask, without a main window."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class SmallApplication:
    """``slicer.app`` for tests: settings in a file of the test, no layout, and whether --testing was given.

    Args:
        settings_file: an .ini file; need not exist.
        testing: as if Slicer had been started with --testing.
    """

    def __init__(self, settings_file: Path, *, testing: bool = False) -> None:
        import qt

        self._settings = qt.QSettings(str(settings_file), qt.QSettings.IniFormat)
        self._testing = testing

    def userSettings(self) -> Any:
        return self._settings

    def testingEnabled(self) -> bool:
        return self._testing

    def processEvents(self) -> None:
        from PySide6 import QtWidgets

        QtWidgets.QApplication.processEvents()

    def layoutManager(self) -> None:
        return None
