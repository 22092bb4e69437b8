"""Scripted modules as Slicer loads them, and the application around them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from driving import settle

ROOT = Path(__file__).resolve().parents[2]

MODULE = """
import slicer
from slicer.ScriptedLoadableModule import *

CALLS = []

class {name}(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = "A small module"
        parent.categories = ["Examples"]
        parent.dependencies = {dependencies}

class {name}Widget(ScriptedLoadableModuleWidget):
    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        CALLS.append("setup")
    def enter(self):
        CALLS.append("enter")
    def exit(self):
        CALLS.append("exit")
    def cleanup(self):
        CALLS.append("cleanup")
"""


@pytest.fixture
def a_module_folder(tmp_path: Path) -> Iterator[Path]:
    """Two modules, of which the first needs the second, one that fails and one that is a program."""
    texts = {
        "VFirst": MODULE.format(name="VFirst", dependencies=["VSecond"]),
        "VSecond": MODULE.format(name="VSecond", dependencies=[]),
        "VBroken": "raise ValueError('broken on purpose')",
        "VProgram": "#!/usr/bin/env python-real\nraise SystemExit",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")
    yield tmp_path
    sys.path.remove(str(tmp_path))
    for name in texts:
        sys.modules.pop(name, None)


def test_modules_are_loaded_in_the_order_of_their_dependencies(
    an_app: Any, a_module_folder: Path, caplog: pytest.LogCaptureFixture
):
    import slicer

    from momentumseg_standalone.modules import load_folder

    assert load_folder(a_module_folder, an_app.module_manager) == ["VSecond", "VFirst"]
    assert "VBroken.py" in caplog.text
    assert slicer.modules.vfirst.title == "A small module"
    assert slicer.util.modulePath("VFirst") == str(a_module_folder / "VFirst.py")
    assert slicer.util.getModule("VSecond").name == "VSecond"


def test_panel_is_made_once_entered_left_and_reloaded(an_app: Any, a_module_folder: Path):
    import slicer

    from momentumseg_standalone.modules import load_folder

    load_folder(a_module_folder, an_app.module_manager)
    slicer.util.selectModule("VFirst")
    slicer.util.selectModule("VSecond")
    slicer.util.selectModule("VFirst")
    calls = sys.modules["VFirst"].CALLS
    assert calls == ["setup", "enter", "exit", "enter"]
    before = slicer.util.getModuleWidget("VFirst")
    slicer.util.reloadScriptedModule("VFirst")
    assert calls[-1] == "cleanup"
    assert slicer.util.getModuleWidget("VFirst") is not before
    assert sys.modules["VFirst"].CALLS[0] == "setup"
    with pytest.raises(RuntimeError):
        slicer.util.selectModule("NoSuchModule")
    an_app.window._panel._leave()
    settle()


def test_application_answers_as_slicer_does(an_app: Any):
    import slicer

    assert slicer.app.testingEnabled()
    slicer.util.errorDisplay("Nothing waits for an answer.")
    assert Path(slicer.app.temporaryPath).is_dir()
    assert Path(slicer.app.cachePath).is_dir()
    assert (slicer.app.majorVersion, slicer.app.minorVersion) >= (5, 10)
    assert slicer.util.mainWindow() is an_app.window
    with slicer.util.RenderBlocker():
        settle()
    started: list[bool] = []
    slicer.app.connect("startupCompleted()", lambda: started.append(True))
    an_app.app.startupCompleted.emit()
    assert started == [True]
    slicer.app.disconnect("startupCompleted()")


def run_app(*arguments: str, platform: str = "offscreen") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "QT_QPA_PLATFORM": platform, "PYTHONPATH": str(ROOT / "Logic")}
    environment.pop("DISPLAY", None)
    command = [sys.executable, "-m", "momentumseg", "app", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)


def test_command_saves_a_picture_of_the_window(tmp_path: Path, a_phantom_volume: Any):
    from PySide6 import QtGui

    from momentumseg.io.write import write_volume

    volume, picture = tmp_path / "a volume ü.nii.gz", tmp_path / "picture.png"
    write_volume(a_phantom_volume, volume)
    done = run_app(str(volume), "--screenshot", str(picture), "--size", "1000x700")
    assert done.returncode == 0, done.stderr
    image = QtGui.QImage(str(picture))
    assert (image.width(), image.height()) == (1000, 700)
    middle = [image.pixelColor(x, y).lightness() for x in range(500, 620, 5) for y in range(100, 300, 5)]
    assert max(middle) > 150 and min(middle) < 30  # the phantom on black


def test_command_says_in_a_sentence_what_is_wrong(tmp_path: Path):
    done = run_app(str(tmp_path / "no such volume.nii.gz"), "--screenshot", str(tmp_path / "picture.png"))
    assert done.returncode == 2
    assert "no such volume.nii.gz does not exist" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "picture.png").exists()
