"""The 3D view with its bar."""

from __future__ import annotations

from typing import Any

from PySide6 import QtWidgets

from momentumseg_standalone.pythonqt.rules import stand_in
from momentumseg_standalone.views.three_d_view import qMRMLThreeDView
from momentumseg_standalone.views.view_bar import ViewBar


@stand_in
class qMRMLThreeDWidget(QtWidgets.QWidget):
    """Names of Slicer's class; what is ours has a leading underscore.

    Args:
        view_node: vtkMRMLViewNode.
        application_logic: vtkMRMLApplicationLogic.
        parent: of the widget.
    """

    def __init__(self, view_node: Any, application_logic: Any, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(f"qMRMLThreeDWidget{view_node.GetLayoutName()}")
        self._view = qMRMLThreeDView(view_node, application_logic, self)
        self._bar = ViewBar(view_node.GetLayoutLabel(), view_node.GetLayoutColor(), "3D view")
        center = self._bar.tool_button("fit", "Fit the 3D view to what is shown")
        center.clicked.connect(self._view.resetCamera)
        self._bar.add(QtWidgets.QLabel("3D"))
        self._bar.add_stretch()
        self._bar.add(center)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._bar)
        layout.addWidget(self._view, 1)

    def threeDView(self) -> qMRMLThreeDView:
        return self._view

    def viewWidget(self) -> qMRMLThreeDView:
        return self._view

    def mrmlViewNode(self) -> Any:
        return self._view.mrmlViewNode()

    def _release(self) -> None:
        self._view._release()
