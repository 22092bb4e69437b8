"""The page of settings: what is entered is examined, kept, and what lies on the disk can be seen and removed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from application import SmallApplication

from MomentumSegLib import weights_folder
from MomentumSegLib.errors import UserError
from MomentumSegLib.settings import Settings, save_settings


@pytest.fixture
def a_panel(an_application: SmallApplication, tmp_path: Path):
    from MomentumSegLib.settings_panel import SettingsPanel

    save_settings(Settings(data_folder=str(tmp_path / "data")), an_application.userSettings())
    return SettingsPanel()


def _a_model(folder: Path, name: str, size: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(b"\0" * size)
    return path


def test_python_that_fits_is_kept(a_panel) -> None:
    a_panel.choose_python(sys.executable)
    assert a_panel.settings.python == sys.executable
    assert a_panel.ui.messageLabel.text == "Counts from the next start of the worker on."
    a_panel.choose_python("")
    assert a_panel.settings.python == ""


def test_python_that_does_not_fit_is_not_kept(a_panel, tmp_path: Path) -> None:
    a_panel.ui.pythonLineEdit.text = str(tmp_path / "nowhere")
    a_panel._on_python_entered()
    assert a_panel.settings.python == ""
    assert a_panel.ui.pythonLineEdit.text == ""
    assert a_panel.ui.messageLabel.text.startswith("Not changed: There is no program")


def test_host_and_cache_are_kept(a_panel) -> None:
    assert not a_panel.ui.hostPythonLineEdit.enabled
    a_panel.ui.hostLineEdit.text = " user@gpu-server "
    a_panel.ui.hostPythonLineEdit.text = ""
    a_panel._on_host_entered()
    a_panel.ui.cacheSpinBox.value = 1024
    assert (a_panel.settings.ssh_host, a_panel.settings.ssh_python) == ("user@gpu-server", "python3")
    assert a_panel.settings.cache_bytes == 2**30
    assert a_panel.ui.hostPythonLineEdit.enabled


def test_folder_of_trainings_is_kept(a_panel, tmp_path: Path) -> None:
    beside = str(tmp_path / "data" / "training")
    assert (a_panel.ui.trainingFolderLineEdit.text, a_panel.ui.trainingFolderLineEdit.placeholderText) == ("", beside)
    a_panel.ui.trainingFolderLineEdit.text = " /big/disk "
    a_panel._on_training_folder_entered()
    assert a_panel.settings.training_folder == "/big/disk"
    a_panel.refresh()
    assert a_panel.ui.trainingFolderLineEdit.text == "/big/disk"


def test_page_shows_what_is_stored(a_panel, an_application: SmallApplication) -> None:
    save_settings(Settings(python="/x/python", ssh_host="gpu", cache_megabytes=512), an_application.userSettings())
    a_panel.refresh()
    shown = (a_panel.ui.pythonLineEdit.text, a_panel.ui.hostLineEdit.text, a_panel.ui.cacheSpinBox.value)
    assert shown == ("/x/python", "gpu", 512)


def test_models_are_counted_and_deleted_and_nothing_else(
    a_panel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import slicer

    folder = tmp_path / "data" / "weights"
    _a_model(folder, "one.safetensors", 2_000_000)
    _a_model(folder, "two.pth", 1_000_000)
    notes = _a_model(folder, "my notes.txt", 10)
    inside = _a_model(folder / "kept", "three.pth", 10)
    a_panel.refresh()
    assert "Models there: 2, 3 MB." in a_panel.ui.folderLabel.text
    answers = iter((False, True))
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *arguments, **options: next(answers))
    a_panel.ui.deleteModelsButton.click()
    assert len(weights_folder.model_files(folder)) == 2, "declined"
    a_panel.ui.deleteModelsButton.click()
    assert weights_folder.model_files(folder) == []
    assert notes.exists() and inside.exists()
    assert a_panel.ui.messageLabel.text == "3 MB freed."
    assert not a_panel.ui.deleteModelsButton.enabled


def test_file_that_cannot_be_deleted_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = _a_model(tmp_path, "one.pth", 1)

    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(UserError, match=r"one\.pth could not be deleted \(Permission denied\)"):
        weights_folder.delete_models(tmp_path)
    assert path.exists()


def test_folder_can_be_changed_and_changed_back(a_panel, tmp_path: Path) -> None:
    a_panel.change_data_folder(str(tmp_path / "other"))
    assert a_panel.settings.weights_folder == tmp_path / "other" / "weights"
    assert str(tmp_path / "other") in a_panel.ui.folderLabel.text
    a_panel.ui.defaultFolderButton.click()
    assert a_panel.settings.data_folder == ""


@pytest.mark.parametrize(("size", "text"), [(0, "0 MB"), (5, "1 kB"), (2_030_468, "2 MB"), (1_500_000_000, "1.5 GB")])
def test_readable_size(size: int, text: str) -> None:
    assert weights_folder.readable_size(size) == text


def test_page_is_added_to_the_settings_dialog_once(
    an_application: SmallApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer

    from MomentumSegLib import settings_panel

    pages: list[tuple[str, object]] = []

    class SettingsDialog:
        def addPanel(self, label: str, page: object) -> None:
            pages.append((label, page))

    monkeypatch.setattr(settings_panel, "_registered", [])
    settings_panel.register()
    assert not pages, "without a window there is no settings dialog"
    monkeypatch.setattr(slicer.util, "mainWindow", lambda: object())
    settings_panel.register()
    assert not pages, "nor in an application that has none"
    monkeypatch.setattr(an_application, "settingsDialog", SettingsDialog, raising=False)
    settings_panel.register()
    settings_panel.register()
    ((label, page),) = pages
    assert label == "MomentumSeg"
    assert slicer.util.findChild(page, "deleteModelsButton").text == "Delete all models\u2026"


def test_every_control_has_a_tool_tip_and_a_name(a_panel) -> None:
    names = [name for name in vars(a_panel.ui) if name.endswith(("Button", "LineEdit", "SpinBox"))]
    assert len(names) == 12
    for name in names:
        control = getattr(a_panel.ui, name)
        assert control.toolTip and control.accessibleName, name
