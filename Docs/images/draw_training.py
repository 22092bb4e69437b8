"""Make the pictures of Docs/training.md: both modules in the stand-alone window, with three generated abdomens.

QT_QPA_PLATFORM=offscreen python Docs/images/draw_training.py Docs/images

Window, modules, workers and training are the real ones; only the mouse is played by this program. It takes some
minutes, and says at its end how good the model's segmentation of the new patient is.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("Logic", "SlicerMomentumSeg", "Standalone")]

from momentumseg_standalone.host import start_host  # noqa: E402
from MomentumSegLib.phantom import generate_abdomen  # noqa: E402

ORGANS = {1: "liver", 4: "left kidney"}
COLORS = {1: (0.90, 0.74, 0.35), 4: (0.45, 0.75, 0.85)}
SIZE = (1240, 1010)
PATIENCE = 1500.0  # seconds; on a busy computer
RECIPE, ITERATIONS = "momentum-resunet-2d-laptop", 100
SETTINGS = "data.spacing=[4,4,4] data.patch=[80,80] training.epoch=10"
PALETTE = 256


def main(folder: Path) -> None:
    """Write training-cases.png, -watch.png, -model.png and -new-patient.png into a folder."""
    with tempfile.TemporaryDirectory(prefix="momentumseg-") as home:
        os.environ["MOMENTUMSEG_HOME"] = home
        host = start_host(testing=True)
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            Pictures(host, folder).run()
        finally:
            host.stop()


class Pictures:
    """Does what Docs/training.md says and takes a picture after each step."""

    def __init__(self, host: Any, folder: Path) -> None:
        import slicer

        from momentumseg_standalone.acting import Waiting, settle

        self.host, self.folder, self.settle = host, folder, settle
        host.window.resize(*SIZE)
        host.show("MomentumSegTraining")
        self.widget = slicer.modules.MomentumSegTrainingWidget
        self.ui, self.panel = self.widget.ui, self.widget.panel
        self.waiting = Waiting(self.ui, logging.info)

    def run(self) -> None:
        volumes = [add_patient(f"Patient {number}", seed, drawn=True) for number, seed in ((1, 20), (2, 21))]
        self.show(volumes[0])
        self.choose()
        self.ui.checkButton.click()
        self.until(lambda: not self.panel.controller.phase.is_busy)
        self.scroll(self.ui.casesTable)
        self.take("cases")
        self.ui.casesCollapsibleButton.collapsed = True
        self.ui.checkCollapsibleButton.collapsed = True
        self.ui.startButton.click()
        self.until(lambda: len(self.panel.curves.dices) >= 7 or not self.panel.controller.phase.is_busy)
        self.take("watch")
        self.until(lambda: self.panel.controller.phase.value in ("finished", "paused", "idle"))
        self.ui.saveModelButton.click()
        self.until(lambda: self.ui.useModelButton.enabled)
        self.until(lambda: self.ui.runsTable.rowCount)
        self.scroll(self.ui.useModelButton)
        self.take("model")
        self.new_patient()

    def choose(self) -> None:
        """What the user enters."""
        self.until(lambda: self.panel.choices.recipe.recipes)
        parameters = self.widget.logic.getParameterNode()
        parameters.recipe, parameters.title = RECIPE, "liver and left kidney"
        parameters.iterations, parameters.settings = ITERATIONS, SETTINGS
        self.ui.moreCollapsibleGroupBox.collapsed = False
        self.panel.refresh()
        self.settle(0.5)

    def new_patient(self) -> None:
        """The third patient, segmented by the model."""
        import slicer

        for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
            node.GetDisplayNode().SetVisibility(False)
        volume = add_patient("New patient", 22, drawn=False)
        self.ui.useModelButton.click()
        module = slicer.modules.MomentumSegWidget
        self.host.layout_manager.setLayout(self.host.core.layout_logic.GetLayoutNode().SlicerLayoutFourUpView)
        self.show(volume)
        module.ui.inputVolumeSelector.setCurrentNode(volume)
        self.until(lambda: module.ui.applyButton.enabled)
        module.ui.applyButton.click()
        self.until(lambda: module.panel.controller.phase.is_busy)
        self.until(lambda: not module.panel.controller.phase.is_busy)
        self.settle(2.0)
        self.host.layout_manager.resetThreeDViews()
        self.settle(1.5)
        self.take("new-patient")
        compare(volume, module.ui.outputSegmentationSelector.currentNode())

    def show(self, volume: Any) -> None:
        """Show a patient in the slice views, at the height of the kidney."""
        selection = self.host.core.application_logic.GetSelectionNode()
        selection.SetActiveVolumeID(volume.GetID())
        self.host.core.application_logic.PropagateVolumeSelection()
        self.settle(0.5)
        for name in self.host.layout_manager.sliceViewNames():
            node = self.host.layout_manager.sliceWidget(name).mrmlSliceNode()
            node.JumpSliceByOffsetting(-50.0, -30.0, -4.0)
        self.settle(0.5)

    def scroll(self, widget: Any) -> None:
        self.settle(0.3)
        self.host.window._panel._scroll.ensureWidgetVisible(widget)
        self.settle(0.3)

    def until(self, condition: Callable[[], Any]) -> None:
        self.waiting.until(condition, PATIENCE)

    def take(self, name: str) -> None:
        from PIL import Image
        from PySide6 import QtCore

        self.settle(0.8)
        data = QtCore.QBuffer()
        data.open(QtCore.QIODevice.OpenModeFlag.ReadWrite)
        self.host.window.grab().save(data, "PNG")
        picture = Image.open(io.BytesIO(bytes(data.data()))).convert("RGB")
        few = picture.quantize(PALETTE, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        few.save(self.folder / f"training-{name}.png", optimize=True)
        logging.info("training-%s.png", name)


def add_patient(name: str, seed: int, *, drawn: bool) -> Any:
    """A generated abdomen, with its organs segmented where it is to teach."""
    import slicer

    body = generate_abdomen(seed)
    volume = slicer.util.addVolumeFromArray(body.voxels, body.ijk_to_ras, name, "vtkMRMLScalarVolumeNode")
    volume.CreateDefaultDisplayNodes()
    volume.GetDisplayNode().SetAutoWindowLevel(False)
    volume.GetDisplayNode().SetWindowLevelMinMax(-120, 240)
    if not drawn:
        return volume
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{name} segmentation")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.SetNodeReferenceID(node.GetReferenceImageGeometryReferenceRole(), volume.GetID())
    for label, organ in ORGANS.items():
        segment_id = node.GetSegmentation().AddEmptySegment(organ, organ, COLORS[label])
        mask = (body.labels == label).astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segment_id, volume)
    if seed != 20:
        node.GetDisplayNode().SetVisibility(False)  # the slice views show the first patient
    return volume


def compare(volume: Any, node: Any) -> None:
    """Say how good the result is: the text tells it."""
    import slicer

    truth = generate_abdomen(22).labels
    for label, organ in ORGANS.items():
        segment_id = node.GetSegmentation().GetSegmentIdBySegmentName(organ)
        found = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume) > 0
        wanted = truth == label
        dice = 2 * np.count_nonzero(found & wanted) / max(1, found.sum() + wanted.sum())
        logging.info("%s of the new patient: Dice %.3f", organ, dice)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(Path(sys.argv[1]))
