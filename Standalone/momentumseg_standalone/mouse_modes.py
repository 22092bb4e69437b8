"""The tool bar that says what the left mouse button does in the views."""

from __future__ import annotations

from typing import Any

from PySide6 import QtGui, QtWidgets

from momentumseg_standalone import icons

_PLACED = (
    ("Point", "vtkMRMLMarkupsFiducialNode", "point", "Click into a view to place a point"),
    ("Region", "vtkMRMLMarkupsROINode", "region", "Click two opposite corners of a box"),
)


class MouseModes(QtWidgets.QToolBar):
    """Buttons that write the scene's interaction and selection nodes, and show what these say.

    Args:
        application_logic: vtkMRMLApplicationLogic.
    """

    def __init__(self, application_logic: Any) -> None:
        super().__init__("Mouse mode")
        self.setObjectName("MouseModeToolBar")
        self._interaction = application_logic.GetInteractionNode()
        self._selection = application_logic.GetSelectionNode()
        self._group = QtGui.QActionGroup(self)
        self._view = self._add("View", "view", "Drag to move the crosshair; the wheel changes the slice")
        self._window_level = self._add("Window/level", "window_level", "Drag to change brightness and contrast")
        self._view.triggered.connect(self._interaction.SwitchToViewTransformMode)
        mode = self._interaction.AdjustWindowLevel
        self._window_level.triggered.connect(lambda: self._interaction.SetCurrentInteractionMode(mode))
        self._place = {}
        for text, class_name, icon, tip in _PLACED:
            self._place[class_name] = action = self._add(text, icon, tip)
            action.triggered.connect(lambda _=False, name=class_name: self.place(name))
        self._tags = [
            (node, node.AddObserver("ModifiedEvent", self._update)) for node in (self._interaction, self._selection)
        ]
        self._update()

    def place(self, class_name: str) -> Any:
        """Begin to place a new markups node. Returns it."""
        node = self._interaction.GetScene().AddNewNodeByClass(class_name)
        node.CreateDefaultDisplayNodes()
        # The markups logic's own SetActiveList knows only points.
        self._selection.SetReferenceActivePlaceNodeClassName(class_name)
        self._selection.SetActivePlaceNodeID(node.GetID())
        self._interaction.SwitchToSinglePlaceMode()
        return node

    def _add(self, text: str, icon: str, tip: str) -> QtGui.QAction:
        action = self.addAction(icons.icon(icon), text)
        action.setToolTip(tip)
        action.setCheckable(True)
        self._group.addAction(action)
        return action

    def _update(self, *_: Any) -> None:
        mode = self._interaction.GetCurrentInteractionMode()
        self._view.setChecked(mode == self._interaction.ViewTransform)
        self._window_level.setChecked(mode == self._interaction.AdjustWindowLevel)
        placed = self._selection.GetActivePlaceNodeClassName() if mode == self._interaction.Place else None
        for class_name, action in self._place.items():
            action.setChecked(class_name == placed)

    def _release(self) -> None:
        for node, tag in self._tags:
            node.RemoveObserver(tag)
