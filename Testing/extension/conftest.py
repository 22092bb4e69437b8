"""Fixtures of the extension: its package, built once for all tests, and a small application for its dialogs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

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
