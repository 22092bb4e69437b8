"""The widget classes that a .ui file may name beside Qt's own."""

from __future__ import annotations

from PySide6 import QtWidgets

_classes: dict[str, type[QtWidgets.QWidget]] = {}


def register_widget_class(name: str, cls: type[QtWidgets.QWidget]) -> None:
    """Let .ui files use `name`; names of ctk go into the module `ctk`, all others into `slicer`."""
    _classes[name] = cls


def widget_class(name: str) -> type[QtWidgets.QWidget] | None:
    """Return the registered class, None for a name that nobody registered."""
    return _classes.get(name)


def widget_class_names() -> list[str]:
    """Return the registered names, sorted."""
    return sorted(_classes)


def classes_of_ctk() -> dict[str, type[QtWidgets.QWidget]]:
    """Return the registered classes that real Slicer offers in the module `ctk`."""
    return {n: c for n, c in _classes.items() if n.startswith("ctk")}


def classes_of_slicer() -> dict[str, type[QtWidgets.QWidget]]:
    """Return the registered classes that real Slicer offers in the package `slicer`."""
    return {n: c for n, c in _classes.items() if not n.startswith("ctk")}
