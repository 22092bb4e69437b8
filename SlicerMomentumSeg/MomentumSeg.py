"""Module "MomentumSeg": draw a structure on one slice or a few, get it in all slices, correct, get it better.

This file says who the module is and hands over to MomentumSegLib. Nothing heavy is imported or started here: torch runs
in a worker process, which is started when it is first needed.
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

LIBRARY = "MomentumSegLib"


class MomentumSeg(ScriptedLoadableModule):
    """Who the module is."""

    def __init__(self, parent) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        from MomentumSegLib import about

        parent.title = _("MomentumSeg")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Segmentations", "SegmentEditor", "Markups", "Volumes", "Sequences"]
        parent.contributors = about.CONTRIBUTORS
        parent.helpText = about.help_text()
        parent.acknowledgementText = about.acknowledgement_text()
        slicer.app.connect("startupCompleted()", about.register_with_the_application)


class MomentumSegWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: loads the .ui file and tells the panel object what happens to the scene and the module."""

    def __init__(self, parent=None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: MomentumSegLogic | None = None
        self.panel = None

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        from MomentumSegLib.panel import Panel
        from MomentumSegLib.result_preview import remove_leftover_previews

        remove_leftover_previews(slicer.mrmlScene)
        widget = slicer.util.loadUI(self.resourcePath("UI/MomentumSeg.ui"))
        self.layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self.logic = MomentumSegLogic()
        self.panel = Panel(self.ui, self.logic, widget)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneAboutToChange)
        self.addObserver(scene, scene.StartImportEvent, self.onSceneAboutToChange)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneChanged)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneChanged)

    def enter(self) -> None:
        self.panel.enter()

    def exit(self) -> None:
        self.panel.exit()

    def cleanup(self) -> None:
        self.removeObservers()
        if self.panel is not None:
            self.panel.cleanup()
            self.panel = None

    def onSceneAboutToChange(self, caller, event) -> None:
        self.panel.scene_about_to_change()

    def onSceneChanged(self, caller, event) -> None:
        from MomentumSegLib.result_preview import remove_leftover_previews

        remove_leftover_previews(slicer.mrmlScene)
        self.panel.scene_changed()

    def onReload(self) -> None:
        """Stop what runs and forget the library too, so that its files are read again."""
        self.cleanup()
        for name in [name for name in sys.modules if name.split(".")[0] == LIBRARY]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)


class MomentumSegLogic(ScriptedLoadableModuleLogic):
    """What the module can do, for its panel and for scripts."""

    def getParameterNode(self):
        """Return the parameters (:class:`MomentumSegLib.parameters.MomentumSegParameters`), saved with the scene."""
        from MomentumSegLib.parameters import MomentumSegParameters

        return MomentumSegParameters(super().getParameterNode())

    def segment(self, volumeNode, segmentationNode, **options):
        """Segment a volume, from drawn slices or with a trained model; see :func:`MomentumSegLib.scripting.segment`.

        >>> logic = MomentumSegLogic()  # doctest: +SKIP
        >>> logic.segment(volumeNode, segmentationNode, model="lmsnet-general", plane="axial")  # doctest: +SKIP
        >>> logic.segment(volumeNode, segmentationNode, method="automatic", model="my-livers")  # doctest: +SKIP
        """
        from MomentumSegLib.scripting import segment

        return segment(volumeNode, segmentationNode, **options)


class MomentumSegTest(ScriptedLoadableModuleTest):
    """Self test for the Reload and Test button; the full tests are in the repository's Testing folder."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        self.setUp()
        self.test_apply_says_what_is_missing()

    def test_apply_says_what_is_missing(self) -> None:
        from MomentumSegLib.self_test import check_panel_without_volume

        check_panel_without_volume(slicer.util.getModuleWidget("MomentumSeg"))
