"""Qt's mouse and key events as events of a VTK interactor."""

from __future__ import annotations

from typing import Any

from PySide6 import QtGui
from PySide6.QtCore import Qt

_WHEEL_STEP = 120  # Qt: eighths of a degree of one notch

_BUTTONS = {
    Qt.MouseButton.LeftButton: "LeftButton",
    Qt.MouseButton.MiddleButton: "MiddleButton",
    Qt.MouseButton.RightButton: "RightButton",
}

# VTK speaks X11's key names.
_KEY_NAMES = {
    Qt.Key.Key_Escape: "Escape",
    Qt.Key.Key_Return: "Return",
    Qt.Key.Key_Enter: "Return",
    Qt.Key.Key_Backspace: "BackSpace",
    Qt.Key.Key_Delete: "Delete",
    Qt.Key.Key_Tab: "Tab",
    Qt.Key.Key_Space: "space",
    Qt.Key.Key_Left: "Left",
    Qt.Key.Key_Right: "Right",
    Qt.Key.Key_Up: "Up",
    Qt.Key.Key_Down: "Down",
    Qt.Key.Key_PageUp: "Prior",
    Qt.Key.Key_PageDown: "Next",
    Qt.Key.Key_Home: "Home",
    Qt.Key.Key_End: "End",
    Qt.Key.Key_Insert: "Insert",
    Qt.Key.Key_Shift: "Shift_L",
    Qt.Key.Key_Control: "Control_L",
    Qt.Key.Key_Alt: "Alt_L",
    Qt.Key.Key_Plus: "plus",
    Qt.Key.Key_Minus: "minus",
}


class InteractorEvents:
    """Hands Qt events to an interactor.

    Args:
        interactor: vtkRenderWindowInteractor.
        pixel_ratio: asked at each event: device pixels of a Qt pixel.
    """

    def __init__(self, interactor: Any, pixel_ratio: Any) -> None:
        self._interactor = interactor
        self._pixel_ratio = pixel_ratio
        self._wheel = 0

    def mouse_moved(self, event: QtGui.QMouseEvent) -> None:
        self._place(event)
        self._interactor.MouseMoveEvent()

    def button_pressed(self, event: QtGui.QMouseEvent, *, double: bool = False) -> None:
        name = _BUTTONS.get(event.button())
        if name is None:
            return
        self._place(event, repeat=int(double))
        self._interactor.InvokeEvent(f"{name}{'DoubleClick' if double else 'Press'}Event")

    def button_released(self, event: QtGui.QMouseEvent) -> None:
        name = _BUTTONS.get(event.button())
        if name is not None:
            self._place(event)
            self._interactor.InvokeEvent(f"{name}ReleaseEvent")

    def wheel_turned(self, event: QtGui.QWheelEvent) -> None:
        """Touchpads send many small turns: whole notches are counted."""
        self._place(event)
        delta = event.angleDelta()
        self._wheel += delta.y() or delta.x()  # Alt turns the wheel sideways on some systems
        while abs(self._wheel) >= _WHEEL_STEP:
            forward = self._wheel > 0
            self._wheel -= _WHEEL_STEP if forward else -_WHEEL_STEP
            self._interactor.InvokeEvent("MouseWheelForwardEvent" if forward else "MouseWheelBackwardEvent")

    def entered(self, event: QtGui.QEnterEvent) -> None:
        self._place(event)
        self._interactor.EnterEvent()

    def left(self) -> None:
        self._interactor.LeaveEvent()

    def key_pressed(self, event: QtGui.QKeyEvent) -> None:
        self._set_key(event)
        self._interactor.KeyPressEvent()
        self._interactor.CharEvent()

    def key_released(self, event: QtGui.QKeyEvent) -> None:
        self._set_key(event)
        self._interactor.KeyReleaseEvent()

    def _place(self, event: Any, repeat: int = 0) -> None:
        ratio, position = self._pixel_ratio(), event.position()
        shift, control, alt = _modifiers(event)
        x, y = int(position.x() * ratio), int(position.y() * ratio)
        self._interactor.SetEventInformationFlipY(x, y, control, shift, "\0", repeat, None)
        self._interactor.SetAltKey(alt)

    def _set_key(self, event: QtGui.QKeyEvent) -> None:
        shift, control, alt = _modifiers(event)
        text = event.text()
        character = text if len(text) == 1 and ord(text) < 128 else "\0"
        name = _KEY_NAMES.get(Qt.Key(event.key()), QtGui.QKeySequence(event.key()).toString().lower())
        self._interactor.SetKeyEventInformation(control, shift, character, int(event.isAutoRepeat()), name)
        self._interactor.SetAltKey(alt)


def _modifiers(event: Any) -> tuple[int, int, int]:
    held = event.modifiers()
    kinds = (Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.AltModifier)
    return tuple(int(bool(held & kind)) for kind in kinds)  # type: ignore[return-value]
