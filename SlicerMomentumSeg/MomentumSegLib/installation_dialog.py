"""The one dialog before the first use: what will be installed, how large, from where; and the ways without network."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import qt
import slicer

from MomentumSegLib import installation
from MomentumSegLib.errors import UserError
from MomentumSegLib.settings import SettingsStore, load_settings, save_settings
from MomentumSegLib.translation import tr as _
from MomentumSegLib.worker_launch import own_python

UI_FILE = Path(__file__).resolve().parents[1] / "Resources" / "UI" / "MomentumSegInstallation.ui"

_log = logging.getLogger(__name__)


def is_installed(store: SettingsStore | None = None) -> bool:
    """Return whether the worker can start without asking the user anything."""
    return installation.is_ready(load_settings(store))


def ensure_installed(parent: Any = None, store: SettingsStore | None = None) -> bool:
    """Return whether the worker's Python has what it needs; if not, ask the user once and do what was chosen.

    Declined, or under Slicer's --testing: False, and nothing has happened.
    """
    if installation.is_ready(load_settings(store)):
        return True
    if slicer.app.testingEnabled():
        _log.info("MomentumSeg: packages are missing, and nothing is installed while testing")
        return False
    dialog = InstallationDialog(parent, store)
    dialog.exec()
    return installation.is_ready(load_settings(store))


def package_rows(missing: list[installation.Requirement]) -> list[tuple[str, str, str]]:
    """Return name and version, size of the download, and source of each missing package, for people."""
    known = {
        "torch": (_("0.2 GB (NVIDIA: 3 GB)"), _("download.pytorch.org, through the extension PyTorch")),
        "monai": (_("2 MB"), _("pypi.org")),
        "safetensors": (_("0.5 MB"), _("pypi.org")),
    }
    unknown = (_("unknown"), _("pypi.org"))
    needed = _("{name} {version} or newer")
    named = [needed.format(name=requirement.name, version=requirement.minimum) for requirement in missing]
    details = [known.get(requirement.name, unknown) for requirement in missing]
    return [(name, *detail) for name, detail in zip(named, details, strict=True)]


class InstallationDialog:
    """Shows what is missing and installs it in the way that the user chooses.

    Args:
        parent: widget that the dialog belongs to.
        store: where the chosen environment is kept; None: the application's settings.
    """

    def __init__(self, parent: Any = None, store: SettingsStore | None = None) -> None:
        self._store = store
        self.widget = qt.QDialog(parent if parent is not None else slicer.util.mainWindow())
        self.widget.windowTitle = _("Set up MomentumSeg")
        content = slicer.util.loadUI(str(UI_FILE))
        qt.QVBoxLayout(self.widget).addWidget(content)
        self.ui = slicer.util.childWidgetVariables(content)
        self.ui.installButton.connect("clicked(bool)", self._on_install)
        self.ui.folderButton.connect("clicked(bool)", self._on_folder)
        self.ui.environmentButton.connect("clicked(bool)", self._on_environment)
        self.ui.notNowButton.connect("clicked(bool)", self._on_not_now)
        self._show_missing()

    def exec(self) -> None:
        """Show the dialog until it is closed."""
        self.widget.exec()

    def install(self) -> None:
        """Install from the network; the dialog closes when all is there and stays, with the reason, when not."""
        self._work(lambda: installation.install_from_network(self._say))

    def install_from(self, folder: str) -> None:
        """Install from a folder of wheels, as :meth:`install`."""
        self._work(lambda: installation.install_from_folder(folder, self._say))

    def use_environment(self, path: str) -> None:
        """Let the worker run in another Python, after it has been asked whether it has what is needed."""

        def choose() -> None:
            self._say(_("Asking {path}").format(path=path))
            python = installation.python_of(path)
            installation.examine_python(python)
            save_settings(replace(load_settings(self._store), python=str(python)), self._store)

        self._work(choose)

    def _show_missing(self) -> None:
        missing = installation.missing_in_application()
        rows = package_rows(missing)
        table = self.ui.packagesTable
        table.setColumnCount(3)
        table.setHorizontalHeaderLabels([_("Package"), _("Download"), _("From")])
        table.setRowCount(len(rows))
        for row, texts in enumerate(rows):
            for column, text in enumerate(texts):
                table.setItem(row, column, qt.QTableWidgetItem(text))
        table.resizeColumnsToContents()
        table.resizeRowsToContents()
        self.ui.spaceLabel.text = _(
            "Some small packages that these need come with them. In all about 1 GB on the disk, with an NVIDIA card "
            "about 7 GB. To remove them later: the command below with 'uninstall' instead of 'install'."
        )
        self.ui.commandLineEdit.text = installation.pip_command(missing, own_python())
        self.ui.commandLineEdit.cursorPosition = 0
        self.ui.installButton.setFocus()
        needs_torch = any(requirement.name == "torch" for requirement in missing)
        if needs_torch and not installation.has_pytorch_extension():
            self.ui.installButton.enabled = False
            self.ui.installButton.toolTip = _("The extension PyTorch is needed for this")
            self.ui.statusLabel.text = _(
                "The extension PyTorch, which finds the right build for this computer, is missing: install it with the "
                "Extensions Manager and restart, or use one of the other ways."
            )

    def _work(self, task: Callable[[], None]) -> None:
        """Do something that takes its time, on the main thread as pip demands; a failure is shown in one sentence."""
        buttons = (self.ui.installButton, self.ui.folderButton, self.ui.environmentButton, self.ui.notNowButton)
        before = [button.enabled for button in buttons]
        for button in buttons:
            button.enabled = False
        try:
            task()
        except UserError as error:
            self.ui.statusLabel.text = str(error)
        else:
            self.widget.accept()
        finally:
            for button, enabled in zip(buttons, before, strict=True):
                button.enabled = enabled

    def _say(self, text: str) -> None:
        self.ui.statusLabel.text = text
        slicer.app.processEvents()

    def _on_install(self, checked: bool = False) -> None:
        self.install()

    def _on_folder(self, checked: bool = False) -> None:
        folder = qt.QFileDialog.getExistingDirectory(self.widget, _("Folder of wheels (*.whl)"))
        if folder:
            self.install_from(folder)

    def _on_environment(self, checked: bool = False) -> None:
        python = qt.QFileDialog.getOpenFileName(self.widget, _("The python program of an environment"))
        if isinstance(python, tuple):  # PySide6 gives the chosen filter, too
            python = python[0]
        if python:
            self.use_environment(python)

    def _on_not_now(self, checked: bool = False) -> None:
        self.widget.reject()
