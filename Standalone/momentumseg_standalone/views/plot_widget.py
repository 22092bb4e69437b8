"""The plot view with its bar."""

from __future__ import annotations

from typing import Any

from PySide6 import QtWidgets

from momentumseg_standalone.pythonqt.rules import stand_in
from momentumseg_standalone.views.plot_view import PlotView
from momentumseg_standalone.views.view_bar import ViewBar


@stand_in
class qMRMLPlotWidget(QtWidgets.QWidget):
    """Names of Slicer's class; what is ours has a leading underscore.

    Args:
        view_node: vtkMRMLPlotViewNode.
        parent: of the widget.
    """

    def __init__(self, view_node: Any, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._view_node = view_node
        self.setObjectName(f"qMRMLPlotWidget{view_node.GetLayoutName()}")
        self._view = PlotView(view_node, self)
        self._bar = ViewBar(view_node.GetLayoutLabel(), view_node.GetLayoutColor(), "Plot view")
        fit = self._bar.tool_button("fit", "Show all of the curves")
        fit.clicked.connect(self._view.fit)
        self._bar.add(QtWidgets.QLabel("Plot"))
        self._bar.add_stretch()
        self._bar.add(fit)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._bar)
        layout.addWidget(self._view, 1)

    def viewWidget(self) -> PlotView:
        return self._view

    def mrmlPlotViewNode(self) -> Any:
        return self._view_node

    def _release(self) -> None:
        self._view._release()
