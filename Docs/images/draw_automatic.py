"""Make the picture of the method "automatic": the module in the stand-alone window, with a trained model and a scan.

QT_QPA_PLATFORM=offscreen python Docs/images/draw_automatic.py MODEL.safetensors SCAN.nii.gz Docs/images

MODEL is what `momentumseg train resunet-3d-laptop` wrote, here on Task04 of the Medical Segmentation Decathlon
(hippocampus, CC BY-SA 4.0), and SCAN a case that it was not trained on. The window, the module and the worker are the
real ones; only the mouse is played by this program.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("Logic", "SlicerMomentumSeg", "Standalone")]

from momentumseg_standalone.host import start_host  # noqa: E402

SIZE = (1240, 960)
PATIENCE = 600.0  # seconds


def main(model: Path, scan: Path, folder: Path) -> None:
    """Write automatic.png into a folder."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["MOMENTUMSEG_HOME"] = home  # the models of this computer are none of the picture's business
        weights = Path(home) / "weights"
        weights.mkdir()
        shutil.copyfile(model, weights / "hippocampus.safetensors")
        host = start_host(testing=True)
        try:
            _draw(host, scan, folder / "automatic.png")
        finally:
            host.stop()


def _draw(host: object, scan: Path, picture: Path) -> None:
    import slicer

    from momentumseg_standalone.acting import Waiting, settle

    layout = host.core.layout_logic.GetLayoutNode()
    host.layout_manager.setLayout(layout.SlicerLayoutFourUpView)
    host.window.resize(*SIZE)
    host.show("MomentumSeg")
    panel = slicer.modules.MomentumSegWidget.panel
    ui, waiting = panel.ui, Waiting(panel.ui, lambda sentence: None)
    volume = slicer.util.loadVolume(str(scan))
    ui.inputVolumeSelector.setCurrentNode(volume)
    ui.methodComboBox.setCurrentIndex(ui.methodComboBox.findData("automatic"))
    ui.methodComboBox.activated.emit(ui.methodComboBox.currentIndex)
    waiting.until(lambda: ui.applyButton.enabled, PATIENCE)
    ui.applyButton.click()
    waiting.until(lambda: not panel.controller.phase.is_busy and ui.resultsTable.rowCount > 0, PATIENCE)
    settle(1.0)
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    middle = [(bounds[2 * axis] + bounds[2 * axis + 1]) / 2 for axis in range(3)]
    for name in host.layout_manager.sliceViewNames():
        host.layout_manager.sliceWidget(name).mrmlSliceNode().JumpSliceByOffsetting(*middle)
    host.layout_manager.resetSliceViews()
    host.layout_manager.resetThreeDViews()
    settle(1.5)
    host.window.grab().save(str(picture))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
