"""Effects that are drawn with an outline: Draw fills it on one slice, Scissors cuts through all slices."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6 import QtCore, QtGui, QtWidgets

from momentumseg_standalone.segment_editor.effect import ADD, REMOVE, qSlicerSegmentEditorAbstractEffect
from momentumseg_standalone.segment_editor.labelmaps import segment_mask
from momentumseg_standalone.segment_editor.paint import _qt_point
from momentumseg_standalone.segment_editor.shapes import Mask, outline_mask
from momentumseg_standalone.views.slice_widget import qMRMLSliceWidget


class _OutlineEffect(qSlicerSegmentEditorAbstractEffect):
    """Collects an outline: by dragging, or by clicking corner after corner."""

    _CLICKED = False  # corners by clicks, closed by the right button, a double click or Return

    def _make_options(self) -> None:
        self._path: list[tuple[int, int]] = []
        self._where: Any = None
        self._held = False

    def deactivate(self) -> None:
        super().deactivate()
        self._cancel()

    def _process(self, event: str, interactor: Any, widget: Any) -> bool:
        if not isinstance(widget, qMRMLSliceWidget):
            return False
        position = interactor.GetEventPosition()
        if event == "LeftButtonPressEvent" and not interactor.GetShiftKey() and not interactor.GetControlKey():
            return self._pressed(position, widget)
        if not self._path or widget is not self._where:
            return False
        if event == "MouseMoveEvent" and self._held:
            self._add(position)
            return True
        if event == "LeftButtonReleaseEvent" and self._held:
            self._held = False
            if not self._CLICKED:
                self._close()
            return True
        if event == "KeyPressEvent":
            return self._key_pressed(interactor.GetKeySym())
        if event in ("RightButtonPressEvent", "LeftButtonDoubleClickEvent") and self._CLICKED:
            self._close()
            return True
        return False

    def _pressed(self, position: tuple[int, int], widget: qMRMLSliceWidget) -> bool:
        if not self._editor._can_edit(tell=True):
            return True
        if widget is not self._where:
            self._path, self._where = [], widget
        self._held = True
        self._add(position)
        return True

    def _key_pressed(self, key: str) -> bool:
        if key == "Return":
            self._close()
        elif key == "Escape":
            self._cancel()
        elif key in ("BackSpace", "Delete"):
            self._path.pop()
            self._editor._refresh_overlays()
        else:
            return False
        return True

    def _add(self, position: tuple[int, int]) -> None:
        if not self._path or self._path[-1] != position:
            self._path.append(position)
        self._editor._refresh_overlays()

    def _cancel(self) -> None:
        self._path, self._held = [], False
        self._editor._refresh_overlays()

    def _close(self) -> None:
        path, self._held = self._path, False
        self._path = []
        grid = self._grid()
        if len(path) >= 3 and grid is not None and self._editor._can_edit():
            slice_node = self._where.mrmlSliceNode()
            self._apply(grid, self._plane(slice_node), self._points(slice_node, np.array(path, dtype=float)))
        self._editor._refresh_overlays()

    def _apply(self, grid: Any, plane: Any, outline: np.ndarray) -> None:
        raise NotImplementedError

    def _paint_overlay(self, painter: QtGui.QPainter, widget: qMRMLSliceWidget) -> None:
        if widget is not self._where or not self._path:
            return
        points = [_qt_point(widget.sliceView(), xy) for xy in self._path]
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        color = QtGui.QColor(self._editor._segment_color())
        painter.setPen(QtGui.QPen(color, 2))
        fill = QtGui.QColor(color)
        fill.setAlphaF(0.2)
        painter.setBrush(fill)
        painter.drawPolygon(points)
        if self._CLICKED:
            painter.setBrush(color)
            for point in points if len(points) < 60 else points[-1:]:
                painter.drawEllipse(point, 2.5, 2.5)


class DrawEffect(_OutlineEffect):
    """Outline on one slice, filled."""

    _NAME = "Draw"
    _TITLE = "Draw"
    _HELP = "Drag around the structure, or click corner after corner. Right button or Return: fill. Escape: anew."
    _CLICKED = True

    def _apply(self, grid: Any, plane: Any, outline: np.ndarray) -> None:
        self._modify(outline_mask(grid, plane, outline), ADD)


_OPERATIONS = (
    ("EraseInside", "Erase inside"),
    ("EraseOutside", "Erase outside"),
    ("FillInside", "Fill inside"),
)


class ScissorsEffect(_OutlineEffect):
    """Outline through all slices."""

    _NAME = "Scissors"
    _TITLE = "Scissors"
    _HELP = "Drag an outline in a slice view; it cuts through all slices."
    _DEFAULTS = {"Operation": "EraseInside", "SliceCut": "0"}

    def _make_options(self) -> None:
        super()._make_options()
        self._operation = QtWidgets.QComboBox()
        for value, text in _OPERATIONS:
            self._operation.addItem(text, value)
        self._operation.setToolTip("What happens inside or outside of the outline")
        self._operation.setAccessibleName("Operation of the scissors")
        self._slice_only = QtWidgets.QCheckBox("This slice only")
        self._slice_only.setToolTip("Cut only the slice that is shown")
        self._form.addRow("Operation:", self._operation)
        self._form.addRow("", self._slice_only)
        self._operation.activated.connect(lambda index: self.setParameter("Operation", self._operation.itemData(index)))
        self._slice_only.toggled.connect(lambda on: self.setParameter("SliceCut", on))

    def updateGUIFromMRML(self) -> None:
        blockers = [QtCore.QSignalBlocker(widget) for widget in (self._operation, self._slice_only)]
        self._operation.setCurrentIndex(self._operation.findData(self.parameter("Operation")))
        self._slice_only.setChecked(bool(self.integerParameter("SliceCut")))
        del blockers

    def _apply(self, grid: Any, plane: Any, outline: np.ndarray) -> None:
        mask = outline_mask(grid, plane, outline, through=not self.integerParameter("SliceCut"))
        operation = self.parameter("Operation")
        if operation == "FillInside":
            self._modify(mask, ADD)
        elif operation == "EraseInside":
            self._modify(mask, REMOVE)
        else:
            self._keep_inside(mask, plane, grid)

    def _keep_inside(self, mask: Mask | None, plane: Any, grid: Any) -> None:
        """Erase outside. On one slice only, everything on other slices stays."""
        own = segment_mask(self._editor.segmentationNode(), self._editor.currentSegmentID())
        if own is None:
            return
        outside = Mask(own.voxels & ~_window(mask, own.extent), own.extent)
        if self.integerParameter("SliceCut"):
            corners = plane.origin + 1e4 * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) @ plane.axes[:2]
            outside = Mask(outside.voxels & _window(outline_mask(grid, plane, corners), own.extent), own.extent)
        self._modify(outside if outside.voxels.any() else None, REMOVE)


def _window(mask: Mask | None, extent: tuple[int, ...]) -> np.ndarray:
    """(K, J, I) voxels of a mask within an extent; False where it says nothing."""
    shape = tuple(extent[2 * axis + 1] - extent[2 * axis] + 1 for axis in (2, 1, 0))
    result = np.zeros(shape, dtype=bool)
    if mask is None:
        return result
    target, source = [], []
    for axis in (2, 1, 0):
        first = max(extent[2 * axis], mask.extent[2 * axis])
        end = min(extent[2 * axis + 1], mask.extent[2 * axis + 1]) + 1
        if first >= end:
            return result
        target.append(slice(first - extent[2 * axis], end - extent[2 * axis]))
        source.append(slice(first - mask.extent[2 * axis], end - mask.extent[2 * axis]))
    result[tuple(target)] = mask.voxels[tuple(source)]
    return result
