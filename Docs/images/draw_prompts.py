"""Make the pictures of Docs/prompts.md: the module in the stand-alone window, with the generated abdomen.

QT_QPA_PLATFORM=offscreen python Docs/images/draw_prompts.py Docs/images

The window, the module, the worker and LiteMedSAM are the real ones; only the mouse is played by this program.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("Logic", "SlicerMomentumSeg", "Standalone")]

from momentumseg_standalone.host import start_host  # noqa: E402
from MomentumSegLib.phantom import LABEL_NAMES, generate_abdomen  # noqa: E402

SLICE = 21
LIVER, KIDNEY = (
    next(n for n, name in LABEL_NAMES.items() if part in name.lower()) for part in ("liver", "left kidney")
)
SIZE = (1180, 760)
PATIENCE = 300.0  # seconds


def main(folder: Path) -> None:
    """Write prompts-click.png, prompts-box.png and prompts-followed.png into a folder."""
    host = start_host(testing=True)
    try:
        import slicer

        from momentumseg_standalone.acting import Waiting, settle

        layout = host.core.layout_logic.GetLayoutNode()
        host.layout_manager.setLayout(layout.SlicerLayoutOneUpRedSliceView)
        host.window.resize(*SIZE)
        host.show("MomentumSeg")
        panel = slicer.modules.MomentumSegWidget.panel
        ui, controller, waiting = panel.ui, panel._prompts.controller, Waiting(panel.ui, lambda sentence: None)
        body = generate_abdomen()
        matrix = body.ijk_to_ras
        volume = slicer.util.addVolumeFromArray(body.voxels, matrix, "Abdomen")
        volume.CreateDefaultDisplayNodes()
        volume.GetDisplayNode().SetAutoWindowLevel(False)
        volume.GetDisplayNode().SetWindowLevelMinMax(-120, 240)
        host.core.application_logic.GetSelectionNode().SetActiveVolumeID(volume.GetID())
        host.core.application_logic.PropagateVolumeSelection()
        ui.inputVolumeSelector.setCurrentNode(volume)
        ui.methodComboBox.setCurrentIndex(ui.methodComboBox.findData("prompts"))
        ui.methodComboBox.activated.emit(ui.methodComboBox.currentIndex)
        settle(1.0)
        segmentation = ui.outputSegmentationSelector.currentNode()
        segment_id = segmentation.GetSegmentation().GetNthSegmentID(0)
        segment = segmentation.GetSegmentation().GetSegment(segment_id)
        segment.SetName("Kidney")
        segment.SetColor(0.90, 0.55, 0.30)
        liver = body.labels[SLICE] == LIVER
        rows, columns = np.nonzero(liver)
        view = host.layout_manager.sliceWidget("Red")
        view.mrmlSliceNode().JumpSliceByCentering(*ras(matrix, liver.shape[0] / 2, liver.shape[1] / 2))
        waiting.until(lambda: panel._client.state == "ready" and panel._model.is_listed, PATIENCE)
        kidney = np.argwhere(body.labels[SLICE] == KIDNEY).mean(axis=0)
        click(controller, segmentation, segment_id, ras(matrix, *kidney))
        waiting.until(lambda: controller.waiting and not controller.is_asking, PATIENCE)
        settle(1.0)
        host.window.grab().save(str(folder / "prompts-click.png"))

        controller.clear()
        segment.SetName("Liver")
        box = controller.nodes.new_box(segmentation, segment_id)
        for row, column in ((rows.min() - 3, columns.min() - 3), (rows.max() + 3, columns.max() + 3)):
            box.AddControlPointWorld(*ras(matrix, row, column))
        waiting.until(lambda: controller.waiting and not controller.is_asking, PATIENCE)
        settle(1.0)
        host.window.grab().save(str(folder / "prompts-box.png"))

        ui.acceptButton.click()
        segmentation.CreateClosedSurfaceRepresentation()
        settle(0.5)
        host.layout_manager.setLayout(layout.SlicerLayoutFourUpView)
        ui.applyButton.click()
        waiting.until(lambda: not controller.phase.is_busy, PATIENCE)
        for name in host.layout_manager.sliceViewNames():
            node = host.layout_manager.sliceWidget(name).mrmlSliceNode()
            node.JumpSliceByOffsetting(*ras(matrix, rows.mean(), columns.mean()))
        settle(1.0)
        host.layout_manager.resetThreeDViews()
        settle(1.5)
        host.window.grab().save(str(folder / "prompts-followed.png"))
    finally:
        host.stop()


def ras(matrix: np.ndarray, row: float, column: float) -> tuple[float, float, float]:
    """World position of a place on the slice."""
    r, a, s = (matrix @ (column, row, SLICE, 1.0))[:3]
    return float(r), float(a), float(s)


def click(controller: Any, segmentation: Any, segment_id: str, place: tuple[float, float, float]) -> None:
    """A point inside, as a click into the view gives it."""
    controller.nodes.points_node(segmentation, segment_id, "positive").AddControlPointWorld(*place)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
