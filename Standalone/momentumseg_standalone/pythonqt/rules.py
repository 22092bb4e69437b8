"""What reading and writing an attribute of a Qt object means: PythonQt's rules, put onto the classes of PySide6.

PythonQt asks for a property first, then for methods and signals, then for a dynamic property or a named child. A name
that is none of these raises, on reading and on writing. Only Python subclasses, written by a module's author, take new
attributes.
"""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any

import shiboken6
from PySide6 import QtCore

from momentumseg_standalone.pythonqt import connections
from momentumseg_standalone.pythonqt.properties import Reader, Writer, meta_properties, reader_of, writer_of
from momentumseg_standalone.pythonqt.withheld import refusal, set_python_attribute, withheld_names

# PythonQt has these names as Qt has them, and takes them with an underscore too.
_RESERVED_WORDS = frozenset({"exec", "raise", "print", "del"})

_STAND_IN_MARK = "_is_slicer_stand_in"


class ClassRules:
    """How the names of one class are read and written."""

    def __init__(self, instance: Any) -> None:
        """Collect the properties of the instance's class, less those that a Python subclass replaces."""
        cls = type(instance)
        base = _first_binding_class(cls)
        native = next(c for c in cls.__mro__ if _is_native(c))
        own_names = {n for c in cls.__mro__[: cls.__mro__.index(base)] for n in vars(c)}
        self.takes_new_attributes = base is not cls
        self._guarded: set[str] = set()
        self.readers: dict[str, Reader] = dict(_ADDED_NAMES)
        self.writers: dict[str, Writer] = {}
        # Of a Python class only the instance's meta object is sure to exist: PySide6 makes it anew at times.
        meta = base.staticMetaObject if _is_native(base) else QtCore.QObject.metaObject(instance)  # type: ignore[attr-defined]
        for name, prop in meta_properties(meta).items():
            if not isinstance(_class_attribute(base, name), QtCore.Property):
                self.readers[name] = reader_of(native, prop)
            self.writers[name] = writer_of(prop)
        for name in withheld_names(native):
            if not _is_defined_in_python(base, name):
                self.readers[name] = refusal(name)
        self._guard_overrides(cls, native)
        for name in own_names - self._guarded:
            self.readers.pop(name, None)
            if not isinstance(_class_attribute(cls, name), QtCore.Property):
                self.writers.pop(name, None)

    def _guard_overrides(self, cls: type, native: type) -> None:
        """Let exceptions in Python functions that C++ calls pass through Python once more.

        Before Python 3.12 an exception that was raised by C code has no object yet when Shiboken looks at it, and the
        application crashes instead of showing it.
        """
        if sys.version_info >= (3, 12):
            return
        for python_class in cls.__mro__[: cls.__mro__.index(native)]:
            for name, member in vars(python_class).items():
                is_override = isinstance(member, types.FunctionType) and hasattr(native, name) and name[:1] != "_"
                if is_override and name not in self._guarded:
                    self._guarded.add(name)
                    self.readers[name] = _bound(_guarded(member))


def stand_in(cls: type) -> type:
    """Mark a Python class as one that plays a C++ class: it takes no new attributes, except private ones."""
    setattr(cls, _STAND_IN_MARK, True)
    return cls


def is_stand_in(cls: type) -> bool:
    """Whether `cls` itself (not a base of it) plays a C++ class."""
    return _STAND_IN_MARK in vars(cls)


def put_rules_on(classes: Iterable[type]) -> None:
    """Replace attribute access of the given PySide6 QObject classes by PythonQt's."""
    for cls in classes:
        if cls in _patched:
            continue
        _patched.add(cls)
        # Each class of PySide6 has its own C function here; a function set on QObject alone would not reach them.
        if "__getattribute__" in vars(cls):
            cls.__getattribute__ = _reading(cls.__getattribute__)  # type: ignore[method-assign, assignment]
        if "__setattr__" in vars(cls):
            cls.__setattr__ = _write  # type: ignore[method-assign, assignment]


