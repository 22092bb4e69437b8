"""Short ways to declare the Qt properties of a stand-in widget."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from PySide6 import QtCore


def stored(property_type: type | str, attribute: str, changed: Callable[[Any], None] | None = None) -> QtCore.Property:
    """A property kept in the private `attribute` (set by the constructor); `changed` is called with the widget."""

    def write(self: Any, value: Any) -> None:
        if getattr(self, attribute) != value:
            setattr(self, attribute, value)
            if changed is not None:
                changed(self)

    return QtCore.Property(property_type, attrgetter(attribute), write)  # type: ignore[arg-type]


def forwarded(property_type: type | str, child: str, name: str) -> QtCore.Property:
    """A property that is the property `name` of the inner widget kept in the private attribute `child`."""

    def read(self: Any) -> Any:
        return getattr(getattr(self, child), name)

    def write(self: Any, value: Any) -> None:
        setattr(getattr(self, child), name, value)

    return QtCore.Property(property_type, read, write)  # type: ignore[arg-type]
