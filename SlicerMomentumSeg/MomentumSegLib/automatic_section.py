"""The widgets of the method "automatic", loaded into the panel: what the model does, mirroring, import of a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer

from MomentumSegLib.translation import tr as _

UI_FILE = Path(__file__).resolve().parents[1] / "Resources" / "UI" / "MomentumSegAutomatic.ui"


class AutomaticSection:
    """Loads the widgets and puts them before the button that starts a run.

    Args:
        ui: widgets of the panel; those of the section are added.
        panel: the panel's widget.
        on_import: called when the user wants to use a file of a model.
    """

    def __init__(self, ui: Any, panel: Any, *, on_import: Callable[[], None]) -> None:
        self.ui = ui
        self.widget = slicer.util.loadUI(str(UI_FILE))
        for name, widget in vars(slicer.util.childWidgetVariables(self.widget)).items():
            if not hasattr(ui, name):
                setattr(ui, name, widget)
        layout = panel.layout()
        layout.insertWidget(layout.indexOf(ui.runFrame), self.widget)
        self.widget.setMRMLScene(slicer.mrmlScene)
        self.widget.visible = False
        ui.importAutomaticButton.connect("clicked(bool)", lambda checked: on_import())

    def show(self, visible: bool, *, description: str, is_busy: bool) -> None:
        """Show the section.

        Args:
            visible: whether the method is chosen.
            description: what the chosen model is for, or why there is none.
            is_busy: while a run is on its way nothing can be changed.
        """
        self.widget.visible = visible
        self.ui.automaticModelLabel.text = description
        self.ui.mirrorCheckBox.enabled = not is_busy
        self.ui.importAutomaticButton.enabled = not is_busy


def no_model() -> str:
    """Why nothing can be applied, for the status line; `no_model_sentence` says more."""
    return _("There is no automatic model yet.")


def no_model_sentence() -> str:
    """How to get a model, for the section."""
    return _("There is no automatic model yet: train one in the module MomentumSeg Training, or import a file.")
