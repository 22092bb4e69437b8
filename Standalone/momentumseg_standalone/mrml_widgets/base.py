"""Widgets that know the scene: qMRMLWidget, qSlicerWidget."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from momentumseg_standalone.pythonqt.rules import stand_in


@stand_in
class qMRMLWidget(QtWidgets.QWidget):  # noqa: N801 - the name of the class it plays
    """A widget with a scene, which it hands on by its signal."""

    mrmlSceneChanged = QtCore.Signal(object)

    def __init__(self, parent: QtWidgets.QWidget | None = None, *flags: Any) -> None:
        """Make a widget without a scene."""
        self._scene: Any = None
        super().__init__(parent, *flags)

    def mrmlScene(self) -> Any:
        """Return the vtkMRMLScene or None."""
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        """Set the vtkMRMLScene (None for none)."""
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)

    def pixmapFromIcon(self, icon: QtGui.QIcon) -> QtGui.QPixmap:
        """Return the icon as large as the style shows small icons."""
        return icon.pixmap(self.style().pixelMetric(QtWidgets.QStyle.PixelMetric.PM_SmallIconSize))


@stand_in
class qSlicerWidget(QtWidgets.QWidget):  # noqa: N801
    """A widget with a scene, which it hands on by its signal."""

    mrmlSceneChanged = QtCore.Signal(object)

    def __init__(self, parent: QtWidgets.QWidget | None = None, *flags: Any) -> None:
        """Make a widget without a scene."""
        self._scene: Any = None
        super().__init__(parent, *flags)

    def setMRMLScene(self, scene: Any) -> None:
        """Set the vtkMRMLScene (None for none)."""
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)
