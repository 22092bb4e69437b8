"""Buttons and boxes: check box, combo box, push button, checkable button, button with a menu, colour button."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from momentumseg_standalone.ctk_widgets.properties import stored
from momentumseg_standalone.pythonqt.rules import stand_in

_Alignment = QtCore.Qt.AlignmentFlag
_ElideMode = QtCore.Qt.TextElideMode


def _given(arguments: tuple[Any, ...]) -> list[Any]:
    return [a for a in arguments if a is not None]


@stand_in
class ctkCheckBox(QtWidgets.QCheckBox):  # noqa: N801 - the name of the class it plays
    """A check box that can show an icon instead of its mark."""

    def __init__(self, *arguments: Any) -> None:
        """Take what QCheckBox takes."""
        self._indicator_icon = QtGui.QIcon()
        self._indicator_size = QtCore.QSize()
        super().__init__(*_given(arguments))

    indicatorIcon = stored(QtGui.QIcon, "_indicator_icon")
    indicatorIconSize = stored(QtCore.QSize, "_indicator_size")


@stand_in
class ctkComboBox(QtWidgets.QComboBox):  # noqa: N801
    """A combo box with a text for "nothing chosen"."""

    NeverScroll, AlwaysScroll, ScrollWithFocus, ScrollWithNoVScrollBar = 0, 1, 2, 3

    returnRelease = QtCore.Signal()

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        """Make an empty box."""
        self._default_text, self._default_icon, self._force_default = "", QtGui.QIcon(), False
        self._elide, self._scroll_effect = _ElideMode.ElideNone, self.AlwaysScroll
        super().__init__(parent)

    def setCurrentUserDataAsString(self, data: str) -> None:
        """Choose the item whose user data is this text."""
        self.currentIndex = self.findData(data)

    def _user_data(self) -> str:
        data = QtWidgets.QComboBox.currentData(self)
        return "" if data is None else str(data)

    def wheelEvent(self, event: QtGui.QWheelEvent) -> None:
        """Scroll through the items only as far as `scrollWheelEffect` says."""
        focused = self._scroll_effect == self.ScrollWithFocus and not self.hasFocus()
        if self._scroll_effect == self.NeverScroll or focused:
            event.ignore()
        else:
            super().wheelEvent(event)

    def keyReleaseEvent(self, event: QtGui.QKeyEvent) -> None:
        """Tell that Return was let go."""
        super().keyReleaseEvent(event)
        if event.key() in (QtCore.Qt.Key.Key_Return, QtCore.Qt.Key.Key_Enter):
            self.returnRelease.emit()

    def _show_default(self) -> None:
        self.placeholderText = self._default_text
        self.update()

    defaultText = stored(str, "_default_text", _show_default)
    defaultIcon = stored(QtGui.QIcon, "_default_icon")
    forceDefault = stored(bool, "_force_default")
    elideMode = stored(_ElideMode, "_elide")
    scrollWheelEffect = stored(int, "_scroll_effect")
    currentUserDataAsString = QtCore.Property(str, _user_data, setCurrentUserDataAsString)


@stand_in
class ctkPushButton(QtWidgets.QPushButton):  # noqa: N801
    """A push button whose text and icon can be aligned."""

    def __init__(self, *arguments: Any) -> None:
        """Take what QPushButton takes."""
        self._text_alignment = _Alignment.AlignHCenter | _Alignment.AlignVCenter
        self._icon_alignment = _Alignment.AlignLeft | _Alignment.AlignVCenter
        self._elide = _ElideMode.ElideNone
        super().__init__(*_given(arguments))

    buttonTextAlignment = stored(_Alignment, "_text_alignment")
    iconAlignment = stored(_Alignment, "_icon_alignment")
    elideMode = stored(_ElideMode, "_elide")


@stand_in
class ctkCheckablePushButton(ctkPushButton):  # noqa: N801
    """A push button with a check mark of its own."""

    checkBoxToggled = QtCore.Signal(bool)
    # Signals of the real class name their Qt types; the meta object of PySide6 knows enums as ints.
    checkStateChanged = QtCore.Signal(int, name="checkStateChanged")

    def __init__(self, *arguments: Any) -> None:
        """Take what QPushButton takes."""
        self._indicator_alignment = _Alignment.AlignLeft | _Alignment.AlignVCenter
        self._check_state = QtCore.Qt.CheckState.Unchecked
        self._controls_button, self._controls_toggle, self._user_checkable = True, True, True
        super().__init__(*arguments)

    def _set_check_state(self, state: Any) -> None:
        if state != self._check_state:
            self._check_state = state
            self.checkStateChanged.emit(int(state))
            self.checkBoxToggled.emit(state == QtCore.Qt.CheckState.Checked)

    indicatorAlignment = stored(_Alignment, "_indicator_alignment")
    checkState = QtCore.Property(QtCore.Qt.CheckState, lambda self: self._check_state, _set_check_state)
    checkBoxControlsButton = stored(bool, "_controls_button")
    checkBoxControlsButtonToggleState = stored(bool, "_controls_toggle")
    checkBoxUserCheckable = stored(bool, "_user_checkable")


@stand_in
class ctkMenuButton(QtWidgets.QPushButton):  # noqa: N801
    """A push button with a menu behind an arrow: the rest of the button still clicks."""

    def __init__(self, *arguments: Any) -> None:
        """Take what QPushButton takes."""
        super().__init__(*_given(arguments))

    def _arrow(self) -> QtCore.QRect:
        size = QtWidgets.QWidget.size(self)
        side = min(22, size.height())
        return QtCore.QRect(size.width() - side, 0, side, size.height())

    def hitButton(self, position: QtCore.QPoint) -> bool:
        """A click on the arrow opens the menu instead."""
        return QtWidgets.QWidget.rect(self).contains(position) and not self._on_arrow(position)

    def _on_arrow(self, position: QtCore.QPoint) -> bool:
        return self.menu() is not None and self._arrow().contains(position)

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        """Open the menu on the arrow."""
        if self._on_arrow(event.position().toPoint()):
            self.showMenu()
        else:
            super().mousePressEvent(event)


@stand_in
class ctkColorPickerButton(QtWidgets.QPushButton):  # noqa: N801
    """A button that shows a colour and asks for another one."""

    ShowAlphaChannel, NoButtons, DontUseNativeDialog, UseCTKColorDialog = 1, 2, 4, 8

    colorChanged = QtCore.Signal(QtGui.QColor)
    colorNameChanged = QtCore.Signal(str)

    def __init__(self, *arguments: Any) -> None:
        """Take what QPushButton takes, or a colour, a text and a parent."""
        colors = [a for a in arguments if isinstance(a, QtGui.QColor)]
        self._color = colors[0] if colors else QtGui.QColor(QtCore.Qt.GlobalColor.black)
        self._color_name, self._display_name, self._dialog_options = "", True, 0
        super().__init__(*[a for a in _given(arguments) if not isinstance(a, QtGui.QColor)])
        self._show()
        QtCore.QObject.connect(self, QtCore.SIGNAL("clicked()"), self.changeColor)

    def _show(self) -> None:
        pixmap = QtGui.QPixmap(16, 16)
        pixmap.fill(self._color)
        self.icon = QtGui.QIcon(pixmap)
        if self._display_name:
            self.text = self._color_name or self._color.name()

    def setColor(self, color: QtGui.QColor) -> None:
        """Show a colour."""
        if color != self._color:
            self._color = QtGui.QColor(color)
            self._show()
            self.colorChanged.emit(self._color)

    def changeColor(self) -> None:
        """Ask for a colour in a dialog."""
        color = QtWidgets.QColorDialog.getColor(self._color, self)
        if color.isValid():
            self.setColor(color)

    def setDisplayColorName(self, displayed: bool) -> None:
        """Show the colour's name as the button's text."""
        self._display_name = displayed
        self._show()

    def _set_color_name(self, name: str) -> None:
        if name != self._color_name:
            self._color_name = name
            self._show()
            self.colorNameChanged.emit(name)

    color = QtCore.Property(QtGui.QColor, lambda self: self._color, setColor)
    colorName = QtCore.Property(str, lambda self: self._color_name, _set_color_name)
    displayColorName = QtCore.Property(bool, lambda self: self._display_name, setDisplayColorName)
    dialogOptions = stored(int, "_dialog_options")
