"""ctkDoubleSpinBox: a spin box of real numbers."""

from __future__ import annotations

from PySide6 import QtCore, QtWidgets

from momentumseg_standalone.ctk_widgets.properties import forwarded, stored
from momentumseg_standalone.pythonqt.rules import stand_in


@stand_in
class ctkDoubleSpinBox(QtWidgets.QWidget):  # noqa: N801 - the name of the class it plays
    """A spin box of real numbers in a widget of its own."""

    SetAlways, SetIfDifferent = 0, 1
    SizeHintByMinMax, SizeHintByValue = 0, 1
    FixedDecimals, DecimalsByShortcuts, DecimalsByKey, DecimalsByValue = 0x000, 0x001, 0x002, 0x004
    InsertDecimals, ReplaceDecimals, DecimalsAsMax, DecimalsAsMin = 0x008, 0x010, 0x020, 0x040
    DecimalPointAlwaysVisible = 0x080

    valueChanged = QtCore.Signal((float,), (str,))
    editingFinished = QtCore.Signal()
    decimalsChanged = QtCore.Signal(int)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        """Make a box from 0 to 99.99."""
        self._decimals_option, self._mode, self._hint_policy = self.DecimalsByShortcuts, self.SetIfDifferent, 0
        super().__init__(parent)
        self._spin_box = QtWidgets.QDoubleSpinBox()
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._spin_box)
        self.setFocusProxy(self._spin_box)
        self._spin_box.connect("valueChanged(double)", self._on_value)
        self._spin_box.connect("editingFinished()", self.editingFinished.emit)

    def _on_value(self, value: float) -> None:
        self.valueChanged[float].emit(value)
        self.valueChanged[str].emit(self._spin_box.text)

    def setValue(self, value: float) -> None:
        """Set the value, brought into the range and rounded to the decimals."""
        self._spin_box.value = value

    def setValueIfDifferent(self, value: float) -> None:
        """Set the value; nothing is told if it was this one."""
        self._spin_box.value = value

    def setValueAlways(self, value: float) -> None:
        """Set the value, and tell it even if it was this one."""
        unchanged = self._spin_box.value == value
        self._spin_box.value = value
        if unchanged:
            self._on_value(value)

    def stepUp(self) -> None:
        """Add one step."""
        self._spin_box.stepUp()

    def stepDown(self) -> None:
        """Take one step away."""
        self._spin_box.stepDown()

    def setDecimals(self, decimals: int) -> None:
        """Set how many digits after the point count."""
        if decimals != self._spin_box.decimals:
            self._spin_box.decimals = decimals
            self.decimalsChanged.emit(decimals)

    def setReadOnly(self, read_only: bool) -> None:
        """Let nobody type."""
        self._spin_box.readOnly = read_only

    alignment = forwarded(QtCore.Qt.AlignmentFlag, "_spin_box", "alignment")
    frame = forwarded(bool, "_spin_box", "frame")
    readOnly = forwarded(bool, "_spin_box", "readOnly")
    prefix = forwarded(str, "_spin_box", "prefix")
    suffix = forwarded(str, "_spin_box", "suffix")
    cleanText = QtCore.Property(str, lambda self: self._spin_box.cleanText)
    decimals = QtCore.Property(int, lambda self: self._spin_box.decimals, setDecimals)
    decimalsOption = stored(int, "_decimals_option")
    minimum = forwarded(float, "_spin_box", "minimum")
    maximum = forwarded(float, "_spin_box", "maximum")
    singleStep = forwarded(float, "_spin_box", "singleStep")
    value = QtCore.Property(float, lambda self: self._spin_box.value, setValue)
    setMode = stored(int, "_mode")
    sizeHintPolicy = stored(int, "_hint_policy")
