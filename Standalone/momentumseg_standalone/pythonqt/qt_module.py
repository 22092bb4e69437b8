"""The module `qt`: the classes of QtCore, QtGui and QtWidgets under one name, as in 3D Slicer."""

from __future__ import annotations

import types

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

from momentumseg_standalone.pythonqt.rules import put_rules_on
from momentumseg_standalone.pythonqt.ui_loader import UiLoader
from momentumseg_standalone.pythonqt.withheld import guard_value_class, guarded_value_classes

_MODULES = (QtCore, QtGui, QtWidgets, QtUiTools)


def make_qt_module() -> types.ModuleType:
    """Return the module, and put PythonQt's rules onto its classes."""
    module = types.ModuleType("qt", "Qt as 3D Slicer's Python shows it.")
    classes: dict[str, type] = {}
    for source in _MODULES:
        for name in dir(source):  # the classes are made when they are asked for: vars() would miss them
            found = getattr(source, name)
            if isinstance(found, type) and name[:1] == "Q":
                classes[name] = found
    put_rules_on(c for c in classes.values() if issubclass(c, QtCore.QObject))
    for name in guarded_value_classes():
        if name in classes and not issubclass(classes[name], QtCore.QObject):
            guard_value_class(classes[name])
    vars(module).update(classes)
    module.QUiLoader = UiLoader  # type: ignore[attr-defined]
    module.Qt = QtCore.Qt  # type: ignore[attr-defined]
    return module
