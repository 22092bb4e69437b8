"""Properties of Qt classes as PythonQt shows them: read without parentheses, written by assignment, types checked."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

Reader = Callable[[Any], Any]
Writer = Callable[[Any, Any], None]

_INTEGER_TYPES = frozenset(
    {"int", "uint", "short", "long", "ulong", "longlong", "ulonglong", "qlonglong", "qulonglong"}
)
_NUMBER_TYPES = frozenset({"double", "float"})
_NATIVE_MODULES = (QtCore, QtGui, QtWidgets)


def meta_properties(meta: QtCore.QMetaObject) -> dict[str, QtCore.QMetaProperty]:
    """Return the properties of a meta object, inherited ones included, by name."""
    return {p.name(): p for p in (meta.property(i) for i in range(meta.propertyCount()))}


def reader_of(cls: type, prop: QtCore.QMetaProperty) -> Reader:
    """Return the function that reads a property of an instance of the native class `cls`.

    The getter is preferred to `QObject.property` because it returns enums and Qt values with their own types.
    """
    name = prop.name()
    capital = name[:1].upper() + name[1:]
    candidates = (f"is{capital}", f"has{capital}", name) if prop.typeName() == "bool" else (name,)
    getter = next((g for g in (getattr(cls, c, None) for c in candidates) if inspect.isroutine(g)), None)
    if getter is None:
        return lambda instance: QtCore.QObject.property(instance, name)

    def read(instance: Any) -> Any:
        try:
            return getter(instance)
        except TypeError:  # a method of the same name that wants arguments: not the getter
            return QtCore.QObject.property(instance, name)

    return read


def writer_of(prop: QtCore.QMetaProperty) -> Writer:
    """Return the function that writes a property, and raises ValueError for a value of another type."""
    name, type_name = prop.name(), prop.typeName()
    if not prop.isWritable():
        return _read_only(name)
    enum_class = _enum_class(prop)
    accepts = _accepts(type_name, enum_class)

    def write(instance: Any, value: Any) -> None:
        if not accepts(value):
            raise ValueError(
                f"Property '{name}' of {type(instance).__name__} has the type {type_name}: "
                f"it does not take {value!r} ({type(value).__name__})."
            )
        if enum_class is not None:
            value = enum_class(int(value))
        elif type_name == "bool":
            value = bool(value)
        elif type_name in _NUMBER_TYPES:
            value = float(value)
        if not QtCore.QObject.setProperty(instance, name, value):
            raise ValueError(f"Property '{name}' of {type(instance).__name__} does not take {value!r}.")

    return write


def _read_only(name: str) -> Writer:
    def refuse(instance: Any, value: Any) -> None:
        raise AttributeError(f"Property '{name}' of {type(instance).__name__} cannot be written.")

    return refuse


def _accepts(type_name: str, enum_class: type | None) -> Callable[[Any], bool]:
    """Return the test whether a Python value fits a property type. Stricter than PythonQt, which rounds and parses."""
    if enum_class is not None or type_name in _INTEGER_TYPES:
        return lambda value: isinstance(value, int)
    if type_name == "bool":
        return lambda value: isinstance(value, int) and not isinstance(value, enum.Enum)
    if type_name in _NUMBER_TYPES:
        return lambda value: isinstance(value, (int, float))
    if type_name == "QString":
        return lambda value: isinstance(value, str)
    if type_name == "QStringList":
        return lambda value: isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)
    value_class = _native_class(type_name.rstrip("*"))
    if value_class is None:
        return lambda value: True
    if type_name.endswith("*"):
        return lambda value: value is None or isinstance(value, value_class)
    return lambda value: isinstance(value, value_class) or _converts(value_class, value)


def _converts(value_class: type, value: Any) -> bool:
    """Whether Qt converts the value by itself: a key sequence from a text, a cursor from its shape."""
    if value_class is QtGui.QKeySequence:
        return isinstance(value, (str, int))
    if value_class is QtGui.QCursor:
        return isinstance(value, QtCore.Qt.CursorShape)
    if value_class is QtCore.QUrl:
        return isinstance(value, str)
    return False


def _native_class(name: str) -> type | None:
    for module in _NATIVE_MODULES:
        found = getattr(module, name, None)
        if isinstance(found, type):
            return found
    return None


def _enum_class(prop: QtCore.QMetaProperty) -> type | None:
    """Return the Python enum of a property whose type is an enum or a set of flags."""
    if not prop.isEnumType():
        return None
    enumerator = prop.enumerator()
    scope = QtCore.Qt if enumerator.scope() == "Qt" else _native_class(enumerator.scope())
    for candidate in (enumerator.enumName(), enumerator.name()):
        found = getattr(scope, candidate, None)
        if isinstance(found, type):
            return found
    return None
