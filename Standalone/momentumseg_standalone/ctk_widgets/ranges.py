"""Two numbers at once: ctkDoubleRangeSlider, ctkRangeWidget."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from momentumseg_standalone.ctk_widgets.properties import forwarded, stored
from momentumseg_standalone.pythonqt.rules import stand_in

_Alignment = QtCore.Qt.AlignmentFlag
_Orientation = QtCore.Qt.Orientation
_HANDLE = 14  # pixels


@stand_in
class ctkDoubleRangeSlider(QtWidgets.QWidget):  # noqa: N801 - the name of the class it plays
    """A slider with two handles; the part between them can be dragged as a whole."""

    minimumValueChanged = QtCore.Signal(float)
    maximumValueChanged = QtCore.Signal(float)
    valuesChanged = QtCore.Signal(float, float)
    minimumPositionChanged = QtCore.Signal(float)
    maximumPositionChanged = QtCore.Signal(float)
    positionsChanged = QtCore.Signal(float, float)
    sliderPressed = QtCore.Signal()
    sliderReleased = QtCore.Signal()
    rangeChanged = QtCore.Signal(float, float)

    def __init__(self, *arguments: Any) -> None:
        """Take a parent, or an orientation and a parent."""
        orientations = [a for a in arguments if isinstance(a, _Orientation)]
        self._minimum, self._maximum = 0.0, 99.0
        self._low, self._high = 0.0, 99.0
        self._single_step, self._tick_interval = 1.0, 0.0
        self._tracking, self._symmetric = True, False
        self._orientation = orientations[0] if orientations else _Orientation.Vertical
        self._tick_position = QtWidgets.QSlider.TickPosition.NoTicks
        self._dragged, self._drag_start = "", (0.0, 0.0, 0.0)
        super().__init__(*[a for a in arguments if isinstance(a, QtWidgets.QWidget)])
        self.focusPolicy = QtCore.Qt.FocusPolicy.StrongFocus
        self._turn()

    def setRange(self, minimum: float, maximum: float) -> None:
        """Set the limits; the two numbers are brought into them."""
        limits = (float(minimum), max(float(minimum), float(maximum)))
        if limits == (self._minimum, self._maximum):
            return
        self._minimum, self._maximum = limits
        self.rangeChanged.emit(*limits)
        self.setValues(self._low, self._high)

    def setValues(self, minimumValue: float, maximumValue: float) -> None:  # noqa: N803
        """Set both numbers, in any order, brought into the limits."""
        low, high = sorted((float(minimumValue), float(maximumValue)))
        low = min(max(low, self._minimum), self._maximum)
        high = min(max(high, self._minimum), self._maximum)
        low_changed, high_changed = low != self._low, high != self._high
        self._low, self._high = low, high
        if low_changed:
            self.minimumValueChanged.emit(low)
            self.minimumPositionChanged.emit(low)
        if high_changed:
            self.maximumValueChanged.emit(high)
            self.maximumPositionChanged.emit(high)
        if low_changed or high_changed:
            self.update()
            self.positionsChanged.emit(low, high)
            self.valuesChanged.emit(low, high)

    def setMinimumValue(self, value: float) -> None:
        """Set the smaller number; it stays below the larger one."""
        self.setValues(min(float(value), self._high), self._high)

    def setMaximumValue(self, value: float) -> None:
        """Set the larger number; it stays above the smaller one."""
        self.setValues(self._low, max(float(value), self._low))

    def _turn(self) -> None:
        """Have room for two handles along, and for one across."""
        policies = QtWidgets.QSizePolicy.Policy
        along, across = (60, policies.Expanding), (_HANDLE + 8, policies.Fixed)
        horizontal, vertical = (along, across) if self._is_horizontal() else (across, along)
        self.setMinimumSize(horizontal[0], vertical[0])
        self.setSizePolicy(horizontal[1], vertical[1])

    def _set_minimum(self, minimum: float) -> None:
        self.setRange(minimum, max(minimum, self._maximum))

    def _set_maximum(self, maximum: float) -> None:
        self.setRange(min(maximum, self._minimum), maximum)

    minimum = QtCore.Property(float, lambda self: self._minimum, _set_minimum)
    maximum = QtCore.Property(float, lambda self: self._maximum, _set_maximum)
    singleStep = stored(float, "_single_step")
    minimumValue = QtCore.Property(float, lambda self: self._low, setMinimumValue)
    maximumValue = QtCore.Property(float, lambda self: self._high, setMaximumValue)
    minimumPosition = QtCore.Property(float, lambda self: self._low, setMinimumValue)
    maximumPosition = QtCore.Property(float, lambda self: self._high, setMaximumValue)
    tracking = stored(bool, "_tracking")
    orientation = stored(_Orientation, "_orientation", _turn)
    tickInterval = stored(float, "_tick_interval")
    tickPosition = stored(QtWidgets.QSlider.TickPosition, "_tick_position")
    symmetricMoves = stored(bool, "_symmetric")

    # --- drawing and mouse

    def _is_horizontal(self) -> bool:
        return self._orientation == _Orientation.Horizontal

    def _length(self) -> int:
        size = QtWidgets.QWidget.size(self)
        return (size.width() if self._is_horizontal() else size.height()) - _HANDLE

    def _pixel(self, value: float) -> float:
        span = self._maximum - self._minimum
        along = (value - self._minimum) / span * self._length() if span else 0.0
        return along if self._is_horizontal() else self._length() - along

    def _value(self, position: QtCore.QPointF) -> float:
        """Return the number under the mouse, on a step."""
        along = position.x() if self._is_horizontal() else self._length() + _HANDLE - position.y()
        number = (along - _HANDLE / 2) / max(1, self._length()) * (self._maximum - self._minimum)
        step = self._single_step or 1e-9
        return self._minimum + round(number / step) * step

    def _handle(self, value: float) -> QtCore.QRectF:
        across = QtWidgets.QWidget.height(self) if self._is_horizontal() else QtWidgets.QWidget.width(self)
        along, offset = self._pixel(value), (across - _HANDLE) / 2
        corner = (along, offset) if self._is_horizontal() else (offset, along)
        return QtCore.QRectF(*corner, _HANDLE, _HANDLE)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        """Draw groove, chosen part and handles in the palette's colours."""
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        palette = QtWidgets.QWidget.palette(self)
        group = QtGui.QPalette.ColorGroup.Active if self.isEnabled() else QtGui.QPalette.ColorGroup.Disabled
        low, high = self._handle(self._low).center(), self._handle(self._high).center()
        first, last = self._handle(self._minimum).center(), self._handle(self._maximum).center()
        for start, end, role in (
            (first, last, QtGui.QPalette.ColorRole.Mid),
            (low, high, QtGui.QPalette.ColorRole.Highlight),
        ):
            pen = QtGui.QPen(palette.color(group, role), 4)
            pen.setCapStyle(QtCore.Qt.PenCapStyle.RoundCap)
            painter.setPen(pen)
            painter.drawLine(start, end)
        painter.setPen(QtGui.QPen(palette.color(group, QtGui.QPalette.ColorRole.Dark), 1))
        painter.setBrush(palette.color(group, QtGui.QPalette.ColorRole.Button))
        for value in (self._low, self._high):
            painter.drawEllipse(self._handle(value).adjusted(1, 1, -1, -1))

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        """Grasp a handle, or the part between them."""
        position = event.position()
        self._drag_start = (self._value(position), self._low, self._high)
        on_high = self._handle(self._high).contains(position)
        on_low = self._handle(self._low).contains(position)
        if on_low and (not on_high or self._high >= self._maximum):
            self._dragged = "low"
        elif on_high:
            self._dragged = "high"
        else:
            self._dragged = "both" if self._low < self._drag_start[0] < self._high else ""
        if self._dragged:
            self.sliderPressed.emit()

    def mouseMoveEvent(self, event: QtGui.QMouseEvent) -> None:
        """Move what was grasped."""
        value = self._value(event.position())
        start, low, high = self._drag_start
        if self._dragged == "low":
            self.setValues(min(value, self._high), self._mirrored(high, low - value))
        elif self._dragged == "high":
            self.setValues(self._mirrored(low, high - value), max(value, self._low))
        elif self._dragged == "both":
            shift = min(max(value - start, self._minimum - low), self._maximum - high)
            self.setValues(low + shift, high + shift)

    def _mirrored(self, other: float, change: float) -> float:
        return other + change if self._symmetric else (self._high if self._dragged == "low" else self._low)

    def mouseReleaseEvent(self, event: QtGui.QMouseEvent) -> None:
        """Let go."""
        if self._dragged:
            self._dragged = ""
            self.sliderReleased.emit()


