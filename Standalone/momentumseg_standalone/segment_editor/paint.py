"""Paint and erase with a round brush."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Qt

from momentumseg_standalone.segment_editor.effect import ADD, REMOVE, qSlicerSegmentEditorAbstractEffect
from momentumseg_standalone.segment_editor.labelmaps import array_of
from momentumseg_standalone.segment_editor.shapes import stroke_mask
from momentumseg_standalone.views.slice_widget import qMRMLSliceWidget

_WHEEL_FACTOR = 1.2
_LARGEST_MM = 400.0


class PaintEffect(qSlicerSegmentEditorAbstractEffect):
    """The stroke is drawn while the button is held and applied when it is released: one undo step a stroke."""

    _NAME = "Paint"
    _TITLE = "Paint"
    _HELP = "Drag in a slice view to paint. Shift and wheel: brush size."
    _DEFAULTS = {"BrushSphere": "0"}
    _COMMON_DEFAULTS = {"BrushDiameterIsRelative": "1", "BrushRelativeDiameter": "3", "BrushAbsoluteDiameter": "10"}
    _MODE = ADD

    def _make_options(self) -> None:
        self._path: list[tuple[int, int]] = []
        self._cursor: tuple[int, int] | None = None
        self._where: Any = None
        row = QtWidgets.QHBoxLayout()
        self._slider = QtWidgets.QSlider(Qt.Orientation.Horizontal)
        self._slider.setRange(1, 100)
        self._slider.setToolTip("Diameter of the brush")
        self._slider.setAccessibleName("Brush diameter")
        self._spin = QtWidgets.QDoubleSpinBox()
        self._spin.setRange(0.1, _LARGEST_MM)
        self._spin.setDecimals(1)
        self._spin.setToolTip("Diameter of the brush, in mm or as a part of the view's height")
        self._spin.setAccessibleName("Brush diameter")
        self._relative = QtWidgets.QCheckBox("of view")
        self._relative.setToolTip("The brush keeps its size on the screen when the view is zoomed")
        for widget in (self._slider, self._spin, self._relative):
            row.addWidget(widget)
        self._form.addRow("Diameter:", row)
        self._sphere = QtWidgets.QCheckBox("Sphere brush")
        self._sphere.setToolTip("Paint in the neighbouring slices too")
        self._form.addRow("", self._sphere)
        self._slider.valueChanged.connect(self._set_diameter)
        self._spin.valueChanged.connect(self._set_diameter)
        self._relative.toggled.connect(lambda on: self.setCommonParameter("BrushDiameterIsRelative", on))
        self._sphere.toggled.connect(lambda on: self.setParameter("BrushSphere", on))

    def updateGUIFromMRML(self) -> None:
        relative = bool(self.integerParameter("BrushDiameterIsRelative"))
        value = self.doubleParameter(self._diameter_name())
        widgets = (self._slider, self._spin, self._relative, self._sphere)
        blockers = [QtCore.QSignalBlocker(widget) for widget in widgets]
        self._slider.setValue(round(value))
        self._spin.setValue(value)
        self._spin.setSuffix(" %" if relative else " mm")
        self._relative.setChecked(relative)
        self._sphere.setChecked(bool(self.integerParameter("BrushSphere")))
        del blockers

    def deactivate(self) -> None:
        super().deactivate()
        self._path, self._cursor = [], None
        self._editor._refresh_overlays()

    def _diameter_name(self) -> str:
        return "BrushRelativeDiameter" if self.integerParameter("BrushDiameterIsRelative") else "BrushAbsoluteDiameter"

    def _set_diameter(self, value: float) -> None:
        self.setCommonParameter(self._diameter_name(), float(value))

    def _diameter(self, slice_node: Any) -> float:
        """Of the brush in a view, mm."""
        value = self.doubleParameter(self._diameter_name())
        if not self.integerParameter("BrushDiameterIsRelative"):
            return value
        return value / 100 * slice_node.GetDimensions()[1] * _pixel_size(slice_node)

    def _process(self, event: str, interactor: Any, widget: Any) -> bool:
        if not isinstance(widget, qMRMLSliceWidget):
            return False
        position = interactor.GetEventPosition()
        if event == "LeaveEvent":
            self._cursor = None
        elif event in ("MouseMoveEvent", "EnterEvent"):
            self._cursor, self._where = position, self._where if self._path else widget
        self._editor._refresh_overlays()
        if event.startswith("MouseWheel"):
            return self._wheel_turned(event, interactor)
        if event == "LeftButtonPressEvent" and not interactor.GetShiftKey() and not interactor.GetControlKey():
            self._path, self._where, self._cursor = [position], widget, position
            return self._editor._can_edit(tell=True)
        if not self._path or widget is not self._where:
            return False
        if event == "MouseMoveEvent":
            self._path.append(position)
            return True
        if event == "LeftButtonReleaseEvent":
            self._finish(position)
            return True
        return False

    def _wheel_turned(self, event: str, interactor: Any) -> bool:
        if not interactor.GetShiftKey():
            return False
        factor = _WHEEL_FACTOR if event == "MouseWheelForwardEvent" else 1 / _WHEEL_FACTOR
        self._set_diameter(min(max(self.doubleParameter(self._diameter_name()) * factor, 0.1), _LARGEST_MM))
        return True

    def _finish(self, position: tuple[int, int]) -> None:
        path = self._path if self._path[-1] == position else [*self._path, position]
        self._path = []
        slice_node, grid = self._where.mrmlSliceNode(), self._grid()
        if grid is None or not self._editor._can_edit():
            return
        points = self._points(slice_node, np.array(path, dtype=float))
        sphere = bool(self.integerParameter("BrushSphere"))
        mask = stroke_mask(grid, self._plane(slice_node), points, self._diameter(slice_node) / 2, sphere=sphere)
        self._modify(mask, self._MODE)
        self._editor._refresh_overlays()

    def _paint_overlay(self, painter: QtGui.QPainter, widget: qMRMLSliceWidget) -> None:
        if widget is not self._where or self._cursor is None:
            return
        view, node = widget.sliceView(), widget.mrmlSliceNode()
        ratio = view.devicePixelRatioF()
        diameter = self._diameter(node) / _pixel_size(node) / ratio
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        if self._path:
            self._paint_stroke(painter, [_qt_point(view, xy) for xy in self._path], diameter)
        centre = _qt_point(view, self._cursor)
        for color, width in ((QtGui.QColor(0, 0, 0, 180), 3.0), (QtGui.QColor(255, 255, 255), 1.2)):
            painter.setPen(QtGui.QPen(color, width))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawEllipse(centre, diameter / 2, diameter / 2)

    def _paint_stroke(self, painter: QtGui.QPainter, points: list[QtCore.QPointF], diameter: float) -> None:
        color = QtGui.QColor(self._editor._segment_color() if self._MODE == ADD else QtGui.QColor(0, 0, 0))
        color.setAlphaF(0.45)
        pen = QtGui.QPen(color, max(diameter, 1.0))
        pen.setCapStyle(Qt.PenCapStyle.RoundCap)
        pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
        painter.setPen(pen)
        painter.drawPolyline([*points, points[-1] + QtCore.QPointF(0.01, 0)])  # a single point is drawn too


class EraseEffect(PaintEffect):
    """The same brush takes away."""

    _NAME = "Erase"
    _TITLE = "Erase"
    _HELP = "Drag in a slice view to erase. Shift and wheel: brush size."
    _MODE = REMOVE


def _pixel_size(slice_node: Any) -> float:
    """Height of a device pixel, mm."""
    return float(np.linalg.norm(array_of(slice_node.GetXYToRAS())[:3, 1]))


def _qt_point(view: Any, xy: tuple[int, int]) -> QtCore.QPointF:
    """Device pixels from below as Qt's pixels from above."""
    ratio = view.devicePixelRatioF()
    return QtCore.QPointF(xy[0] / ratio, view.height - 1 - xy[1] / ratio)
