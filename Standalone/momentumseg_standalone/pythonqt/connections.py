"""`object.connect("signal(type)", function)` and `object.disconnect(...)`, the way PythonQt has them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from PySide6 import QtCore

# vtk objects have no Qt type: our widgets declare such signal arguments as Python objects.
_VTK_POINTER = re.compile(r"vtk\w+\*")


def signal_signatures(instance: QtCore.QObject) -> dict[str, str]:
    """Return the signals of an object: signature as a caller writes it -> signature of the meta object."""
    meta = QtCore.QObject.metaObject(instance)
    methods = (meta.method(i) for i in range(meta.methodCount()))
    return {
        bytes(m.methodSignature().data()).decode(): bytes(m.methodSignature().data()).decode()
        for m in methods
        if m.methodType() == QtCore.QMetaMethod.MethodType.Signal
    }


def find_signal(instance: QtCore.QObject, signature: str) -> str:
    """Return the meta object's signature of a signal.

    Raises:
        ValueError: the object has no such signal.
    """
    normalized = bytes(QtCore.QMetaObject.normalizedSignature(signature).data()).decode()
    known = signal_signatures(instance)
    for candidate in (normalized, _VTK_POINTER.sub("PyObject", normalized)):
        if candidate in known:
            return candidate
    name = normalized.split("(")[0]
    same_name = sorted(s for s in known if s.split("(")[0] == name)
    hint = f" (it has {', '.join(same_name)})" if same_name else ""
    raise ValueError(f"{type(instance).__name__} has no signal '{signature}'{hint}.")


def connect(instance: QtCore.QObject, signal: str, *target: Any) -> bool:
    """Connect a signal to a callable, or to a slot of a receiver: `connect(signal, receiver, "slot(type)")`."""
    callback = _callback(target)
    found = find_signal(instance, signal)
    wrapper = _trimmed(callback)
    QtCore.QObject.connect(instance, QtCore.SIGNAL(found), wrapper)
    _connections(instance).append((found, callback, wrapper))
    return True


def disconnect(instance: QtCore.QObject, signal: str | None = None, *target: Any) -> bool:
    """Disconnect a callable from a signal; without a callable, everything that Python connected to it.

    Returns whether anything was connected.
    """
    connections = _connections(instance)
    wanted = None if signal is None else find_signal(instance, signal)
    callback = _callback(target) if target else None
    kept, gone = [], []
    for entry in connections:
        matches = (wanted is None or entry[0] == wanted) and (callback is None or entry[1] == callback)
        (gone if matches else kept).append(entry)
    connections[:] = kept
    for sender_signal, _, wrapper in gone:
        QtCore.QObject.disconnect(instance, QtCore.SIGNAL(sender_signal), wrapper)
    return bool(gone)


class _Connections:
    """What Python connected to one object: (signal of the meta object, callable, wrapper that Qt calls)."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, Callable[..., Any], Callable[..., None]]] = []


# A dynamic property lives as long as the C++ object; a Python attribute would go with its wrapper.
_PROPERTY = "_q_pythonqt_connections"


def _connections(instance: QtCore.QObject) -> list[tuple[str, Callable[..., Any], Callable[..., None]]]:
    found = QtCore.QObject.property(instance, _PROPERTY)
    if not isinstance(found, _Connections):
        found = _Connections()
        QtCore.QObject.setProperty(instance, _PROPERTY, found)
    return found.entries


def _callback(target: tuple[Any, ...]) -> Callable[..., Any]:
    """Return the callable that `connect`'s arguments after the signal name."""
    if len(target) == 1 and callable(target[0]):
        return target[0]
    if len(target) == 2 and isinstance(target[0], QtCore.QObject) and isinstance(target[1], str):
        slot = getattr(target[0], target[1].split("(")[0], None)
        if callable(slot):
            return slot
        raise ValueError(f"{type(target[0]).__name__} has no slot '{target[1]}'.")
    raise ValueError(f"connect takes a callable, or a receiver and the name of its slot: got {target!r}.")


def _trimmed(callback: Callable[..., Any]) -> Callable[..., None]:
    """Return a function that hands on as many arguments as a Python function takes, as PythonQt does."""
    most = _most_arguments(callback)

    def call(*arguments: Any) -> None:
        callback(*arguments[:most])

    return call


def _most_arguments(callback: Callable[..., Any]) -> int | None:
    """Return how many positional arguments a Python function takes, None for any number or a function of Qt."""
    function = callback.__func__ if inspect.ismethod(callback) else callback
    if not inspect.isfunction(function) or function.__code__.co_flags & inspect.CO_VARARGS:
        return None
    return function.__code__.co_argcount - (1 if inspect.ismethod(callback) else 0)
