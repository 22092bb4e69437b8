"""The controls of the segment editor, laid out."""

from __future__ import annotations

from typing import Any

from PySide6 import QtWidgets
from PySide6.QtCore import QSize, Qt

from momentumseg_standalone import icons
from momentumseg_standalone.segment_editor.masking_section import MaskingSection
from momentumseg_standalone.segment_editor.segments_table import SegmentsTable

_ICON = QSize(18, 18)


class EditorPanel:
    """Makes the controls inside a widget and keeps them; what they do is the widget's business.

    Attributes:
        add, remove, surface: buttons for segments.
        table: of segments.
        effects: button of each effect, by name; "" is none.
        undo, redo: buttons.
        options: the active effect's options are put here.
        masking: section.
        message: why nothing can be drawn.
    """

    def __init__(self, parent: QtWidgets.QWidget, effects: dict[str, Any]) -> None:
        layout = QtWidgets.QVBoxLayout(parent)
        layout.setContentsMargins(0, 0, 0, 0)
        self.add = _button(parent, "add", "Add", "Add a segment")
        self.remove = _button(parent, "remove", "Remove", "Remove the selected segment")
        self.surface = _button(parent, "surface", "Show 3D", "Show the segments as surfaces in the 3D view")
        self.surface.setCheckable(True)
        layout.addLayout(_row(self.add, self.remove, self.surface))
        self.table = SegmentsTable()
        layout.addWidget(self.table)
        self.message = QtWidgets.QLabel()
        self.message.setWordWrap(True)
        self.message.hide()
        layout.addWidget(self.message)
        self.effects = _effect_buttons(parent, effects)
        self.undo = _button(parent, "undo", "", "Undo the last change of the segmentation")
        self.redo = _button(parent, "redo", "", "Do again what was undone")
        self._grid = QtWidgets.QGridLayout()
        self._grid.setSpacing(3)
        layout.addLayout(self._grid)
        self._history = QtWidgets.QWidget()
        self._history.setLayout(_row(self.undo, self.redo))
        self.options = QtWidgets.QVBoxLayout()
        layout.addLayout(self.options)
        self.masking = MaskingSection()
        layout.addWidget(self.masking)
        layout.addStretch(1)

    def arrange(self, names: list[str], columns: int) -> None:
        """Show the buttons of these effects in this order; undo and redo take the rest of the last row."""
        while self._grid.count():
            self._grid.takeAt(0)
        for name, button in self.effects.items():
            button.setVisible(not name or name in names)
        shown = [self.effects[name] for name in ("", *names)]
        for index, button in enumerate(shown):
            self._grid.addWidget(button, index // columns, index % columns)
        row, column = divmod(len(shown), columns)
        self._grid.addWidget(self._history, row, column, 1, columns - column)

    def show_options(self, frame: QtWidgets.QWidget | None) -> None:
        """Put another effect's options in place; None for no effect."""
        while self.options.count():
            old = self.options.takeAt(0).widget()
            old.hide()
            old.setParent(None)
        if frame is not None:
            self.options.addWidget(frame)
            frame.show()


def _button(parent: QtWidgets.QWidget, icon: str, text: str, tip: str) -> QtWidgets.QToolButton:
    button = QtWidgets.QToolButton(parent)
    button.setIcon(icons.icon(icon))
    button.setIconSize(_ICON)
    button.setText(text)
    button.setToolTip(tip)
    button.setAccessibleName(tip)
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
    button.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
    return button


def _effect_buttons(parent: QtWidgets.QWidget, effects: dict[str, Any]) -> dict[str, QtWidgets.QToolButton]:
    group = QtWidgets.QButtonGroup(parent)
    buttons = {"": _button(parent, "none", "None", "Look without changing anything")}
    for name, effect in effects.items():
        buttons[name] = _button(parent, name.lower(), effect.title, effect.helpText())
    for button in buttons.values():
        button.setCheckable(True)
        group.addButton(button)
    return buttons


def _row(*widgets: QtWidgets.QWidget) -> QtWidgets.QHBoxLayout:
    row = QtWidgets.QHBoxLayout()
    row.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        row.addWidget(widget)
    return row
