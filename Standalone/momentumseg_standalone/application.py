"""`slicer.app`: what modules ask the application for."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from momentumseg_standalone.pythonqt.rules import stand_in
from momentumseg_standalone.scene import SceneCore

APPLICATION_NAME = "MomentumSeg"

# The version of Slicer whose libraries these are.
_MAJOR, _MINOR = 5, 13


def _constant(kind: type, value: Any) -> Any:
    return QtCore.Property(kind, lambda self: value, constant=True)


@stand_in
class qSlicerApplication(QtCore.QObject):
    """Names of Slicer's class, as far as they mean something here; what is ours has a leading underscore.

    Not a QApplication itself: Qt allows one, and tests have theirs.

    Args:
        core: the scene and its logics.
        folder: temporary files; existing.
        testing: dialogs return at once, see `slicer.util.errorDisplay`.
    """

    startupCompleted = QtCore.Signal()
    aboutToQuit = QtCore.Signal()
    lastWindowClosed = QtCore.Signal()
    focusChanged = QtCore.Signal(QtWidgets.QWidget, QtWidgets.QWidget)
    mrmlSceneChanged = QtCore.Signal(object)
    renderPaused = QtCore.Signal(bool)
    usageEventLogged = QtCore.Signal(str, str)

    def __init__(self, core: SceneCore, folder: Path, *, testing: bool) -> None:
        super().__init__()
        self._core = core
        self._folder = folder
        self._testing = testing
        self._layout_manager: Any = None
        self._module_manager: Any = None
        self._io_manager: Any = None
        self._settings = _make_settings(folder if testing else None)
        self._startup_environment = dict(os.environ)
        self._qt = QtWidgets.QApplication.instance()
        self._qt.aboutToQuit.connect(self.aboutToQuit)
        self._qt.lastWindowClosed.connect(self.lastWindowClosed)
        self._qt.focusChanged.connect(self.focusChanged)

    # Parts.

    def mrmlScene(self) -> Any:
        return self._core.scene

    def applicationLogic(self) -> Any:
        return self._core.application_logic

    def layoutManager(self) -> Any:
        return self._layout_manager

    def setLayoutManager(self, manager: Any) -> None:
        self._layout_manager = manager

    def moduleManager(self) -> Any:
        return self._module_manager

    def ioManager(self) -> Any:
        return self._io_manager

    def coreIOManager(self) -> Any:
        return self._io_manager

    def moduleLogic(self, name: str) -> Any:
        return self._core.application_logic.GetModuleLogic(name)

    def settings(self) -> QtCore.QSettings:
        return self._settings

    def userSettings(self) -> QtCore.QSettings:
        return self._settings

    def revisionUserSettings(self) -> QtCore.QSettings:
        return self._settings

    def extensionsManagerModel(self) -> None:
        """There is no extensions manager here."""

    # What runs.

    def testingEnabled(self) -> bool:
        return self._testing

    def pauseRender(self) -> None:
        self.setRenderPaused(True)

    def resumeRender(self) -> None:
        self.setRenderPaused(False)

    def setRenderPaused(self, paused: bool) -> None:
        if self._layout_manager is not None:
            self._layout_manager.setRenderPaused(paused)
        self.renderPaused.emit(paused)

    def openUrl(self, url: str) -> bool:
        return bool(QtGui.QDesktopServices.openUrl(QtCore.QUrl(url)))

    def openNodeModule(self, node: Any) -> None:
        """Nodes have no modules of their own here."""

    def startupEnvironment(self) -> QtCore.QProcessEnvironment:
        environment = QtCore.QProcessEnvironment()
        for name, value in self._startup_environment.items():
            environment.insert(name, value)
        return environment

    def setEnvironmentVariable(self, name: str, value: str) -> None:
        os.environ[name] = value

    # Folders and versions.

    temporaryPath = QtCore.Property(str, lambda self: self._folder.as_posix())
    cachePath = QtCore.Property(str, lambda self: _cache_folder(self._folder if self._testing else None).as_posix())
    defaultScenePath = QtCore.Property(str, lambda self: Path.home().as_posix())
    slicerHome = QtCore.Property(str, lambda self: Path(slicer.__file__).resolve().parents[1].as_posix())
    startupWorkingPath = _constant(str, Path.cwd().as_posix())
    slicerUserSettingsFilePath = QtCore.Property(str, lambda self: self._settings.fileName())
    slicerRevisionUserSettingsFilePath = QtCore.Property(str, lambda self: self._settings.fileName())
    launcherExecutableFilePath = _constant(str, sys.executable)
    majorVersion = _constant(int, _MAJOR)
    minorVersion = _constant(int, _MINOR)
    releaseType = _constant(str, "Stable")
    revision = _constant(str, "")
    repositoryRevision = _constant(str, "")
    isInstalled = _constant(bool, True)
    isCustomMainApplication = _constant(bool, True)
    mainApplicationName = _constant(str, APPLICATION_NAME)
    mainApplicationDisplayName = _constant(str, APPLICATION_NAME)
    applicationName = _constant(str, APPLICATION_NAME)
    os = _constant(str, {"Windows": "win", "Darwin": "macosx"}.get(platform.system(), "linux"))
    arch = _constant(str, {"x86_64": "amd64", "AMD64": "amd64"}.get(platform.machine(), platform.machine()))
    platform = _constant(str, f"{platform.system().lower()}-{platform.machine()}")


# What Slicer's class inherits from QApplication.
_QT_NAMES = (
    "activeModalWidget",
    "activeWindow",
    "alert",
    "allWidgets",
    "beep",
    "changeOverrideCursor",
    "clipboard",
    "closeAllWindows",
    "exit",
    "focusWidget",
    "font",
    "overrideCursor",
    "palette",
    "primaryScreen",
    "processEvents",
    "quit",
    "restoreOverrideCursor",
    "screens",
    "sendPostedEvents",
    "setOverrideCursor",
    "style",
    "topLevelWidgets",
    "widgetAt",
)


def _of_qt(name: str) -> Callable[..., Any]:
    def call(self: qSlicerApplication, *arguments: Any) -> Any:
        return getattr(QtWidgets.QApplication, name)(*arguments)

    call.__name__ = name
    return call


for _name in _QT_NAMES:
    setattr(qSlicerApplication, _name, _of_qt(_name))


def _make_settings(folder: Path | None) -> QtCore.QSettings:
    """The user's settings; tests have theirs in ``folder``."""
    if folder is None:
        return QtCore.QSettings(QtCore.QSettings.Format.IniFormat, QtCore.QSettings.Scope.UserScope, APPLICATION_NAME)
    return QtCore.QSettings(str(folder / "settings.ini"), QtCore.QSettings.Format.IniFormat)


def _cache_folder(folder: Path | None) -> Path:
    location = QtCore.QStandardPaths.StandardLocation.GenericCacheLocation
    cache = (folder or Path(QtCore.QStandardPaths.writableLocation(location))) / APPLICATION_NAME
    cache.mkdir(parents=True, exist_ok=True)
    return cache