@stand_in
class ctkRangeWidget(QtWidgets.QWidget):  # noqa: N801
    """A slider with two handles between two spin boxes."""

    minimumValueChanged = QtCore.Signal(float)
    minimumValueIsChanging = QtCore.Signal(float)
    maximumValueChanged = QtCore.Signal(float)
    maximumValueIsChanging = QtCore.Signal(float)
    valuesChanged = QtCore.Signal(float, float)
    rangeChanged = QtCore.Signal(float, float)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        """Make a range from 0 to 99."""
        self._tracking, self._auto_width = True, True
        self._box_alignment = _Alignment.AlignVCenter
        self._custom_limits = [0.0, 0.0]
        super().__init__(parent)
        self._slider = ctkDoubleRangeSlider(_Orientation.Horizontal)
        self._low_box, self._high_box = QtWidgets.QDoubleSpinBox(), QtWidgets.QDoubleSpinBox()
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget, stretch in ((self._low_box, 0), (self._slider, 1), (self._high_box, 0)):
            layout.addWidget(widget, stretch)
        for box in (self._low_box, self._high_box):
            box.keyboardTracking = False
        self._show_values()
        self._low_box.connect("valueChanged(double)", self.setMinimumValue)
        self._high_box.connect("valueChanged(double)", self.setMaximumValue)
        self._slider.connect("minimumValueChanged(double)", self._on_minimum)
        self._slider.connect("maximumValueChanged(double)", self._on_maximum)
        self._slider.connect("valuesChanged(double,double)", self._on_values)
        self._slider.connect("sliderReleased()", self._on_released)
        self._slider.connect("rangeChanged(double,double)", self._on_range)
        self._accepted = (self._slider.minimumValue, self._slider.maximumValue)

    def _show_values(self) -> None:
        slider = self._slider
        for box, value in ((self._low_box, slider.minimumValue), (self._high_box, slider.maximumValue)):
            box.blockSignals(True)
            box.setRange(slider.minimum, slider.maximum)
            box.value = value
            box.blockSignals(False)

    def _waits(self) -> bool:
        """Whether values count only when the mouse lets go."""
        return not self._tracking and bool(self._slider._dragged)

    def _on_minimum(self, value: float) -> None:
        self.minimumValueIsChanging.emit(value)

    def _on_maximum(self, value: float) -> None:
        self.maximumValueIsChanging.emit(value)

    def _on_values(self) -> None:
        self._show_values()
        if not self._waits():
            self._accept()

    def _on_released(self) -> None:
        self._accept()

    def _accept(self) -> None:
        old, new = self._accepted, (self._slider.minimumValue, self._slider.maximumValue)
        self._accepted = new
        if new[0] != old[0]:
            self.minimumValueChanged.emit(new[0])
        if new[1] != old[1]:
            self.maximumValueChanged.emit(new[1])
        if new != old:
            self.valuesChanged.emit(*new)

    def _on_range(self, minimum: float, maximum: float) -> None:
        self._show_values()
        self.rangeChanged.emit(minimum, maximum)

    def setRange(self, minimum: float, maximum: float) -> None:
        """Set the limits."""
        self._slider.setRange(minimum, maximum)

    def setValues(self, minimumValue: float, maximumValue: float) -> None:  # noqa: N803
        """Set both numbers."""
        self._slider.setValues(self._rounded(minimumValue), self._rounded(maximumValue))

    def setMinimumValue(self, value: float) -> None:
        """Set the smaller number."""
        self._slider.setMinimumValue(self._rounded(value))

    def setMaximumValue(self, value: float) -> None:
        """Set the larger number."""
        self._slider.setMaximumValue(self._rounded(value))

    def _rounded(self, value: float) -> float:
        return round(float(value), self._low_box.decimals)

    def setDecimals(self, decimals: int) -> None:
        """Set how many digits after the point count."""
        self._low_box.decimals = self._high_box.decimals = decimals
        self._show_values()

    def reset(self) -> None:
        """Choose the whole range."""
        self.setValues(self._slider.minimum, self._slider.maximum)

    def _set_single_step(self, step: float) -> None:
        self._slider.singleStep = self._low_box.singleStep = self._high_box.singleStep = step

    def _set_prefix(self, prefix: str) -> None:
        self._low_box.prefix = self._high_box.prefix = prefix

    def _set_suffix(self, suffix: str) -> None:
        self._low_box.suffix = self._high_box.suffix = suffix

    def _set_text_alignment(self, alignment: Any) -> None:
        self._low_box.alignment = self._high_box.alignment = alignment

    def _set_custom_limit(self, index: int, value: float) -> None:
        self._custom_limits[index] = value

    decimals = QtCore.Property(int, lambda self: self._low_box.decimals, setDecimals)
    singleStep = QtCore.Property(float, lambda self: self._slider.singleStep, _set_single_step)
    minimum = forwarded(float, "_slider", "minimum")
    maximum = forwarded(float, "_slider", "maximum")
    minimumValue = QtCore.Property(float, lambda self: self._slider.minimumValue, setMinimumValue)
    maximumValue = QtCore.Property(float, lambda self: self._slider.maximumValue, setMaximumValue)
    prefix = QtCore.Property(str, lambda self: self._low_box.prefix, _set_prefix)
    suffix = QtCore.Property(str, lambda self: self._low_box.suffix, _set_suffix)
    tickInterval = forwarded(float, "_slider", "tickInterval")
    autoSpinBoxWidth = stored(bool, "_auto_width")
    spinBoxTextAlignment = QtCore.Property(_Alignment, lambda self: self._low_box.alignment, _set_text_alignment)
    spinBoxAlignment = stored(_Alignment, "_box_alignment")
    tracking = stored(bool, "_tracking")
    symmetricMoves = forwarded(bool, "_slider", "symmetricMoves")
    customSpinBoxesLimitsMin = QtCore.Property(
        float, lambda self: self._custom_limits[0], lambda self, value: self._set_custom_limit(0, value)
    )
    customSpinBoxesLimitsMax = QtCore.Property(
        float, lambda self: self._custom_limits[1], lambda self, value: self._set_custom_limit(1, value)
    )
