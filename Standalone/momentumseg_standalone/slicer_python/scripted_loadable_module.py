"""`slicer.ScriptedLoadableModule`: the base classes of a scripted module, its panel, its logic and its self test."""

from __future__ import annotations

import importlib
import logging
import os
import unittest
from typing import Any

import qt
import slicer

__all__ = [
    "ScriptedLoadableModule",
    "ScriptedLoadableModuleLogic",
    "ScriptedLoadableModuleTest",
    "ScriptedLoadableModuleWidget",
]

_PARAMETER_NODE_CLASS = "vtkMRMLScriptedModuleNode"
_MODULE_NAME_ATTRIBUTE = "ModuleName"


class ScriptedLoadableModule:
    """Who a module is: its constructor describes the module in the properties of `parent`."""

    def __init__(self, parent: Any) -> None:
        """Set empty descriptions and look for the icon `Resources/Icons/<module>.svg` or `.png`."""
        super().__init__()
        self.parent = parent
        self.moduleName = type(self).__name__
        parent.title = ""
        parent.categories = []
        parent.dependencies = []
        parent.contributors = []
        parent.helpText = ""
        parent.acknowledgementText = ""
        icons = (self.resourcePath(f"Icons/{self.moduleName}{extension}") for extension in (".svg", ".png"))
        icon = next((path for path in icons if os.path.isfile(path)), None)
        if icon is not None:
            parent.icon = qt.QIcon(icon)
        if not hasattr(slicer, "selfTests"):
            slicer.selfTests = {}
        slicer.selfTests[self.moduleName] = self.runTest

    def resourcePath(self, filename: str) -> str:
        """Return the absolute path of a file in the module's folder `Resources`."""
        return os.path.join(os.path.dirname(self.parent.path), "Resources", filename)

    def getDefaultModuleDocumentationLink(self, docPage: str | None = None) -> str:
        """Return a paragraph for the help text that links to the documentation."""
        url = (
            slicer.app.documentationBaseUrl + docPage if docPage else slicer.app.moduleDocumentationUrl(self.moduleName)
        )
        return f'<p>For more information see the <a href="{url}">online documentation</a>.</p>'

    def runTest(self, msec: int = 100, **kwargs: Any) -> None:
        """Run the class `<module>Test` of the module's file.

        Raises:
            AssertionError: the file has no such class.
        """
        module = importlib.import_module(type(self).__module__)
        test_class = getattr(module, f"{self.moduleName}Test", None)
        if test_class is None:
            raise AssertionError(f"{module.__name__} has no class {self.moduleName}Test.")
        test = test_class()
        test.messageDelay = msec
        test.runTest(**kwargs)


class ScriptedLoadableModuleWidget:
    """The panel of a module: `setup` fills `self.layout`."""

    def __init__(self, parent: Any = None) -> None:
        """Take the widget to fill; without one, make a window of its own and show it."""
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = slicer.util.settingsValue("Developer/DeveloperMode", False, converter=slicer.util.toBool)
        if parent:
            self.parent = parent
            self.layout = parent.layout()
        else:
            self.parent = slicer.qMRMLWidget()
            self.layout = qt.QVBoxLayout(self.parent)
            self.parent.setMRMLScene(slicer.mrmlScene)
            self.setup()
            self.parent.show()
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def resourcePath(self, filename: str) -> str:
        """Return the absolute path of a file in the module's folder `Resources`."""
        return os.path.join(os.path.dirname(slicer.util.modulePath(self.moduleName)), "Resources", filename)

    def setup(self) -> None:
        """Fill the panel; modules extend this."""
        self.setupDeveloperSection()

    def cleanup(self) -> None:
        """End what the panel started; modules replace this. Called before the module is unloaded."""

    def setupDeveloperSection(self) -> None:
        """Add the buttons of developer mode: reload, and run the self test."""
        if not self.developerMode:
            return
        self.reloadCollapsibleButton = slicer_collapsible_button("Reload && Test")
        self.layout.addWidget(self.reloadCollapsibleButton)
        row = qt.QHBoxLayout(self.reloadCollapsibleButton)
        for text, action in (
            ("Reload", self.onReload),
            ("Test", self.onTest),
            ("Reload and Test", self.onReloadAndTest),
        ):
            button = qt.QPushButton(text)
            button.connect("clicked()", action)
            row.addWidget(button)

    def onReload(self) -> None:
        """Read the module's file again and make the panel anew."""
        logging.info("Reloading module: %s", self.moduleName)
        slicer.util.reloadScriptedModule(self.moduleName)

    def onTest(self, **kwargs: Any) -> None:
        """Run the module's self test."""
        with slicer.util.tryWithErrorDisplay("Test failed."):
            slicer.selfTests[self.moduleName](**kwargs)

    def onReloadAndTest(self, **kwargs: Any) -> None:
        """Reload the module, then run its self test."""
        with slicer.util.tryWithErrorDisplay("Reload and Test failed."):
            self.onReload()
            slicer.selfTests[self.moduleName](**kwargs)

    def onEditSource(self) -> None:
        """Open the module's file in the editor that the system uses for it."""
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(slicer.util.modulePath(self.moduleName)))

    def _onModuleAboutToBeUnloaded(self, moduleName: str) -> None:  # noqa: N802, N803 - Slicer's names
        if moduleName == self.moduleName:
            self.cleanup()
            slicer.app.moduleManager().disconnect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)


