"""Slicer's descriptions of layouts (XML), built as Qt widgets."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree

from PySide6 import QtWidgets
from PySide6.QtCore import Qt

ViewOf = Callable[[str, str], QtWidgets.QWidget | None]


def build_layout(description: str, view_of: ViewOf) -> QtWidgets.QWidget | None:
    """The widget of a layout.

    Args:
        description: XML as vtkMRMLLayoutNode.GetCurrentLayoutDescription returns it.
        view_of: gives the widget of a view from its class name and its tag; None for a kind that is not offered.

    Returns:
        None if no view of the description is offered.
    """
    return _build(ElementTree.fromstring(description), view_of)


def _build(element: ElementTree.Element, view_of: ViewOf) -> QtWidgets.QWidget | None:
    if element.tag == "view":
        return view_of(element.get("class", ""), element.get("singletontag", ""))
    built = [(item, _build(child, view_of)) for item in element.findall("item") for child in item]
    parts = [(item, widget) for item, widget in built if widget is not None]
    if not parts:
        return None
    if len(parts) == 1:
        return parts[0][1]
    if element.get("type") == "tab":
        return _tabs(parts)
    vertical = element.get("type", "vertical") == "vertical"
    return _splitter(parts, Qt.Orientation.Vertical if vertical else Qt.Orientation.Horizontal)


def _splitter(
    parts: list[tuple[ElementTree.Element, QtWidgets.QWidget]], orientation: Qt.Orientation
) -> QtWidgets.QSplitter:
    splitter = QtWidgets.QSplitter(orientation)
    splitter.setChildrenCollapsible(False)
    splitter.setHandleWidth(3)
    for index, (_, widget) in enumerate(parts):
        splitter.addWidget(widget)
        splitter.setStretchFactor(index, 1)
    sizes = [int(item.get("splitSize", 0)) for item, _ in parts]
    splitter.setSizes(sizes if all(sizes) else [1000] * len(parts))
    return splitter


def _tabs(parts: list[tuple[ElementTree.Element, QtWidgets.QWidget]]) -> QtWidgets.QTabWidget:
    tabs = QtWidgets.QTabWidget()
    for item, widget in parts:
        tabs.addTab(widget, item.get("name") or widget.accessibleName or widget.objectName)
    return tabs