_patched: set[type] = set()
_rules: dict[type, ClassRules] = {}


def rules_of(instance: Any) -> ClassRules:
    """Return the rules of an object's class, made when it is first used."""
    found = _rules.get(type(instance))
    if found is None:
        found = _rules[type(instance)] = ClassRules(instance)
    return found


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except Exception as error:
            raise error

    return call


def _reading(original: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    def read(self: Any, name: str) -> Any:
        if name[:1] == "_" or not shiboken6.isValid(self):
            return original(self, name)
        if name.rstrip("_") in _RESERVED_WORDS:
            name = _spelling(type(self), name.rstrip("_"))
        reader = rules_of(self).readers.get(name)
        if reader is not None:
            return reader(self)
        try:
            return original(self, name)
        except AttributeError:
            return _read_by_name(self, name)

    return read


def _write(self: Any, name: str, value: Any) -> None:
    if name[:1] == "_" or not shiboken6.isValid(self):  # the latter: before the constructor of Qt's class was called
        set_python_attribute(self, name, value)
        return
    rules = rules_of(self)
    writer = rules.writers.get(name)
    if writer is not None:
        writer(self, value)
    elif rules.takes_new_attributes or type(value) is QtCore.SignalInstance:
        # PySide6 itself keeps a bound signal as an attribute, the first time that it is read.
        set_python_attribute(self, name, value)
    elif name == "name":
        QtCore.QObject.setObjectName(self, value)
    elif isinstance(value, QtCore.QObject) and QtCore.QObject.objectName(value) == name:
        return  # PySide6's QUiLoader sets each named child; it can be read by its name anyway
    elif name in _dynamic_names(self):
        QtCore.QObject.setProperty(self, name, value)
    else:
        raise AttributeError(f"{type(self).__name__} has no property '{name}': a Qt object takes no new attributes.")


def _spelling(cls: type, word: str) -> str:
    """Return how PySide6 spells a function whose name is a reserved word."""
    return word if hasattr(cls, word) else f"{word}_"


def _read_by_name(self: Any, name: str) -> Any:
    """Read what PythonQt looks for last: a dynamic property, a named child."""
    if name in _dynamic_names(self):
        return QtCore.QObject.property(self, name)
    child = QtCore.QObject.findChild(self, QtCore.QObject, name, QtCore.Qt.FindChildOption.FindDirectChildrenOnly)
    if child is not None:
        return child
    if name == "name":
        return QtCore.QObject.objectName(self)
    raise AttributeError(f"{type(self).__name__} has no attribute '{name}'.")


def _dynamic_names(self: Any) -> list[str]:
    return [bytes(n.data()).decode() for n in QtCore.QObject.dynamicPropertyNames(self)]


def _first_binding_class(cls: type) -> type:
    """Return the class that PythonQt would wrap: the first of the bases that is native or plays a native class."""
    return next(c for c in cls.__mro__ if is_stand_in(c) or _is_native(c))


def _is_native(cls: type) -> bool:
    return cls.__module__.startswith("PySide6.")


def _is_defined_in_python(cls: type, name: str) -> bool:
    return any(name in vars(c) for c in cls.__mro__ if not _is_native(c) and c.__module__ != "Shiboken")


def _class_attribute(cls: type, name: str) -> Any:
    return next((vars(c)[name] for c in cls.__mro__ if name in vars(c)), None)


def _bound(function: Callable[..., Any]) -> Reader:
    return lambda instance: types.MethodType(function, instance)


def _class_name(self: QtCore.QObject) -> str:
    """Return the C++ class name."""
    return str(QtCore.QObject.metaObject(self).className())


def _delete(self: QtCore.QObject) -> None:
    """Delete the C++ object now."""
    shiboken6.delete(self)


_ADDED_NAMES: dict[str, Reader] = {
    "connect": _bound(connections.connect),
    "disconnect": _bound(connections.disconnect),
    "className": _bound(_class_name),
    "delete": _bound(_delete),
}
