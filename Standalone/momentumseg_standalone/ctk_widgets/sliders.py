"""Sliders with numbers: ctkDoubleSlider, ctkDoubleSpinBox, ctkSliderWidget."""

from __future__ import annotations

import math
from typing import Any

from PySide6 import QtCore, QtWidgets

from momentumseg_standalone.ctk_widgets.properties import forwarded, stored
from momentumseg_standalone.pythonqt.rules import stand_in

_Alignment = QtCore.Qt.AlignmentFlag
_Orientation = QtCore.Qt.Orientation
_TickPosition = QtWidgets.QSlider.TickPosition


def _horizontal_layout(widget: QtWidgets.QWidget) -> QtWidgets.QHBoxLayout:
    layout = QtWidgets.QHBoxLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    return layout


@stand_in
class ctkDoubleSlider(QtWidgets.QWidget):  # noqa: N801 - the name of the class it plays
    """A slider of real numbers."""

    valueChanged = QtCore.Signal(float)
    sliderMoved = QtCore.Signal(float)
    sliderPressed = QtCore.Signal()
    sliderReleased = QtCore.Signal()
    rangeChanged = QtCore.Signal(float, float)

    def __init__(self, *arguments: Any) -> None:
        """Take a parent, or an orientation and a parent."""
        orientations = [a for a in arguments if isinstance(a, _Orientation)]
        self._minimum, self._maximum, self._value = 0.0, 99.0, 0.0
        self._single_step, self._page_step, self._tick_interval = 1.0, 10.0, 0.0
        super().__init__(*[a for a in arguments if isinstance(a, QtWidgets.QWidget)])
        self._slider = QtWidgets.QSlider(orientations[0] if orientations else _Orientation.Vertical)
        _horizontal_layout(self).addWidget(self._slider)
        self.setFocusProxy(self._slider)
        self._show_steps()
        self._slider.connect("valueChanged(int)", self._on_slider)
        self._slider.connect("sliderMoved(int)", lambda position: self.sliderMoved.emit(self._number(position)))
        self._slider.connect("sliderPressed()", self.sliderPressed.emit)
        self._slider.connect("sliderReleased()", self.sliderReleased.emit)

    def _number(self, position: int) -> float:
        return min(self._maximum, self._minimum + position * self._single_step)

    def _show_steps(self) -> None:
        """The inner slider counts single steps from the minimum."""
        self._slider.blockSignals(True)
        step = self._single_step or 1.0
        self._slider.setRange(0, min(2**31 - 1, math.ceil((self._maximum - self._minimum) / step - 1e-9)))
        self._slider.pageStep = max(1, round(self._page_step / step))
        self._slider.tickInterval = round(self._tick_interval / step)
        self._slider.value = round((self._value - self._minimum) / step)
        self._slider.blockSignals(False)

    def _on_slider(self, position: int) -> None:
        if round((self._value - self._minimum) / (self._single_step or 1.0)) != position:
            self._set_value(self._number(position))

    def setValue(self, value: float) -> None:
        """Set the value, brought into the range."""
        self._set_value(value)

    def _set_value(self, value: float) -> None:
        value = min(self._maximum, max(self._minimum, float(value)))
        if value != self._value:
            self._value = value
            self._show_steps()
            self.valueChanged.emit(value)

    def _set_minimum(self, minimum: float) -> None:
        self._set_range(minimum, max(minimum, self._maximum))

    def _set_maximum(self, maximum: float) -> None:
        self._set_range(min(maximum, self._minimum), maximum)

    def _set_range(self, minimum: float, maximum: float) -> None:
        if (minimum, maximum) == (self._minimum, self._maximum):
            return
        self._minimum, self._maximum = float(minimum), float(maximum)
        self._set_value(self._value)
        self._show_steps()
        self.rangeChanged.emit(self._minimum, self._maximum)

    def setOrientation(self, orientation: Any) -> None:
        """Turn the slider."""
        self._slider.orientation = orientation

    value = QtCore.Property(float, lambda self: self._value, _set_value)
    sliderPosition = QtCore.Property(float, lambda self: self._value, _set_value)
    minimum = QtCore.Property(float, lambda self: self._minimum, _set_minimum)
    maximum = QtCore.Property(float, lambda self: self._maximum, _set_maximum)
    singleStep = stored(float, "_single_step", _show_steps)
    pageStep = stored(float, "_page_step", _show_steps)
    tickInterval = stored(float, "_tick_interval", _show_steps)
    tickPosition = forwarded(_TickPosition, "_slider", "tickPosition")
    tracking = forwarded(bool, "_slider", "tracking")
    orientation = forwarded(_Orientation, "_slider", "orientation")
    handleToolTip = forwarded(str, "_slider", "toolTip")
    invertedAppearance = forwarded(bool, "_slider", "invertedAppearance")
    invertedControls = forwarded(bool, "_slider", "invertedControls")


