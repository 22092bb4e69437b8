"""Watching single objects of the scene from a widget."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import shiboken6
from PySide6 import QtCore


class NodeObserver:
    """Calls a widget's method when watched objects change; ends by itself when the widget is deleted."""

    def __init__(self, owner: QtCore.QObject, changed: Callable[[], None]) -> None:
        """Take a method of `owner`; it is held weakly, so that observing keeps no widget alive."""
        self._owner = weakref.ref(owner)
        self._changed = weakref.WeakMethod(changed)
        self._tags: list[tuple[Any, int]] = []

    def observe(self, events: list[tuple[Any, int]]) -> None:
        """Watch exactly these events of these objects."""
        for watched, tag in self._tags:
            watched.RemoveObserver(tag)
        self._tags = [(watched, watched.AddObserver(event, self._callback())) for watched, event in events]

    def _callback(self) -> Callable[[Any, str], None]:
        owner_reference, changed = self._owner, self._changed

        def call(caller: Any, event: str) -> None:
            owner, method = owner_reference(), changed()
            if owner is not None and method is not None and shiboken6.isValid(owner):
                method()

        return call
