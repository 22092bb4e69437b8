"""The choice of method: what exists can be chosen, what does not yet says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import qt

from MomentumSegLib.translation import tr as _

FEW_SHOT = "few-shot"
PROMPTS = "prompts"
# Where a QStandardItem keeps its flags; 0 there makes the entry of a combo box one that cannot be chosen.
_FLAGS_ROLE = qt.Qt.UserRole - 1


@dataclass(frozen=True)
class _Method:
    name: str
    title: str
    reason: str  # why it cannot be chosen; empty: it can


def _methods() -> list[_Method]:
    return [
        _Method(FEW_SHOT, _("Few-shot: from drawn slices"), ""),
        _Method(PROMPTS, _("Prompts (points, boxes, scribbles)"), ""),
        _Method(
            "automatic",
            _("Automatic (not available yet)"),
            _("Automatic segmentation needs a model trained for your structure, which this version cannot use yet. "
              "Draw slices instead."),
        ),
    ]  # fmt: skip


class MethodSection:
    """Fills the combo box of methods.

    Args:
        ui: widgets of the panel.
        on_chosen: called with a method's name when the user chooses it.
    """

    def __init__(self, ui: Any, *, on_chosen: Callable[[str], None]) -> None:
        self.ui = ui
        for position, method in enumerate(_methods()):
            ui.methodComboBox.addItem(method.title, method.name)
            if method.reason:
                ui.methodComboBox.setItemData(position, 0, _FLAGS_ROLE)
                ui.methodComboBox.setItemData(position, method.reason, qt.Qt.ToolTipRole)
        ui.methodComboBox.setCurrentIndex(0)
        ui.methodComboBox.connect("activated(int)", lambda position: on_chosen(ui.methodComboBox.itemData(position)))

    def choose(self, name: str) -> None:
        """Show a choice that was made elsewhere, such as in a loaded scene."""
        position = self.ui.methodComboBox.findData(name)
        if position >= 0 and position != self.ui.methodComboBox.currentIndex:
            self.ui.methodComboBox.setCurrentIndex(position)
