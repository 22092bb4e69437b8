"""The whole path with the real worker: two drawn cases, a tiny training that is killed and paused, a listed model."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from module_in_host import settle

pytestmark = pytest.mark.slow

PATIENCE = 400.0  # seconds; the machine may be busy
TINY = "training.epoch=4 training.batch=2 data.patch=[32,32] network.widths=[4,8] data.spacing=own"


def until(condition: Callable[[], Any], status: Callable[[], str]) -> None:
    import time

    end = time.monotonic() + PATIENCE
    while not condition():
        settle()
        time.sleep(0.01)
        if time.monotonic() > end:
            raise TimeoutError(f"waited in vain; the status line says: {status()}")


@pytest.fixture
def the_widget(a_window: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """The module with a worker that keeps its files in the test's folder."""
    import slicer

    from MomentumSegLib.settings import Settings, save_settings

    save_settings(Settings(data_folder=str(tmp_path / "home")))
    slicer.mrmlScene.Clear(False)
    said: list[str] = []
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda text, *args, **options: said.append(text))
    a_window.window.moduleSelector().selectModule("MomentumSegTraining")
    settle()
    widget = slicer.modules.MomentumSegTrainingWidget
    widget.said = said
    yield widget
    a_window.window.moduleSelector().selectModule("MomentumSeg")
    widget.panel._client.stop()
    save_settings(Settings())
    slicer.mrmlScene.Clear(False)
    settle()


def _add_drawn_phantom(seed: int, name: str) -> None:
    """A small generated abdomen with liver and left kidney drawn."""
    import slicer

    from MomentumSegLib.phantom import generate_abdomen

    generated = generate_abdomen(seed)
    part = (slice(None, None, 3),) * 3
    matrix = generated.ijk_to_ras @ np.diag([3.0, 3.0, 3.0, 1.0])
    volume = slicer.util.addVolumeFromArray(generated.voxels[part], matrix, name, "vtkMRMLScalarVolumeNode")
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{name} segmentation")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for label, title in ((1, "liver"), (4, "left kidney")):
        segment_id = node.GetSegmentation().AddEmptySegment(title, title)
        mask = (generated.labels[part] == label).astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segment_id, volume)


def test_two_drawn_cases_become_a_model_in_the_list(the_widget: Any, tmp_path: Path) -> None:
    import slicer

    from MomentumSegLib.training_phase import TrainingPhase

    ui, panel = the_widget.ui, the_widget.panel
    controller = panel.controller

    def wait(condition: Callable[[], Any]) -> None:
        until(condition, lambda: f"{ui.statusLabel.text} {the_widget.said}")

    for seed in (20, 21):
        _add_drawn_phantom(seed, f"CT {seed}")
    wait(lambda: ui.recipeComboBox.findData("resunet-2d-laptop") >= 0)
    parameters = the_widget.logic.getParameterNode()
    parameters.recipe, parameters.iterations, parameters.settings = "resunet-2d-laptop", 12, TINY
    parameters.title, parameters.device = "tiny liver", "cpu"
    wait(lambda: ui.startButton.enabled and ui.settingsLineEdit.text == TINY)

    ui.startButton.click()
    wait(lambda: panel.curves.dices or the_widget.said)
    assert the_widget.said == []
    assert "2 with labels, 0 without, of 2 patients" in ui.checkLabel.text
    assert "Structures: liver, left kidney." in ui.checkLabel.text
    assert slicer.util.getNode("Training").GetTitle() == "tiny liver"
    assert ui.captionLabel.visible and "reference green" in ui.captionLabel.text
    os.kill(panel._client.hello["pid"], signal.SIGKILL)
    wait(lambda: not controller.phase.is_busy)
    assert the_widget.said == [ui.statusLabel.text] and "press Resume" in the_widget.said.pop()
    ui.startButton.click()
    wait(lambda: len(panel.curves.dices) >= 2 or the_widget.said)
    ui.startButton.click()
    wait(lambda: not controller.phase.is_busy)
    if controller.phase is TrainingPhase.PAUSED:  # else it was faster than the click
        run_folder = Path(controller.run.folder)
        assert (run_folder / "checkpoint.pt").is_file() and run_folder.parent == tmp_path / "home" / "training"
        ui.startButton.click()
        wait(lambda: not controller.phase.is_busy)
    assert controller.phase is TrainingPhase.FINISHED, ui.statusLabel.text
    assert [point[0] for point in panel.curves.dices] == [4, 8, 12]

    ui.saveModelButton.click()
    wait(lambda: ui.useModelButton.enabled or the_widget.said)
    wait(lambda: ui.runsTable.rowCount == 1)
    assert ui.runsTable.item(0, 1).text() == "finished"
    listed: list[dict[str, Any]] = []
    panel._client.request(
        "list_models", {"kind": "automatic"}, on_result=lambda values, arrays: listed.extend(values["models"])
    )
    wait(lambda: listed)
    model = next(model for model in listed if model["name"] == "tiny-liver")
    assert (model["title"], model["state"]) == ("tiny liver", "ready")
    assert model["training_data"] == "Own scans: CT 20, CT 21"
    assert the_widget.said == []


def test_folder_without_cases_is_said_in_one_sentence(the_widget: Any, tmp_path: Path) -> None:
    ui, panel = the_widget.ui, the_widget.panel
    (tmp_path / "empty").mkdir()
    parameters = the_widget.logic.getParameterNode()
    parameters.source, parameters.dataFolder = "folder", str(tmp_path / "empty")
    parameters.recipe, parameters.title = "resunet-2d-laptop", "nothing"
    until(lambda: ui.startButton.enabled, lambda: ui.statusLabel.text)
    ui.startButton.click()
    until(lambda: the_widget.said, lambda: ui.statusLabel.text)
    assert len(the_widget.said) == 1 and str(tmp_path / "empty") in the_widget.said[0]
    assert not panel.controller.phase.is_busy and ui.startButton.text == "Start training"
