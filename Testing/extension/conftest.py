"""Fixtures of the extension: its package, built once for all tests, and a small application for its dialogs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # helpers of this room
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from application import SmallApplication  # noqa: E402
from packing import Package, export_tracked, pack  # noqa: E402


@pytest.fixture(scope="session")
def a_source_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tracked files in a folder of their own, whose name has a space and an umlaut."""
    folder = tmp_path_factory.mktemp("a source f\u00fcr MomentumSeg")
    export_tracked(folder)
    return folder


@pytest.fixture(scope="session")
def a_package(a_source_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The package as the Extension Manager would install it, unpacked."""
    return pack(a_source_export, tmp_path_factory.mktemp("package"))


@pytest.fixture
def an_application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallApplication]:
    """``slicer.app`` with settings of its own, on the stand-ins of the stand-alone host; no main window."""
    import momentumseg_standalone

    momentumseg_standalone.install()
    import slicer
    from PySide6 import QtWidgets

    running = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["test"])
    application = SmallApplication(tmp_path / "settings.ini")
    monkeypatch.setattr(slicer, "app", application, raising=False)
    monkeypatch.setattr(slicer.util, "mainWindow", lambda: None)
    yield application
    running.processEvents()


@pytest.fixture(scope="module")
def a_window() -> Iterator[Any]:
    """The stand-alone application with the module's panel open."""
    from module_in_host import settle

    from momentumseg_standalone.host import start_host

    host = start_host(testing=True)
    layout = host.core.layout_logic.GetLayoutNode()
    layout.SetViewArrangement(layout.SlicerLayoutOneUpRedSliceView)  # software rendering takes its time for each view
    host.window.resize(900, 600)
    host.show("MomentumSeg")
    settle()
    yield host
    host.stop()


@pytest.fixture
def the_module(a_window: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The panel in an empty scene. Errors that would open a window are kept in ``messages``."""
    import slicer
    from module_in_host import Module, settle

    slicer.mrmlScene.Clear(False)
    module = Module(a_window)
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda text, *args, **options: module.messages.append(text))
    module.until(lambda: module.panel.controller.phase.value == "idle")
    yield module
    module.panel.controller.cancel()
    module.until(lambda: module.panel.controller.phase.value == "idle")
    slicer.mrmlScene.Clear(False)
    settle()


@pytest.fixture
def a_painted_module(the_module: Any) -> Any:
    """A scan is chosen, and its organ painted on the middle slice with the mouse."""
    from module_in_host import IJK_TO_RAS, MIDDLE, a_body, add_volume

    the_module.choose(add_volume(a_body(), IJK_TO_RAS, "scan"))
    the_module.paint(MIDDLE, (24, 53), (28, 45))
    return the_module
