"""The coloured bar above a view: its letter, and room for the view's own controls."""

from __future__ import annotations

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Qt

from momentumseg_standalone import icons

_HEIGHT = 24


class ViewBar(QtWidgets.QFrame):
    """A narrow bar that starts with the view's letter in the view's colour.

    Args:
        letter: "R", "G", "Y" or "1".
        color: red, green and blue from 0 to 1.
        title: what screen readers say.
    """

    maximizeRequested = QtCore.Signal()

    def __init__(self, letter: str, color: tuple[float, float, float], title: str) -> None:
        super().__init__()
        self.setAccessibleName(title)
        self.setFixedHeight(_HEIGHT)
        self._layout = QtWidgets.QHBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 2, 0)
        self._layout.setSpacing(4)
        self._layout.addWidget(_letter_label(letter, color))
        self._maximize = self.tool_button("maximize", "Show this view alone, or all views again")
        self._maximize.clicked.connect(self.maximizeRequested)
        self._layout.addWidget(self._maximize)

    def add(self, widget: QtWidgets.QWidget, stretch: int = 0) -> None:
        """Put a control before the last button."""
        self._layout.insertWidget(self._layout.count() - 1, widget, stretch)

    def add_stretch(self) -> None:
        self._layout.insertStretch(self._layout.count() - 1, 1)

    def tool_button(self, icon: str, tip: str) -> QtWidgets.QToolButton:
        button = QtWidgets.QToolButton(self)
        button.setIcon(icons.icon(icon))
        button.setIconSize(QtCore.QSize(14, 14))
        button.setToolTip(tip)
        button.setAccessibleName(tip)
        button.setAutoRaise(True)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        return button


def _letter_label(letter: str, color: tuple[float, float, float]) -> QtWidgets.QLabel:
    label = QtWidgets.QLabel(letter)
    label.setAlignment(Qt.AlignmentFlag.AlignCenter)
    label.setFixedWidth(_HEIGHT)
    palette = label.palette
    background = QtGui.QColor.fromRgbF(*color)
    palette.setColor(QtGui.QPalette.ColorRole.Window, background)
    dark = background.lightnessF() > 0.45
    palette.setColor(QtGui.QPalette.ColorRole.WindowText, Qt.GlobalColor.black if dark else Qt.GlobalColor.white)
    label.setPalette(palette)
    label.setAutoFillBackground(True)
    font = label.font
    font.setBold(True)
    label.setFont(font)
    return label
