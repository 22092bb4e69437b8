"""The choice of model: its card, whether it is ready, download, import from a file, deletion."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import qt
import slicer

from MomentumSegLib.interfaces import Client, Failure, Job
from MomentumSegLib.model_card import card_html, state_sentence
from MomentumSegLib.translation import tr as _


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
        on_problem: called with a sentence when the models cannot be listed, or a file is none.
    """

    def __init__(
        self,
        ui: Any,
        client: Client,
        *,
        on_chosen: Callable[[str], None],
        on_changed: Callable[[], None],
        on_problem: Callable[[str], None],
    ) -> None:
        self.ui = ui
        self._client = client
        self._on_chosen = on_chosen
        self._on_changed = on_changed
        self._on_problem = on_problem
        self._kind = ""
        self._none_sentence = ""
        self._all: list[Mapping[str, Any]] = []
        self._is_known = False
        self._failed_generation = -1
        self._chosen = ""
        self._imported = ""
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
        """Whether the models are known or asked for, or this worker could not tell them."""
        if self._is_known or self._failed_generation == self._client.generation:
            return True
        return self.is_listing

    @property
    def is_listing(self) -> bool:
        """Whether the worker is being asked for its models."""
        return self._listing is not None and self._listing.is_active

    @property
    def is_ready(self) -> bool:
        """Whether the chosen model is known to be on the worker's computer."""
        model = self._model()
        return model is not None and model["state"] == "ready"

    @property
    def has_none(self) -> bool:
        """Whether there is known to be no model of the kind."""
        return self._is_known and not self._models

    @property
    def description(self) -> str:
        """What the chosen model is for, else why there is none; empty: it is not known yet."""
        model = self._model()
        if model is None:
            return self.problem()
        return str(model.get("description") or model["title"])

    def problem(self) -> str:
        """Return why the chosen model cannot segment, in one sentence; empty: it can, or it is not known yet."""
        model = self._model()
        if model is None:
            if not self._is_known:
                return ""
            unknown = _("The model '{name}' is not known here; choose another one.").format(name=self._chosen)
            return unknown if self._models or not self._none_sentence else self._none_sentence
        if model["state"] == "ready":
            return ""
        if model["state"] == "download":
            text = _("Download the model '{title}' first (Method, About this model).")
        else:
            text = _("Import the file of the model '{title}' first (Method, About this model).")
        return text.format(title=model["title"])

    def choose(self, name: str, kind: str, none_sentence: str = "") -> None:
        """Show a choice that was made elsewhere, such as in a loaded scene, among the models of its kind.

        Args:
            name: of the model; empty: the first one that is ready is chosen as soon as the models are known.
            kind: as the worker names it.
            none_sentence: what to say where there is no model of this kind.
        """
        if (name, kind) != (self._chosen, self._kind):
            self._chosen, self._kind, self._none_sentence = name, kind, none_sentence
            self._error = ""
            self._show()
        self._choose_first()

    def refresh(self) -> None:
        """Ask the worker for its models (starts the worker). Those that are shown stay until it answers."""
        if self.is_listing:
            return
        self._listing = _ASKED
        self._listing = self._client.request(
            "list_models",
            {"kind": None},
            on_result=lambda values, arrays: self.show_models(values["models"]),
            on_error=self._not_listed,
        )

    def list_again(self) -> None:
        """Models may have come or gone, for example by training: what is known counts no longer."""
        self._is_known, self._failed_generation = False, -1

    def show_models(self, models: Sequence[Mapping[str, Any]]) -> None:
        """Show these models: dictionaries as the worker's ``list_models`` returns them."""
        self._all, self._is_known = list(models), True
        self._take_imported()
        self._show()
        self._choose_first()
        self._on_changed()

    def _not_listed(self, failure: Failure) -> None:
        if failure.kind != "cancelled":
            self._failed_generation = self._client.generation
            self._on_problem(failure.sentence)

    def _choose_first(self) -> None:
        ready = [model for model in self._models if model["state"] == "ready"]
        if self._is_known and not self._chosen and ready:
            self._chosen = str(ready[0]["name"])
            self._show()
            self._on_chosen(self._chosen)

    def _take_imported(self) -> None:
        """Choose what was imported, or say that it is no model for this method, and remove it again."""
        name, self._imported = self._imported, ""
        if not name:
            return
        if any(model["name"] == name for model in self._models):
            self._chosen = name
            self._on_chosen(name)
            return
        self._on_problem(_("The file is no model for this method: choose one that MomentumSeg's training wrote."))
        self._client.request("delete_model", {"name": name})
        self._all = [model for model in self._all if model["name"] != name]

    def stop(self) -> None:
        """Stop a download."""
        if self._job is not None and self._job.is_active:
            self._job.cancel()

    @property
    def _models(self) -> list[Mapping[str, Any]]:
        return [model for model in self._all if model["kind"] == self._kind]

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
            combo.addItem(self._chosen or _("None yet"), self._chosen)
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
        path = self._path_of_model()
        if model is not None and path:
            self._run("import_model", {"name": model["name"], "path": path}, _("Importing"))

    def import_own(self) -> None:
        """Have the user choose a file that is a model of this kind by itself; it is chosen when it is imported."""
        if self._job is not None and self._job.is_active:
            return
        path = self._path_of_model()
        if not path:
            return
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", PurePath(path).stem).strip(".-_") or "model"
        if any(model["name"] == name for model in self._all):
            self._on_problem(
                _("There is a model '{name}' already: rename the file, or delete that model first.").format(name=name)
            )
            return
        self._imported = name
        self._run("import_model", {"name": name, "path": path}, _("Importing"))

    def _path_of_model(self) -> str:
        path = qt.QFileDialog.getOpenFileName(
            self.ui.importModelButton.window(), _("File of the model"), "", _("Model files (*.safetensors *.pth *.pt)")
        )
        return str(path[0] if isinstance(path, tuple) else path)  # Qt for Python returns the chosen filter too

    def _delete(self) -> None:
        model = self._model()
        if model is not None:
            self._run("delete_model", {"name": model["name"]}, _("Deleting"), self._deleted)

    def _deleted(self) -> None:
        """A model of the catalogue can be had again; one of the user's own is gone, and another one is chosen."""
        model = self._model()
        if model is not None and self._none_sentence:
            self._all = [other for other in self._all if other["name"] != self._chosen]
            self._chosen = ""
            self._on_chosen("")

    def _run(
        self, method: str, parameters: dict[str, Any], doing: str, then: Callable[[], None] = lambda: None
    ) -> None:
        self._error = ""
        self._job = self._client.request(
            method,
            parameters,
            on_progress=lambda fraction, message, seconds: self._progress(doing, fraction),
            on_result=lambda values, arrays: self._succeeded(then),
            on_error=self._failed,
        )
        self._progress(doing, 0.0)
        self._show()

    def _progress(self, doing: str, fraction: float) -> None:
        self.ui.modelStateLabel.text = f"{doing} ... {100 * max(fraction, 0):.0f} %"

    def _succeeded(self, then: Callable[[], None]) -> None:
        then()
        self._finished("")

    def _failed(self, failure: Failure) -> None:
        self._imported = ""
        self._finished("" if failure.kind == "cancelled" else failure.sentence)

    def _finished(self, error: str) -> None:
        self._job = None
        self._error = error
        if error:
            self._on_problem(error)
        self._show()
        self.refresh()
