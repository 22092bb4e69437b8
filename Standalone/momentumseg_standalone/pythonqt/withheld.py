"""Names that PySide6 offers on a class of Qt and 3D Slicer does not: of a newer Qt, or not wrapped by PythonQt."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any

from PySide6 import QtCore

# Of Shiboken's common base class: Python lets nobody call a class's own once `__setattr__` has been replaced on it.
set_python_attribute: Callable[[Any, str, Any], None] = QtCore.QObject.__mro__[1].__setattr__


@cache
def _table() -> dict[str, list[str]]:
    """Return the names by class; the file is written by Utilities/slicer_api.py."""
    text = resources.files(__package__).joinpath("withheld_names.json").read_text(encoding="utf-8")
    return json.loads(text)  # type: ignore[no-any-return]


def withheld_names(cls: type) -> frozenset[str]:
    """Return the names that instances of a native class must not show.

    A class that 3D Slicer was not asked about withholds what its bases do, unless it defines the name itself.
    """
    own: set[str] = set()
    for base in cls.__mro__:
        listed = _table().get(base.__name__)
        if listed is not None:
            return frozenset(set(listed) - own)
        own |= set(vars(base))
    return frozenset()


def refusal(name: str) -> Callable[[Any], Any]:
    """Return a reader that says that a name must not be used."""

    def refuse(instance: Any) -> Any:
        raise AttributeError(f"{type(instance).__name__} has no '{name}' in 3D Slicer.")

    return refuse


def guard_value_class(cls: type) -> None:
    """Withhold names of a class that is no QObject, and let nobody set new attributes on its objects."""
    names = withheld_names(cls)
    read, write = cls.__getattribute__, set_python_attribute

    def guarded_read(self: Any, name: str) -> Any:
        if name in names and _is_native(type(self)):
            raise AttributeError(f"{type(self).__name__} has no '{name}' in 3D Slicer.")
        return read(self, name)

    def guarded_write(self: Any, name: str, value: Any) -> None:
        if _is_native(type(self)):
            raise AttributeError(f"{type(self).__name__} takes no new attribute '{name}': it is an object of Qt.")
        write(self, name, value)

    if names:
        cls.__getattribute__ = guarded_read  # type: ignore[method-assign, assignment]
    cls.__setattr__ = guarded_write  # type: ignore[method-assign, assignment]


def guarded_value_classes() -> frozenset[str]:
    """Return the names of all classes in the table."""
    return frozenset(_table())


def _is_native(cls: type) -> bool:
    return cls.__module__.startswith("PySide6.")
