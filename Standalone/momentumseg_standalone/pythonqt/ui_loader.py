"""Loading of .ui files: QUiLoader with Slicer's widgets, strict about what it does not know."""

from __future__ import annotations

import functools
import operator
import xml.etree.ElementTree as ElementTree
from typing import Any

from PySide6 import QtCore, QtUiTools, QtWidgets

from momentumseg_standalone.pythonqt import registry

# Shiboken does not survive the deletion of a parent of an object whose constructor failed: such panels are kept.
_abandoned: list[Any] = []


class UiLoader(QtUiTools.QUiLoader):
    """QUiLoader that makes our widget classes, connects signals by their C++ signatures and refuses unknown classes."""

    def load(self, device: QtCore.QIODevice, parent: QtWidgets.QWidget | None = None) -> QtWidgets.QWidget:
        """Return the widget that an open .ui file describes.

        Raises:
            RuntimeError: the file is not valid, or names a class, signal or slot that does not exist.
        """
        content = bytes(device.readAll().data())
        try:
            root = ElementTree.fromstring(content)
        except ElementTree.ParseError as error:
            raise RuntimeError(f"The .ui file is not valid XML: {error}.") from error
        self._refuse_unknown_classes(root)
        for node in root.iter("widget"):
            _resolve_own_enums(node)
        connections = [_connection(node) for node in root.iterfind("connections/connection")]
        for node in root.findall("connections"):
            root.remove(node)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(root))
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        self._failure: Exception | None = None
        widget = super().load(buffer, parent)
        if self._failure is not None:
            _abandoned.append(widget)
            raise self._failure
        if widget is None:
            raise RuntimeError(f"The .ui file could not be loaded: {self.errorString()}")
        for sender, signal, receiver, slot in connections:
            _child(widget, sender).connect(signal, _child(widget, receiver), slot)
        return widget

    def createWidget(self, class_name: str, parent: QtWidgets.QWidget | None = None, name: str = "") -> Any:
        """Make one widget of the file; called by Qt."""
        try:
            return self._make(class_name, parent, name)
        except Exception as error:  # noqa: BLE001 - raised again by load: Qt cannot hand it on, and PySide6 crashes
            self._failure = self._failure or error
            return QtWidgets.QWidget(parent)

    def _make(self, class_name: str, parent: QtWidgets.QWidget | None, name: str) -> Any:
        cls = registry.widget_class(class_name)
        if cls is None:
            return super().createWidget(class_name, parent, name)
        widget = cls(parent)
        QtCore.QObject.setObjectName(widget, name)
        return widget

    def _refuse_unknown_classes(self, root: ElementTree.Element) -> None:
        native = set(self.availableWidgets()) | {"Line", "QLayoutWidget"}
        used = {(w.get("class", ""), w.get("name", "")) for w in root.iter("widget")}
        unknown = sorted((c, n) for c, n in used if c not in native and registry.widget_class(c) is None)
        if unknown:
            listed = ", ".join(f"{c} ('{n}')" for c, n in unknown)
            raise RuntimeError(f"The .ui file uses widget classes that this application does not have: {listed}.")


def _resolve_own_enums(node: ElementTree.Element) -> None:
    """Write enum values of our classes (`ctkPathLineEdit::Dirs|...`) as numbers: Qt knows no enums of theirs."""
    cls = registry.widget_class(node.get("class", ""))
    if cls is None:
        return
    for value in (v for p in node.findall("property") for v in p if v.tag in ("set", "enum")):
        names = [part.split("::")[-1].strip() for part in (value.text or "").split("|")]
        numbers = [vars(cls).get(name) for name in names]
        if all(isinstance(number, int) for number in numbers):
            value.tag, value.text = "number", str(functools.reduce(operator.or_, numbers))  # type: ignore[arg-type]


def _connection(node: ElementTree.Element) -> tuple[str, str, str, str]:
    return tuple(node.findtext(tag, "").strip() for tag in ("sender", "signal", "receiver", "slot"))  # type: ignore


def _child(widget: QtWidgets.QWidget, name: str) -> Any:
    found = (
        widget if QtCore.QObject.objectName(widget) == name else QtCore.QObject.findChild(widget, QtCore.QObject, name)
    )
    if found is None:
        raise RuntimeError(f"The .ui file connects '{name}', but has no widget of this name.")
    return found
