"""The choice of model: its card, whether it is ready, download, import from a file, deletion."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import qt
import slicer

from MomentumSegLib.interfaces import Client, Failure, Job
from MomentumSegLib.model_card import card_html, state_sentence
from MomentumSegLib.translation import tr as _

FEW_SHOT_KIND = "few-shot"
PROMPT_KIND = "sam"


class _Asked:
    """Stands for a request that is being made: making it tells those who listen, and they must not ask again."""

    is_active = True

    def cancel(self) -> None:
        """It has not been made yet."""


_ASKED = _Asked()


class ModelSection:
    """Lists the worker's models and brings the chosen one into a usable state.

    Args:
        ui: widgets of the panel.
        client: the worker's.
        on_chosen: called with a model's name when the user chooses it.
        on_changed: called when the chosen model's state changed (listed, downloaded, imported, deleted).
    """

    def __init__(
        self, ui: Any, client: Client, *, on_chosen: Callable[[str], None], on_changed: Callable[[], None]
    ) -> None:
        self.ui = ui
        self._client = client
        self._on_chosen = on_chosen
        self._on_changed = on_changed
        self._kind = FEW_SHOT_KIND
        self._models: list[Mapping[str, Any]] = []
        self._chosen = ""
        self._job: Job | None = None
        self._listing: Job | None = None
        self._error = ""
        ui.modelComboBox.connect("activated(int)", self._activated)
        ui.downloadModelButton.connect("clicked(bool)", lambda checked: self._download_or_cancel())
        ui.importModelButton.connect("clicked(bool)", lambda checked: self._import())
        ui.deleteModelButton.connect("clicked(bool)", lambda checked: self._delete())
        self._show()

    @property
    def title(self) -> str:
        """Title of the chosen model; its name until the worker told."""
        model = self._model()
        return str(model["title"]) if model else self._chosen

    @property
    def is_listed(self) -> bool:
        """Whether the models are known or asked for."""
        return bool(self._models) or (self._listing is not None and self._listing.is_active)

    def problem(self) -> str:
        """Return why the chosen model cannot segment, in one sentence; empty: it can, or it is not known yet."""
        model = self._model()
        if model is None:
            if not self._models:
                return ""
            return _("The model '{name}' is not known here; choose another one.").format(name=self._chosen)
        if model["state"] == "ready":
            return ""
        if model["state"] == "download":
            text = _("Download the model '{title}' first (Method, About this model).")
        else:
            text = _("Import the file of the model '{title}' first (Method, About this model).")
        return text.format(title=model["title"])

    def choose(self, name: str, kind: str = FEW_SHOT_KIND) -> None:
        """Show a choice that was made elsewhere, such as in a loaded scene, among the models of its kind."""
        if kind != self._kind:
            self._kind, self._models, self._listing = kind, [], None
        if name != self._chosen:
            self._chosen = name
            self._error = ""
            self._show()

    def refresh(self) -> None:
        """Ask the worker for its models (starts the worker)."""
        if self._listing is not None and self._listing.is_active:
            return
        self._listing = _ASKED
        kind = self._kind
        self._listing = self._client.request(
            "list_models", {"kind": kind}, on_result=lambda values, arrays: self._listed(kind, values["models"])
        )

    def _listed(self, kind: str, models: Sequence[Mapping[str, Any]]) -> None:
        if kind == self._kind:
            self.show_models(models)

    def show_models(self, models: Sequence[Mapping[str, Any]]) -> None:
        """Show these models: dictionaries as the worker's ``list_models`` returns them."""
        self._models = list(models)
        self._show()
        self._on_changed()

    def stop(self) -> None:
        """Stop a download."""
        if self._job is not None and self._job.is_active:
            self._job.cancel()

    def _model(self) -> Mapping[str, Any] | None:
        return next((model for model in self._models if model["name"] == self._chosen), None)

    def _activated(self, position: int) -> None:
        self.choose(self.ui.modelComboBox.itemData(position), self._kind)
        self._on_chosen(self._chosen)

    def _show(self) -> None:
        self._fill_combo()
        model = self._model()
        busy = self._job is not None and self._job.is_active
        self.ui.modelCardGroupBox.visible = model is not None
        self.ui.modelStateLabel.visible = bool(self._models)
        if model is None:
            self.ui.modelStateLabel.text = self.problem()
            return
        self.ui.modelCardLabel.text = card_html(model)
        self.ui.modelComboBox.toolTip = str(model.get("description") or _("The trained network"))
        if not busy:
            self.ui.modelStateLabel.text = self._error or state_sentence(model)
        self.ui.downloadModelButton.text = _("Cancel download") if busy else _("Download")
        self.ui.downloadModelButton.visible = busy or model["state"] == "download"
        self.ui.importModelButton.visible = not busy and model["state"] in ("download", "import")
        self.ui.deleteModelButton.visible = not busy and bool(model.get("deletable"))

    def _fill_combo(self) -> None:
        combo = self.ui.modelComboBox
        was_blocked = combo.blockSignals(True)
        combo.clear()
        for model in self._models:
            combo.addItem(str(model["title"]), str(model["name"]))
        if combo.findData(self._chosen) < 0:
            combo.addItem(self._chosen, self._chosen)
        combo.setCurrentIndex(combo.findData(self._chosen))
        combo.blockSignals(was_blocked)

    def _download_or_cancel(self) -> None:
        if self._job is not None and self._job.is_active:
            self._job.cancel()
            return
        model = self._model()
        if model is not None and self._consents(model):
            self._run("download_model", {"name": model["name"]}, _("Downloading"))

    def _consents(self, model: Mapping[str, Any]) -> bool:
        """A licence that binds the user needs the user's yes."""
        notice = str(model.get("notice") or "")
        if not notice:
            return True
        return bool(slicer.util.confirmOkCancelDisplay(notice, windowTitle=_("Licence of the model")))

    def _import(self) -> None:
        model = self._model()
        if model is not None and not self._consents(model):
            return
        path = qt.QFileDialog.getOpenFileName(
            self.ui.importModelButton.window(), _("File of the model"), "", _("Model files (*.safetensors *.pth *.pt)")
        )
        path = path[0] if isinstance(path, tuple) else path  # Qt for Python returns the chosen filter too
        if model is not None and path:
            self._run("import_model", {"name": model["name"], "path": str(path)}, _("Importing"))

    def _delete(self) -> None:
        model = self._model()
        if model is not None:
            self._run("delete_model", {"name": model["name"]}, _("Deleting"))

    def _run(self, method: str, parameters: dict[str, Any], doing: str) -> None:
        self._error = ""
        self._job = self._client.request(
            method,
            parameters,
            on_progress=lambda fraction, message, seconds: self._progress(doing, fraction),
            on_result=lambda values, arrays: self._finished(""),
            on_error=self._failed,
        )
        self._progress(doing, 0.0)
        self._show()

    def _progress(self, doing: str, fraction: float) -> None:
        self.ui.modelStateLabel.text = f"{doing} ... {100 * max(fraction, 0):.0f} %"

    def _failed(self, failure: Failure) -> None:
        self._finished("" if failure.kind == "cancelled" else failure.sentence)

    def _finished(self, error: str) -> None:
        self._job = None
        self._error = error
        self._show()
        self.refresh()
