"""The model of a finished training: its card, into the list of models, and on to the module MomentumSeg."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from MomentumSegLib.interfaces import Client, Failure
from MomentumSegLib.training_metrics import dices_of
from MomentumSegLib.training_request import TrainingRun
from MomentumSegLib.training_use import AUTOMATIC
from MomentumSegLib.translation import tr as _

# What can be said of one's own model. The first is true of every model until its author says something else.
LICENCES = (
    "Not stated; for own use",
    "CC BY 4.0",
    "CC BY-SA 4.0",
    "CC BY-NC 4.0",
    "CC BY-NC-SA 4.0",
    "CC0 1.0",
    "Apache-2.0",
)


class TrainingModelSection:
    """Saves the model of a training.

    Args:
        ui: widgets of the panel.
        client: of the training worker.
        on_said: called with a sentence.
        on_use: called with the name and the kind of a saved model.
    """

    def __init__(
        self, ui: Any, client: Client, *, on_said: Callable[[str], None], on_use: Callable[[str, str], None]
    ) -> None:
        self.ui = ui
        self._client = client
        self._on_said = on_said
        self._run: TrainingRun | None = None
        self._saved, self._kind = "", AUTOMATIC
        self._is_saving = False
        ui.modelCollapsibleButton.collapsed = True
        for licence in LICENCES:
            ui.licenceComboBox.addItem(licence)
        ui.modelTitleLineEdit.connect("textChanged(QString)", lambda text: self._update())
        ui.saveModelButton.connect("clicked(bool)", lambda checked: self.save())
        ui.useModelButton.connect("clicked(bool)", lambda checked: on_use(self._saved, self._kind))
        self._update()

    @property
    def saved_name(self) -> str:
        """Of the model in the list of models; empty before it was saved."""
        return self._saved

    def show(self, run: TrainingRun | None, values: Mapping[str, Any] | None = None, data: str = "") -> None:
        """Show the model of a finished training; None: there is none.

        Args:
            run: the training.
            values: what the worker answered at its end, with ``metrics``.
            data: a first text of what it was trained on.
        """
        is_new = run is not None and (self._run is None or run.folder != self._run.folder)
        self._run = run
        self.ui.modelCollapsibleButton.collapsed = run is None
        if is_new and run is not None:
            self._saved = ""
            self.ui.modelTitleLineEdit.text = run.title
            self.ui.modelDataLineEdit.text = data
        self.ui.metricsLabel.text = _metrics_text(run, values or {}) if run is not None else ""
        self.ui.metricsLabel.visible = run is not None
        self._update()

    def save(self) -> None:
        """Put the model into the list of models."""
        if self._run is None or self._is_saving:
            return
        self._is_saving = True
        parameters = {
            "run_folder": self._run.folder,
            "name": model_name(self.ui.modelTitleLineEdit.text),
            "title": self.ui.modelTitleLineEdit.text.strip(),
            "licence": self.ui.licenceComboBox.currentText.strip() or LICENCES[0],
            "training_data": self.ui.modelDataLineEdit.text.strip(),
        }
        self._client.request(
            "save_trained_model",
            parameters,
            on_result=lambda values, arrays: self._done(str(values.get("name") or parameters["name"])),
            on_error=self._failed,
        )
        self._update()

    def _done(self, name: str) -> None:
        self._is_saving, self._saved, self._kind = False, name, AUTOMATIC
        self._client.request("list_models", {"kind": None}, on_result=lambda values, arrays: self._listed(values))
        text = _('The model "{title}" is in the list of models, with its card. Use in MomentumSeg segments with it.')
        self._on_said(text.format(title=self.ui.modelTitleLineEdit.text.strip()))
        self._update()

    def _listed(self, values: Mapping[str, Any]) -> None:
        """Recipes for prompts make models of another kind."""
        kinds = {str(model["name"]): str(model["kind"]) for model in values["models"]}
        self._kind = kinds.get(self._saved, AUTOMATIC)

    def _failed(self, failure: Failure) -> None:
        self._is_saving = False
        self._on_said(failure.sentence)
        self._update()

    def _update(self) -> None:
        ui, has_run = self.ui, self._run is not None
        title = ui.modelTitleLineEdit.text.strip()
        for widget in (ui.modelTitleLineEdit, ui.modelDataLineEdit, ui.licenceComboBox):
            widget.enabled = has_run
        ui.saveModelButton.enabled = has_run and bool(title) and not self._is_saving
        if not has_run:
            ui.saveModelButton.toolTip = _("First finish a training, or press Stop and keep.")
        elif not title:
            ui.saveModelButton.toolTip = _("Give the model a name first.")
        else:
            ui.saveModelButton.toolTip = _("Put the model with its card into the list of models")
        ui.useModelButton.enabled = bool(self._saved)
        ui.useModelButton.toolTip = (
            _("Go to the module MomentumSeg, with the method Automatic and this model chosen")
            if self._saved
            else _("Save the model first.")
        )


def model_name(title: str) -> str:
    """Name of a model's file from its title: small letters, digits and dashes.

    >>> model_name("Liver, portal venous CT")
    'liver-portal-venous-ct'
    """
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "trained-model"


def _metrics_text(run: TrainingRun | None, values: Mapping[str, Any]) -> str:
    by_name, mean = dices_of(values)
    mean = mean if mean is not None else (run.score if run is not None else None)
    if mean is None:
        return _("No validation was made: how good the model is is not known.")
    parts = ", ".join(f"{name} {value:.2f}" for name, value in by_name.items())
    text = _("Mean Dice of the validation: {mean}") if not parts else _("Mean Dice of the validation: {mean} ({parts})")
    return text.format(mean=f"{mean:.2f}", parts=parts)