def slicer_collapsible_button(text: str) -> Any:
    """Return a ctkCollapsibleButton; ctk is imported when it is first needed."""
    import ctk

    button = ctk.ctkCollapsibleButton()
    button.text = text
    return button


class ScriptedLoadableModuleLogic:
    """What a module does, without its panel; keeps the module's parameters in a node of the scene."""

    def __init__(self, parent: Any = None) -> None:
        """Take the module's name from the class's."""
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> Any:
        """Return the module's vtkMRMLScriptedModuleNode; it is made where the scene has none."""
        if self.isSingletonParameterNode:
            node = slicer.mrmlScene.GetSingletonNode(self.moduleName, _PARAMETER_NODE_CLASS)
            if node is not None:
                # Closing the scene takes the attribute away from a singleton node.
                if node.GetAttribute(_MODULE_NAME_ATTRIBUTE) != self.moduleName:
                    node.SetAttribute(_MODULE_NAME_ATTRIBUTE, self.moduleName)
                return node
        else:
            existing = self.getAllParameterNodes()
            if existing:
                return existing[0]
        return slicer.mrmlScene.AddNode(self.createParameterNode())

    def getAllParameterNodes(self) -> list[Any]:
        """Return the parameter nodes of this module in the scene."""
        scene = slicer.mrmlScene
        count = scene.GetNumberOfNodesByClass(_PARAMETER_NODE_CLASS)
        nodes = [scene.GetNthNodeByClass(i, _PARAMETER_NODE_CLASS) for i in range(count)]
        return [node for node in nodes if node.GetAttribute(_MODULE_NAME_ATTRIBUTE) == self.moduleName]

    def createParameterNode(self) -> Any:
        """Return a new parameter node that is not yet in the scene."""
        node = slicer.mrmlScene.CreateNodeByClass(_PARAMETER_NODE_CLASS)
        node.UnRegister(None)  # CreateNodeByClass hands its reference over
        if self.isSingletonParameterNode:
            node.SetSingletonTag(self.moduleName)
        node.SetAttribute(_MODULE_NAME_ATTRIBUTE, self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """A module's self test: `runTest` runs every method with "test" in its name."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Show messages for half a second."""
        super().__init__(*args, **kwargs)
        self.messageDelay = 500
        self.enableScreenshots = False
        self.screenshotScaleFactor = 1.0

    def delayDisplay(self, message: str, requestedDelay: int | None = None, msec: int | None = None) -> None:  # noqa: N803
        """Show a message for a while."""
        delay = next((d for d in (requestedDelay, msec) if d is not None), self.messageDelay)
        slicer.util.delayDisplay(message, delay)

    def takeScreenshot(self, name: str, description: str, type: int = -1) -> None:  # noqa: A002
        """Keep a picture of the whole window, if screenshots are enabled."""
        if self.enableScreenshots:
            logging.info("Screenshot %s: %s", name, description)

    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear(0)

    def tearDown(self) -> None:
        """Nothing to put away."""

    def runTest(self) -> None:
        """Run the test methods one after the other, each on an empty scene."""
        for name in dir(self):
            if "test" in name and callable(getattr(self, name)):
                self.setUp()
                getattr(self, name)()
                self.tearDown()