@stand_in
class ctkSliderWidget(QtWidgets.QWidget):  # noqa: N801
    """A slider of real numbers with a spin box beside it."""

    NoSynchronize, SynchronizeWidth, SynchronizeDecimals = 0, 1, 2

    valueChanged = QtCore.Signal(float)
    valueIsChanging = QtCore.Signal(float)
    decimalsChanged = QtCore.Signal(int)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        """Make a slider from 0 to 99."""
        self._value, self._proposed = 0.0, 0.0
        self._tracking, self._popup, self._synchronize = True, False, 0
        super().__init__(parent)
        self._slider = ctkDoubleSlider(_Orientation.Horizontal)
        self._spin_box = QtWidgets.QDoubleSpinBox()
        self._spin_box.setRange(0.0, 99.0)
        self._spin_box.keyboardTracking = False
        layout = _horizontal_layout(self)
        layout.addWidget(self._slider, 1)
        layout.addWidget(self._spin_box)
        self.setFocusProxy(self._spin_box)
        self._slider.connect("valueChanged(double)", self._propose)
        self._slider.connect("sliderReleased()", self._accept)
        self._spin_box.connect("valueChanged(double)", self._on_spin_box)

    def _on_spin_box(self, value: float) -> None:
        self._propose(value)
        self._accept()

    def _propose(self, value: float) -> None:
        """Show a value on both parts; without tracking it counts when the mouse lets go of the slider."""
        value = round(float(value), self._spin_box.decimals)
        self._proposed = value
        for part in (self._slider, self._spin_box):
            part.blockSignals(True)
            part.value = value
            part.blockSignals(False)
        if self._tracking or not self._slider._slider.isSliderDown():
            self._accept()
        else:
            self.valueIsChanging.emit(value)

    def _accept(self) -> None:
        if self._proposed != self._value:
            self._value = self._proposed
            self.valueChanged.emit(self._value)

    def setValue(self, value: float) -> None:
        """Set the value, brought into the range."""
        self._set_value(value)

    def _set_value(self, value: float) -> None:
        self._propose(min(self._slider.maximum, max(self._slider.minimum, value)))
        self._accept()

    def _set_minimum(self, minimum: float) -> None:
        self._slider.minimum = self._spin_box.minimum = minimum
        self._set_value(self._value)

    def _set_maximum(self, maximum: float) -> None:
        self._slider.maximum = self._spin_box.maximum = maximum
        self._set_value(self._value)

    def _set_single_step(self, step: float) -> None:
        self._slider.singleStep = self._spin_box.singleStep = step

    def setDecimals(self, decimals: int) -> None:
        """Set how many digits after the point count."""
        self._set_decimals(decimals)

    def _set_decimals(self, decimals: int) -> None:
        if decimals != self._spin_box.decimals:
            self._spin_box.decimals = decimals
            self.decimalsChanged.emit(decimals)

    def setSpinBoxVisible(self, visible: bool) -> None:
        """Show or hide the spin box."""
        self._spin_box.setVisible(visible)

    def reset(self) -> None:
        """Set zero, brought into the range."""
        self._set_value(0.0)

    value = QtCore.Property(float, lambda self: self._value, _set_value)
    minimum = QtCore.Property(float, lambda self: self._slider.minimum, _set_minimum)
    maximum = QtCore.Property(float, lambda self: self._slider.maximum, _set_maximum)
    singleStep = QtCore.Property(float, lambda self: self._slider.singleStep, _set_single_step)
    pageStep = forwarded(float, "_slider", "pageStep")
    decimals = QtCore.Property(int, lambda self: self._spin_box.decimals, _set_decimals)
    prefix = forwarded(str, "_spin_box", "prefix")
    suffix = forwarded(str, "_spin_box", "suffix")
    tickInterval = forwarded(float, "_slider", "tickInterval")
    tickPosition = forwarded(_TickPosition, "_slider", "tickPosition")
    synchronizeSiblings = stored(int, "_synchronize")
    spinBoxAlignment = forwarded(_Alignment, "_spin_box", "alignment")
    tracking = stored(bool, "_tracking")
    spinBoxVisible = QtCore.Property(bool, lambda self: not self._spin_box.isHidden(), setSpinBoxVisible)
    popupSlider = stored(bool, "_popup")
    invertedAppearance = forwarded(bool, "_slider", "invertedAppearance")
    invertedControls = forwarded(bool, "_slider", "invertedControls")
