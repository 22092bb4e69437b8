"""Module "MomentumSeg Training": train a model on segmented scans, watch it learn, save it, segment with it.

This file says who the module is and hands over to MomentumSegLib. Nothing heavy is imported or started here: the
training runs in a worker process of its own, so that one can segment meanwhile.
"""

from __future__ import annotations

import sys

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

LIBRARY = "MomentumSegLib.training_"


class MomentumSegTraining(ScriptedLoadableModule):
    """Who the module is."""

    def __init__(self, parent) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        from MomentumSegLib import about, training_about

        parent.title = _("MomentumSeg Training")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["MomentumSeg", "Segmentations", "Plots", "Tables"]
        parent.contributors = about.CONTRIBUTORS
        parent.helpText = training_about.help_text()
        parent.acknowledgementText = training_about.acknowledgement_text()


class MomentumSegTrainingWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: loads the .ui file and tells the panel object what happens to the scene and the module."""

    def __init__(self, parent=None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: MomentumSegTrainingLogic | None = None
        self.panel = None

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        from MomentumSegLib.training_panel import TrainingPanel

        widget = slicer.util.loadUI(self.resourcePath("UI/MomentumSegTraining.ui"))
        self.layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self.logic = MomentumSegTrainingLogic()
        self.panel = TrainingPanel(self.ui, self.logic, widget)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneAboutToChange)
        self.addObserver(scene, scene.StartImportEvent, self.onSceneAboutToChange)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneChanged)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneChanged)

    def enter(self) -> None:
        if self.panel is not None:
            self.panel.enter()

    def exit(self) -> None:
        if self.panel is not None:
            self.panel.exit()

    def cleanup(self) -> None:
        self.removeObservers()
        if self.panel is not None:
            self.panel.cleanup()
            self.panel = None

    def onSceneAboutToChange(self, caller, event) -> None:
        if self.panel is not None:
            self.panel.scene_about_to_change()

    def onSceneChanged(self, caller, event) -> None:
        if self.panel is not None:
            self.panel.scene_changed()

    def onReload(self) -> None:
        """Stop what runs and forget this module's part of the library, so that its files are read again."""
        self.cleanup()
        for name in [name for name in sys.modules if name.startswith(LIBRARY)]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)


class MomentumSegTrainingLogic(ScriptedLoadableModuleLogic):
    """What the module can do, for its panel and for scripts."""

    def getParameterNode(self):
        """Return the parameters (:class:`MomentumSegLib.training_parameters.TrainingParameters`)."""
        from MomentumSegLib.training_parameters import TrainingParameters

        return TrainingParameters(super().getParameterNode())

    def getCasesNode(self):
        """Return the node that keeps the parameters; the chosen cases are kept in it as node references."""
        return super().getParameterNode()


class MomentumSegTrainingTest(ScriptedLoadableModuleTest):
    """Self test for the Reload and Test button; the full tests are in the repository's Testing folder."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        self.setUp()
        self.test_start_says_what_is_missing()

    def test_start_says_what_is_missing(self) -> None:
        from MomentumSegLib.training_self_test import check_panel_without_cases

        check_panel_without_cases(slicer.util.getModuleWidget("MomentumSegTraining"))
