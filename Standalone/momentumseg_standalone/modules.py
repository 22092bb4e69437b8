"""Modules: `slicer.modules`, `slicer.app.moduleManager()`, and the loading of scripted modules from a folder."""

from __future__ import annotations

import importlib.util
import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from momentumseg_standalone.pythonqt.rules import stand_in

_log = logging.getLogger(__name__)


class Modules:
    """`slicer.modules`: a module each under its name in small letters, and what modules put here themselves."""


def _text(name: str, default: Any = "", kind: Any = str) -> Any:
    """A property that keeps what is written."""
    field = f"_value_{name}"

    def write(self: Any, value: Any) -> None:
        setattr(self, field, value)

    return QtCore.Property(kind, lambda self: getattr(self, field, default), write)


class _AbstractModule(QtCore.QObject):
    def __init__(self, name: str, path: str) -> None:
        super().__init__()
        self._name, self._path = name, path
        self.setObjectName(f"{name}Module")

    name = QtCore.Property(str, lambda self: self._name)
    path = QtCore.Property(str, lambda self: self._path)
    title = _text("title")
    categories = _text("categories", [], "QStringList")
    dependencies = _text("dependencies", [], "QStringList")
    contributors = _text("contributors", [], "QStringList")
    associatedNodeTypes = _text("associatedNodeTypes", [], "QStringList")
    helpText = _text("helpText")
    acknowledgementText = _text("acknowledgementText")
    index = _text("index", -1, int)
    hidden = _text("hidden", False, bool)
    widgetRepresentationCreationEnabled = _text("widgetRepresentationCreationEnabled", True, bool)
    isInstalled = _text("isInstalled", True, bool)
    isBuiltIn = _text("isBuiltIn", False, bool)

    def mrmlScene(self) -> Any:
        return slicer.mrmlScene


@stand_in
class qSlicerLoadableModule(_AbstractModule):
    """A module of which only the logic is here."""

    def __init__(self, name: str, logic: Any) -> None:
        super().__init__(name, "")
        self._logic = logic
        self.title = name

    def logic(self) -> Any:
        return self._logic

    def widgetRepresentation(self) -> None:
        """It has no panel here."""


@stand_in
class qSlicerScriptedLoadableModule(_AbstractModule):
    """A module written in Python: the file ``X.py`` with the classes ``X`` and ``XWidget``."""

    icon = _text("icon", QtGui.QIcon(), QtGui.QIcon)

    def __init__(self, name: str, path: str) -> None:
        super().__init__(name, path)
        self._instance: Any = None
        self._widget: qSlicerScriptedLoadableModuleWidget | None = None

    def logic(self) -> Any:
        return slicer.app.moduleLogic(self._name)

    def widgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget | None:
        if self._widget is None:
            self._widget = self.createNewWidgetRepresentation()
        return self._widget

    def createNewWidgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget | None:
        """None if the file has no class for a panel."""
        if not hasattr(sys.modules[self._name], f"{self._name}Widget"):
            return None
        widget = qSlicerScriptedLoadableModuleWidget(self._name)
        widget._make()
        return widget


@stand_in
class qSlicerScriptedLoadableModuleWidget(QtWidgets.QWidget):
    """The panel's place; the Python object of the panel is ``self()``."""

    mrmlSceneChanged = QtCore.Signal(object)

    def __init__(self, module_name: str) -> None:
        super().__init__()
        self._module_name = module_name
        self._self: Any = None
        self._entered = False
        QtWidgets.QVBoxLayout(self)
        self.setObjectName(f"{module_name}ModuleWidget")

    moduleName = QtCore.Property(str, lambda self: self._module_name)
    isEntered = QtCore.Property(bool, lambda self: self._entered)

    def self(self) -> Any:  # noqa: PLE0117
        return self._self

    def setMRMLScene(self, scene: Any) -> None:
        self.mrmlSceneChanged.emit(scene)

    def enter(self) -> None:
        self._entered = True
        self._call("enter")

    def exit(self) -> None:
        self._entered = False
        self._call("exit")

    def reload(self) -> None:
        """Make the Python object anew from the reloaded file."""
        self._make()

    def _make(self) -> None:
        widget_class = getattr(sys.modules[self._module_name], f"{self._module_name}Widget")
        self._self = widget_class(self)
        setattr(slicer.modules, f"{self._module_name}Widget", self._self)
        self._self.setup()

    def _call(self, method: str) -> None:
        if hasattr(self._self, method):
            getattr(self._self, method)()


@stand_in
class qSlicerModuleFactoryManager(QtCore.QObject):
    """Which modules there are."""

    def __init__(self, modules: dict[str, Any]) -> None:
        super().__init__()
        self._modules = modules

    def loadedModuleNames(self) -> tuple[str, ...]:
        return tuple(self._modules)

    def isLoaded(self, name: str) -> bool:
        return name in self._modules

    def isRegistered(self, name: str) -> bool:
        return name in self._modules


@stand_in
class qSlicerModuleManager(QtCore.QObject):
    """`slicer.app.moduleManager()`."""

    moduleLoaded = QtCore.Signal(str)
    moduleAboutToBeUnloaded = QtCore.Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._modules: dict[str, Any] = {}
        self._factory = qSlicerModuleFactoryManager(self._modules)

    def module(self, name: str) -> Any:
        return self._modules.get(name)

    def modulesNames(self) -> tuple[str, ...]:
        return tuple(self._modules)

    def factoryManager(self) -> qSlicerModuleFactoryManager:
        return self._factory

    def _add(self, name: str, module: Any) -> None:
        self._modules[name] = module
        setattr(slicer.modules, name.lower(), module)
        setattr(slicer.moduleNames, name, name)
        self.moduleLoaded.emit(name)

    def _unload_all(self) -> None:
        """Let each panel clean up, in the reverse order of loading."""
        for name in reversed(list(self._modules)):
            self.moduleAboutToBeUnloaded.emit(name)
        self._modules.clear()


class ModuleNames:
    """`slicer.moduleNames`."""


def load_folder(folder: Path, manager: qSlicerModuleManager) -> list[str]:
    """Load every scripted module of a folder, those that others depend on first.

    A module that cannot be loaded is logged and left out, as in Slicer.

    Returns:
        the names of the loaded modules.
    """
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    files = [file for file in sorted(folder.glob("*.py")) if file.read_bytes()[:2] != b"#!"]
    made = [module for file in files if (module := _make_module(file)) is not None]
    names = {module.name for module in made}
    made.sort(key=lambda module: len(names.intersection(module.dependencies)))
    for module in made:
        manager._add(module.name, module)
        setattr(slicer.modules, f"{module.name}Instance", module._instance)
    return [module.name for module in made]


def _make_module(file: Path) -> qSlicerScriptedLoadableModule | None:
    name = file.stem
    try:
        source = _import_file(name, file)
        module = qSlicerScriptedLoadableModule(name, str(file))
        module.title = name
        module._instance = getattr(source, name)(module)
    except Exception:  # noqa: BLE001  # a module's own mistake must not keep the application from starting
        _log.exception("The module %s could not be loaded", file)
        sys.modules.pop(name, None)
        return None
    return module


def _import_file(name: str, file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    source = importlib.util.module_from_spec(spec)
    sys.modules[name] = source
    spec.loader.exec_module(source)
    return source
