"""Real Qt events for the views, and what a test asks of the scene afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np


class Mouse:
    """Moves, presses and turns in one view. Positions are Qt pixels of the view's widget, from above."""

    def __init__(self, view: Any) -> None:
        self.view = view

    def click(self, x: int, y: int, *, button: str = "LeftButton", modifier: str = "NoModifier") -> None:
        self.drag([(x, y)], button=button, modifier=modifier)

    def drag(self, path: list[tuple[int, int]], *, button: str = "LeftButton", modifier: str = "NoModifier") -> None:
        from PySide6.QtCore import QPoint, Qt
        from PySide6.QtTest import QTest

        pressed, held = getattr(Qt.MouseButton, button), getattr(Qt.KeyboardModifier, modifier)
        points = [QPoint(*position) for position in path]
        QTest.mouseMove(self.view, points[0])
        settle()
        QTest.mousePress(self.view, pressed, held, points[0])
        for point in points[1:]:
            self._move(point, pressed, held)
        QTest.mouseRelease(self.view, pressed, held, points[-1])
        settle()

    def move(self, x: int, y: int) -> None:
        from PySide6.QtCore import QPoint, Qt

        self._move(QPoint(x, y), Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier)
        settle()

    def wheel(self, x: int, y: int, notches: int = 1, *, modifier: str = "NoModifier") -> None:
        from PySide6 import QtCore, QtGui, QtWidgets
        from PySide6.QtCore import Qt

        position = QtCore.QPointF(x, y)
        event = QtGui.QWheelEvent(
            position,
            QtCore.QPointF(self.view.mapToGlobal(position.toPoint())),
            QtCore.QPoint(0, 0),
            QtCore.QPoint(0, 120 * notches),
            Qt.MouseButton.NoButton,
            getattr(Qt.KeyboardModifier, modifier),
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QtWidgets.QApplication.sendEvent(self.view, event)
        settle()

    def key(self, key: str) -> None:
        from PySide6.QtCore import Qt
        from PySide6.QtTest import QTest

        QTest.keyClick(self.view, getattr(Qt.Key, key))
        settle()

    def _move(self, point: Any, button: Any, modifier: Any) -> None:
        """QTest.mouseMove knows no held button."""
        from PySide6 import QtCore, QtGui, QtWidgets
        from PySide6.QtCore import Qt

        event = QtGui.QMouseEvent(
            QtCore.QEvent.Type.MouseMove,
            QtCore.QPointF(point),
            QtCore.QPointF(self.view.mapToGlobal(point)),
            Qt.MouseButton.NoButton,
            button,
            modifier,
        )
        QtWidgets.QApplication.sendEvent(self.view, event)


def settle() -> None:
    """Let the event loop draw and deliver what is pending."""
    from PySide6 import QtWidgets

    for _ in range(4):
        QtWidgets.QApplication.processEvents()


def add_volume(array: np.ndarray, ijk_to_ras: np.ndarray, name: str = "volume") -> Any:
    """A volume node that the slice views show."""
    import slicer

    node = slicer.util.addVolumeFromArray(array, ijk_to_ras, name)
    node.CreateDefaultDisplayNodes()
    logic = slicer.app.applicationLogic()
    logic.GetSelectionNode().SetActiveVolumeID(node.GetID())
    logic.PropagateVolumeSelection()
    settle()
    return node


def ras_of_voxels(shape: tuple[int, int, int], ijk_to_ras: np.ndarray) -> np.ndarray:
    """(K, J, I, 3) centres of all voxels, mm."""
    k, j, i = np.indices(shape)
    return np.stack([i, j, k, np.ones(shape)], axis=-1) @ ijk_to_ras[:3].T


def ras_under(view: Any, x: int, y: int) -> np.ndarray:
    """World position under a Qt pixel of a slice view."""
    import slicer

    matrix = slicer.util.arrayFromVTKMatrix(view.mrmlSliceNode().GetXYToRAS())
    ratio = view.devicePixelRatioF()
    height = view.renderWindow().GetSize()[1]
    return (matrix @ (int(x * ratio), height - 1 - int(y * ratio), 0, 1))[:3]


def pixel_of(view: Any, ras: Any) -> tuple[int, int]:
    """The Qt pixel of a slice view that is nearest to a world position."""
    import slicer

    matrix = slicer.util.arrayFromVTKMatrix(view.mrmlSliceNode().GetXYToRAS())
    x, y = np.linalg.solve(matrix, (*ras, 1.0))[:2]
    ratio = view.devicePixelRatioF()
    height = view.renderWindow().GetSize()[1]
    return round(x / ratio), round((height - 1 - y) / ratio)


def segment_array(segmentation: Any, segment_id: str, volume: Any) -> np.ndarray:
    """(K, J, I) bool in the volume's grid."""
    import slicer

    return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment_id, volume) > 0
