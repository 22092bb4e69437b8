"""The choice of method, and which widgets of the panel are of use with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from MomentumSegLib.translation import tr as _

FEW_SHOT = "few-shot"
PROMPTS = "prompts"
AUTOMATIC = "automatic"


@dataclass(frozen=True)
class Method:
    """A way to segment.

    Attributes:
        name: as it is kept with the scene.
        title: in the list of methods.
        word: for a heading.
        model_kind: of its models, as the worker names it.
        model_parameter: where the chosen model is kept.
    """

    name: str
    title: str
    word: str
    model_kind: str
    model_parameter: str


def methods() -> list[Method]:
    """The methods, in the order of the list."""
    return [
        Method(FEW_SHOT, _("Few-shot: from drawn slices"), _("few-shot"), "few-shot", "model"),
        Method(PROMPTS, _("Prompts (points, boxes, scribbles)"), _("prompts"), "sam", "promptModel"),
        Method(AUTOMATIC, _("Automatic, with a trained model"), _("automatic"), "automatic", "automaticModel"),
    ]


def method_named(name: str) -> Method:
    """The method of a name; the first one for a name of a scene of another version."""
    known = methods()
    return next((method for method in known if method.name == name), known[0])


class MethodSection:
    """Fills the combo box of methods.

    Args:
        ui: widgets of the panel.
        on_chosen: called with a method's name when the user chooses it.
    """

    def __init__(self, ui: Any, *, on_chosen: Callable[[str], None]) -> None:
        self.ui = ui
        for method in methods():
            ui.methodComboBox.addItem(method.title, method.name)
        ui.methodComboBox.setCurrentIndex(0)
        ui.methodComboBox.connect("activated(int)", lambda position: on_chosen(ui.methodComboBox.itemData(position)))

    def choose(self, name: str) -> None:
        """Show a choice that was made elsewhere, such as in a loaded scene."""
        position = self.ui.methodComboBox.findData(name)
        if position >= 0 and position != self.ui.methodComboBox.currentIndex:
            self.ui.methodComboBox.setCurrentIndex(position)

    def show_heading(self, method: Method, model: str, device: str) -> None:
        """Have the closed section say what is chosen.

        Args:
            method: the chosen one.
            model: its title; empty while none is chosen.
            device: its name; empty: automatic.
        """
        chosen = ", ".join(filter(None, (method.word, model, device)))
        self.ui.methodCollapsibleButton.text = _("Method: {chosen}").format(chosen=chosen)

    def show_widgets(self, method: Method, *, drawn_slices: int) -> None:
        """Show what the method uses, and hide the rest.

        Args:
            method: the chosen one.
            drawn_slices: how many there are. A trained model needs none, but leaves those that were corrected.
        """
        ui, name = self.ui, method.name
        has_table = name == FEW_SHOT or (name == AUTOMATIC and drawn_slices > 0)
        for widget in (ui.supportsLabel, ui.supportsTable, ui.goToSliceButton, ui.removeSliceButton):
            widget.visible = has_table
        for widget in (ui.suggestSliceButton, ui.otherVolumeGroupBox, ui.iteratesGroupBox):
            widget.visible = name == FEW_SHOT
        ui.resultsCollapsibleButton.visible = name != PROMPTS
        heading, tip = {
            FEW_SHOT: (_("Draw"), _("Draw each structure on a few slices")),
            PROMPTS: (_("Segments"), _("Choose the segment to work on; correct by hand")),
            AUTOMATIC: (_("Segments"), _("Correct by hand what the model found; what you draw stays")),
        }[name]
        ui.drawCollapsibleButton.text, ui.drawCollapsibleButton.toolTip = heading, tip
        ui.supportsLabel.text = _("Drawn slices, which stay as they are:") if name == AUTOMATIC else _("Drawn slices:")
