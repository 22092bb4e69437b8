"""The dialog before the first use: what it says, that declining does nothing, and that a failure leaves it open."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from application import SmallApplication

from MomentumSegLib import installation
from MomentumSegLib.errors import UserError
from MomentumSegLib.settings import load_settings


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    installed: dict[str, str] = {}
    monkeypatch.setattr(installation, "_installed_version", installed.get)
    monkeypatch.setattr(installation, "has_pytorch_extension", lambda: True)
    return installed


@pytest.fixture
def a_dialog(an_application: SmallApplication, nothing_installed: dict[str, str]):
    from MomentumSegLib.installation_dialog import InstallationDialog

    dialog = InstallationDialog()
    dialog.widget.show()
    yield dialog
    dialog.widget.close()


def _install_all(installed: dict[str, str]) -> Callable[..., None]:
    def install(*arguments: object) -> None:
        installed.update({"torch": "2.9", "monai": "1.5", "safetensors": "0.6"})

    return install


def test_dialog_says_what_how_large_and_from_where(a_dialog) -> None:
    table = a_dialog.ui.packagesTable
    texts = [[table.item(row, column).text() for column in range(3)] for row in range(table.rowCount)]
    assert texts[0] == [
        "torch 2.4 or newer",
        "0.2 GB (NVIDIA: 3 GB)",
        "download.pytorch.org, through the extension PyTorch",
    ]
    assert [row[0].split()[0] for row in texts] == ["torch", "monai", "safetensors"]
    assert a_dialog.ui.commandLineEdit.text.endswith('-m pip install "torch>=2.4" "monai>=1.3" "safetensors>=0.4.3"')


def test_pressing_install_installs_and_closes(
    a_dialog, nothing_installed: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "install_from_network", _install_all(nothing_installed))
    a_dialog.ui.installButton.click()
    assert not a_dialog.widget.visible
    assert a_dialog.widget.result() == 1


def test_failure_is_said_and_the_other_ways_stay_open(a_dialog, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(on_step: Callable[[str], None]) -> None:
        on_step("Installing PyTorch")
        assert a_dialog.ui.statusLabel.text == "Installing PyTorch"
        assert not a_dialog.ui.installButton.enabled, "no second installation while one runs"
        raise UserError("PyTorch could not be installed; the proxy refused.")

    monkeypatch.setattr(installation, "install_from_network", fail)
    a_dialog.ui.installButton.click()
    assert a_dialog.widget.visible
    assert a_dialog.ui.statusLabel.text == "PyTorch could not be installed; the proxy refused."
    assert a_dialog.ui.folderButton.enabled and a_dialog.ui.installButton.enabled


def test_folder_is_asked_for_and_installed_from(
    a_dialog, nothing_installed: dict, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import qt

    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *arguments: str(tmp_path))
    asked: list[str] = []

    def install(folder: str, on_step: Callable[[str], None]) -> None:
        asked.append(folder)
        _install_all(nothing_installed)()

    monkeypatch.setattr(installation, "install_from_folder", install)
    a_dialog.ui.folderButton.click()
    assert asked == [str(tmp_path)]
    assert not a_dialog.widget.visible


def test_cancelled_choice_changes_nothing(a_dialog, monkeypatch: pytest.MonkeyPatch) -> None:
    import qt

    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *arguments: "")
    monkeypatch.setattr(qt.QFileDialog, "getOpenFileName", lambda *arguments: "")
    a_dialog.ui.folderButton.click()
    a_dialog.ui.environmentButton.click()
    assert a_dialog.widget.visible
    assert a_dialog.ui.statusLabel.text == ""


def test_environment_that_fits_is_remembered(a_dialog, an_application: SmallApplication) -> None:
    a_dialog.use_environment(sys.executable)
    assert load_settings(an_application.userSettings()).python == sys.executable
    assert not a_dialog.widget.visible


def test_environment_that_does_not_fit_is_refused_and_forgotten(
    a_dialog, an_application: SmallApplication, tmp_path: Path
) -> None:
    a_dialog.use_environment(str(tmp_path / "nowhere"))
    assert "There is no program" in a_dialog.ui.statusLabel.text
    assert load_settings(an_application.userSettings()).python == ""
    assert a_dialog.widget.visible


def test_without_the_pytorch_extension_install_is_disabled_with_the_reason(
    an_application: SmallApplication, nothing_installed: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MomentumSegLib.installation_dialog import InstallationDialog

    monkeypatch.setattr(installation, "has_pytorch_extension", lambda: False)
    dialog = InstallationDialog()
    assert not dialog.ui.installButton.enabled
    assert dialog.ui.folderButton.enabled and dialog.ui.environmentButton.enabled
    assert "install it with the Extensions Manager and restart" in dialog.ui.statusLabel.text


def test_nobody_is_asked_when_all_is_there(an_application: SmallApplication, monkeypatch: pytest.MonkeyPatch) -> None:
    from MomentumSegLib import installation_dialog

    monkeypatch.setattr(installation_dialog, "InstallationDialog", lambda *arguments: pytest.fail("asked"))
    assert installation_dialog.ensure_installed()


def test_under_testing_nothing_is_asked_or_installed(
    an_application: SmallApplication, nothing_installed: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MomentumSegLib import installation_dialog

    monkeypatch.setattr(an_application, "_testing", True)
    monkeypatch.setattr(installation_dialog, "InstallationDialog", lambda *arguments: pytest.fail("asked"))
    assert not installation_dialog.ensure_installed()


@pytest.mark.parametrize(("button", "ready"), [("notNowButton", False), ("installButton", True)])
def test_the_user_decides(
    button: str, ready: bool, an_application: SmallApplication, nothing_installed: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real, modal dialog, with a real click on one of its buttons."""
    from PySide6 import QtCore, QtWidgets

    from MomentumSegLib import installation_dialog

    monkeypatch.setattr(installation, "install_from_network", _install_all(nothing_installed))

    def click() -> None:
        dialog = QtWidgets.QApplication.activeModalWidget()
        QtCore.QObject.findChild(dialog, QtWidgets.QPushButton, button).click()

    QtCore.QTimer.singleShot(0, click)
    assert installation_dialog.ensure_installed() is ready
    assert bool(nothing_installed) is ready
    assert list(an_application.userSettings().allKeys()) == []


def test_every_control_has_a_tool_tip_and_a_name(a_dialog) -> None:
    for name in (
        "installButton",
        "folderButton",
        "environmentButton",
        "notNowButton",
        "commandLineEdit",
        "packagesTable",
    ):
        control = getattr(a_dialog.ui, name)
        assert control.toolTip and control.accessibleName, name
