"""A widget that shows what an off-screen VTK window draws.

The pixels are copied into the widget: that works alike on every platform and without a screen, and a picture of the
window is what a person sees.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import vtk
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Qt
from vtk.util.numpy_support import vtk_to_numpy

from momentumseg_standalone.views.interactor_events import InteractorEvents

_INCH_POINTS = 72


class RenderView(QtWidgets.QWidget):
    """Draws one renderer. Several requests to draw within one turn of the event loop draw once."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._renderer = vtk.vtkRenderer()
        self._window = vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(1)
        self._window.SetMultiSamples(0)  # llvmpipe would take four times as long
        self._window.AddRenderer(self._renderer)
        self._interactor = vtk.vtkGenericRenderWindowInteractor()
        self._interactor.SetRenderWindow(self._window)
        self._interactor.SetInteractorStyle(vtk.vtkInteractorStyleUser())  # VTK's default would zoom and turn too
        self._interactor.EnableRenderOff()  # drawing waits for the event loop
        self._interactor.AddObserver("RenderEvent", lambda *_: self.scheduleRender())
        self._events = InteractorEvents(self._interactor, self.devicePixelRatioF)
        self._image = QtGui.QImage()
        self._paused = 0
        self._overlays: list[Callable[[QtGui.QPainter], None]] = []  # drawn on top, without drawing the view anew
        self._timer = QtCore.QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.forceRender)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setMinimumSize(80, 80)

    # Names of ctkVTKAbstractView.

    def renderWindow(self) -> Any:
        return self._window

    def interactor(self) -> Any:
        return self._interactor

    def scheduleRender(self) -> None:
        if not self._timer.isActive():
            self._timer.start(0)

    def forceRender(self) -> None:
        """Draw now, unless the view is hidden or paused."""
        self._timer.stop()
        if self._paused or not self.isVisible() or not self._resize_window():
            return
        self._window.Render()
        self._image = _image_of(self._window)
        self._image.setDevicePixelRatio(self.devicePixelRatioF())
        self.update()

    def pauseRender(self) -> None:
        self._paused += 1

    def resumeRender(self) -> None:
        self._paused = max(0, self._paused - 1)
        self.scheduleRender()

    def setRenderPaused(self, paused: bool) -> None:
        (self.pauseRender if paused else self.resumeRender)()

    # Qt's events.

    def sizeHint(self) -> QtCore.QSize:
        return QtCore.QSize(400, 400)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        if self._image.isNull():
            painter.fillRect(self.rect, Qt.GlobalColor.black)
        else:
            painter.drawImage(self.rect, self._image)
        for overlay in self._overlays:
            overlay(painter)
        painter.end()

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        super().resizeEvent(event)
        self._resize_window()
        self.scheduleRender()

    def showEvent(self, event: QtGui.QShowEvent) -> None:
        super().showEvent(event)
        self.scheduleRender()

    def mouseMoveEvent(self, event: QtGui.QMouseEvent) -> None:
        self._events.mouse_moved(event)

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        self._events.button_pressed(event)

    def mouseDoubleClickEvent(self, event: QtGui.QMouseEvent) -> None:
        # VTK's widgets expect the press of a double click as well.
        self._events.button_pressed(event)
        self._events.button_pressed(event, double=True)

    def mouseReleaseEvent(self, event: QtGui.QMouseEvent) -> None:
        self._events.button_released(event)

    def wheelEvent(self, event: QtGui.QWheelEvent) -> None:
        self._events.wheel_turned(event)
        event.accept()

    def enterEvent(self, event: QtGui.QEnterEvent) -> None:
        self._events.entered(event)

    def leaveEvent(self, event: QtCore.QEvent) -> None:
        self._events.left()

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        self._events.key_pressed(event)

    def keyReleaseEvent(self, event: QtGui.QKeyEvent) -> None:
        self._events.key_released(event)

    # What views of both kinds need.

    def _resize_window(self) -> bool:
        """Give the VTK window the widget's size in device pixels. False if there is nothing to draw on."""
        ratio = self.devicePixelRatioF()
        width, height = round(self.width * ratio), round(self.height * ratio)
        if width < 2 or height < 2:
            return False
        if self._window.GetSize() != (width, height):
            self._window.SetSize(width, height)
            self._interactor.UpdateSize(width, height)
            self._window.SetDPI(round(_INCH_POINTS * ratio))
            self._window_resized(width, height)
        return True

    def _window_resized(self, width: int, height: int) -> None:
        """For views that have to follow; in device pixels."""

    def _observe_requests(self, group: Any) -> None:
        """Draw whenever a displayable manager asks for it."""
        group.AddObserver("UpdateEvent", lambda *_: self.scheduleRender())

    def _release(self) -> None:
        """Let go of the graphics context before Qt deletes the widget."""
        self._timer.stop()
        self._paused += 1
        self._interactor.RemoveAllObservers()
        self._window.Finalize()


def _image_of(window: Any) -> QtGui.QImage:
    width, height = window.GetSize()
    pixels = vtk.vtkUnsignedCharArray()
    window.GetPixelData(0, 0, width - 1, height - 1, 0, pixels, 0)
    rows = vtk_to_numpy(pixels).reshape(height, width, 3)
    upright = np.ascontiguousarray(rows[::-1])  # VTK counts rows from below
    return QtGui.QImage(upright.data, width, height, 3 * width, QtGui.QImage.Format.Format_RGB888).copy()
