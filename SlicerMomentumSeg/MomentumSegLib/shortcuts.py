"""Keyboard shortcuts that work only while the module is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import qt


class Shortcuts:
    """Keys of the module.

    Args:
        window: within which the keys work; the main window, so that they work while the mouse is over a slice view.
        actions: key sequence, such as "Ctrl+Return", to what it does.
    """

    def __init__(self, window: Any, actions: Mapping[str, Callable[[], None]]) -> None:
        self._shortcuts = []
        for keys, action in actions.items():
            shortcut = qt.QShortcut(window)
            shortcut.setKey(qt.QKeySequence(keys))
            shortcut.connect("activated()", action)
            shortcut.enabled = False
            self._shortcuts.append(shortcut)

    def enable(self, enabled: bool) -> None:
        for shortcut in self._shortcuts:
            shortcut.enabled = enabled

    def remove(self) -> None:
        """Take the keys back for good."""
        for shortcut in self._shortcuts:
            shortcut.enabled = False
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._shortcuts = []
