"""MomentumSeg's page in the application's settings: the worker's Python or computer, the models' folder, the cache."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import qt
import slicer

from MomentumSegLib import installation, weights_folder
from MomentumSegLib.errors import UserError
from MomentumSegLib.settings import Settings, SettingsStore, load_settings, save_settings
from MomentumSegLib.training_session import runs_folder
from MomentumSegLib.translation import tr as _

UI_FILE = Path(__file__).resolve().parents[1] / "Resources" / "UI" / "MomentumSegSettings.ui"

_registered: list[Any] = []  # the page, and the object that answers its buttons: the dialog keeps only the page


def register() -> None:
    """Add the page to the application's settings dialog, once. Without a window or such a dialog nothing is done."""
    if _registered or slicer.util.mainWindow() is None or not hasattr(slicer.app, "settingsDialog"):
        return
    import ctk

    panel = SettingsPanel()
    page = ctk.ctkSettingsPanel()
    qt.QVBoxLayout(page).addWidget(panel.widget)
    slicer.app.settingsDialog().addPanel("MomentumSeg", page)
    _registered.extend((page, panel))


class SettingsPanel:
    """The page. What is entered counts at once, for the worker's next start.

    Args:
        store: where the settings are kept; None: the application's settings.
    """

    def __init__(self, store: SettingsStore | None = None) -> None:
        self._store = store
        self.widget = slicer.util.loadUI(str(UI_FILE))
        self.ui = slicer.util.childWidgetVariables(self.widget)
        self.refresh()
        self.ui.pythonLineEdit.connect("editingFinished()", self._on_python_entered)
        self.ui.pythonButton.connect("clicked(bool)", self._on_choose_python)
        self.ui.hostLineEdit.connect("editingFinished()", self._on_host_entered)
        self.ui.hostPythonLineEdit.connect("editingFinished()", self._on_host_entered)
        self.ui.trainingFolderLineEdit.connect("editingFinished()", self._on_training_folder_entered)
        self.ui.trainingFolderButton.connect("clicked(bool)", self._on_choose_training_folder)
        self.ui.cacheSpinBox.connect("valueChanged(int)", self._on_cache_changed)
        self.ui.patienceSpinBox.connect("valueChanged(int)", self._on_patience_changed)
        self.ui.openFolderButton.connect("clicked(bool)", self._on_open_folder)
        self.ui.changeFolderButton.connect("clicked(bool)", self._on_change_folder)
        self.ui.defaultFolderButton.connect("clicked(bool)", self._on_default_folder)
        self.ui.deleteModelsButton.connect("clicked(bool)", self._on_delete_models)

    @property
    def settings(self) -> Settings:
        return load_settings(self._store)

    def refresh(self) -> None:
        """Show the settings as they are stored, and how large the models' folder is now."""
        settings = self.settings
        self.ui.pythonLineEdit.text = settings.python
        self.ui.hostLineEdit.text = settings.ssh_host
        self.ui.hostPythonLineEdit.text = settings.ssh_python
        self.ui.hostPythonLineEdit.enabled = bool(settings.ssh_host)
        self.ui.trainingFolderLineEdit.text = settings.training_folder
        self.ui.trainingFolderLineEdit.placeholderText = runs_folder(replace(settings, training_folder=""))
        self.ui.cacheSpinBox.value = settings.cache_megabytes
        self.ui.patienceSpinBox.value = settings.prompt_seconds
        self._show_folder()

    def choose_python(self, path: str) -> None:
        """Let the worker run in the Python of an environment, if it has what is needed; empty: the application's."""
        if path == self.settings.python:
            return
        try:
            python = ""
            if path:
                python = str(installation.python_of(path))
                installation.examine_python(python)
        except UserError as error:
            self._tell(_("Not changed: {reason}").format(reason=error))
            self.ui.pythonLineEdit.text = self.settings.python
            return
        self._change(python=python)
        self.ui.pythonLineEdit.text = python

    def change_data_folder(self, folder: str) -> None:
        """Keep models below ``folder`` from now on; empty: the usual place."""
        self._change(data_folder=folder)
        self._show_folder()

    def delete_models(self) -> None:
        """Delete all downloaded models without asking."""
        try:
            freed = weights_folder.delete_models(self.settings.weights_folder)
        except UserError as error:
            self._tell(str(error))
        else:
            self._tell(_("{size} freed.").format(size=weights_folder.readable_size(freed)))
        self._show_folder()

    def _change(self, **changes: Any) -> None:
        before = self.settings
        after = replace(before, **changes)
        if after != before:
            save_settings(after, self._store)
            self._tell(_("Counts from the next start of the worker on."))

    def _tell(self, text: str) -> None:
        self.ui.messageLabel.text = text

    def _show_folder(self) -> None:
        folder = self.settings.weights_folder
        files = weights_folder.model_files(folder)
        size = weights_folder.readable_size(weights_folder.size_bytes(folder))
        text = _("{folder}\nModels there: {count}, {size}. Those that came with MomentumSeg are not among them.")
        self.ui.folderLabel.text = text.format(folder=folder, count=len(files), size=size)
        self.ui.openFolderButton.enabled = folder.is_dir()
        self.ui.deleteModelsButton.enabled = bool(files)
        self.ui.defaultFolderButton.enabled = bool(self.settings.data_folder)

    def _on_python_entered(self) -> None:
        self.choose_python(self.ui.pythonLineEdit.text.strip())

    def _on_choose_python(self, checked: bool = False) -> None:
        chosen = qt.QFileDialog.getOpenFileName(self.widget, _("The python program of an environment"))
        path = chosen[0] if isinstance(chosen, tuple) else chosen  # PySide6 gives the chosen filter, too
        if path:
            self.choose_python(path)

    def _on_host_entered(self) -> None:
        host, python = self.ui.hostLineEdit.text.strip(), self.ui.hostPythonLineEdit.text.strip()
        self._change(ssh_host=host, ssh_python=python or Settings().ssh_python)
        self.ui.hostPythonLineEdit.enabled = bool(host)

    def _on_training_folder_entered(self) -> None:
        self._change(training_folder=self.ui.trainingFolderLineEdit.text.strip())

    def _on_choose_training_folder(self, checked: bool = False) -> None:
        folder = qt.QFileDialog.getExistingDirectory(self.widget, _("Folder for trainings"))
        if folder:
            self.ui.trainingFolderLineEdit.text = folder
            self._on_training_folder_entered()

    def _on_cache_changed(self, megabytes: int) -> None:
        self._change(cache_megabytes=megabytes)

    def _on_patience_changed(self, seconds: int) -> None:
        save_settings(replace(self.settings, prompt_seconds=seconds), self._store)

    def _on_open_folder(self, checked: bool = False) -> None:
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(self.settings.weights_folder)))

    def _on_change_folder(self, checked: bool = False) -> None:
        folder = qt.QFileDialog.getExistingDirectory(self.widget, _("Folder for MomentumSeg's models"))
        if folder:
            self.change_data_folder(folder)

    def _on_default_folder(self, checked: bool = False) -> None:
        self.change_data_folder("")

    def _on_delete_models(self, checked: bool = False) -> None:
        folder = self.settings.weights_folder
        question = _("Delete all models in {folder} ({count})? They can be downloaded or imported again.")
        if slicer.util.confirmOkCancelDisplay(
            question.format(count=len(weights_folder.model_files(folder)), folder=folder), _("Delete all models")
        ):
            self.delete_models()
