"""The training module in the stand-alone window, with a worker whose answers the test gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fake_client import FakeClient
from module_in_host import settle
from training_scene import ORGAN, RECIPES, REPORT, SHAPE, add_scan, add_segmentation, progress, two_cases

PAUSED = {
    "run_folder": "/runs/old",
    "title": "spleen",
    "recipe": "automatic-laptop",
    "state": "paused",
    "iteration": 300,
    "iterations": 1000,
    "score": 0.71,
    "data": "/data/spleen",
}


class TrainingModule:
    """The panel as a user sees it."""

    def __init__(self, host: Any, client: FakeClient) -> None:
        import slicer

        self.host, self.client = host, client
        self.widget = slicer.modules.MomentumSegTrainingWidget
        self.messages: list[str] = []

    @property
    def ui(self) -> Any:
        return self.widget.ui

    @property
    def panel(self) -> Any:
        return self.widget.panel

    @property
    def status(self) -> str:
        return self.ui.statusLabel.text

    def rest(self) -> None:
        """Let delayed refreshes happen."""
        settle()
        self.panel.refresh()
        settle()

    def answer(self, method: str, values: dict[str, Any], **arrays: np.ndarray) -> None:
        self.client.last(method).result(values, **arrays)
        self.rest()

    def answer_lists(self, runs: tuple[dict[str, Any], ...] = ()) -> None:
        self.client.last("list_recipes").result({"recipes": RECIPES})
        self.client.last("training_runs").result({"runs": list(runs)})
        self.rest()

    def write_cases(self, count: int = 2) -> None:
        for _index in range(count):
            settle()
            for job in self.client.all("set_volume"):
                if job.is_active:
                    job.result({"warnings": []})
            settle()
            self.client.last("add_training_case").result({})
        settle()

    def start(self) -> Any:
        """Press Start and answer up to the training; returns its job."""
        self.ui.startButton.click()
        self.write_cases()
        self.answer("check_training", REPORT)
        return self.client.last("train")


class _Session:
    def __init__(self, client: FakeClient) -> None:
        self.client = client

    def read_settings(self) -> None:
        """The test's worker needs none."""


class _Pump:
    def __init__(self, client: Any) -> None:
        """The test gives the answers."""

    def stop(self) -> None:
        """Nothing runs."""


@pytest.fixture
def the_module(a_window: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[TrainingModule]:
    """The panel in an empty scene, made anew, with a worker that the test plays."""
    import slicer

    from MomentumSegLib import training_panel

    slicer.mrmlScene.Clear(False)
    layout = a_window.core.layout_logic.GetLayoutNode()
    layout.SetViewArrangement(layout.SlicerLayoutOneUpRedSliceView)
    client = FakeClient()
    monkeypatch.setattr(training_panel, "TrainingSession", lambda: _Session(client))
    monkeypatch.setattr(training_panel, "WorkerPump", _Pump)
    monkeypatch.setattr(training_panel, "is_installed", lambda: True)
    monkeypatch.setattr(training_panel, "ensure_installed", lambda parent: True)
    a_window.window.moduleSelector().selectModule("MomentumSegTraining")
    before = slicer.modules.MomentumSegTrainingWidget
    before.exit()
    before.cleanup()
    slicer.util.getModule("MomentumSegTraining").widgetRepresentation().reload()
    module = TrainingModule(a_window, client)
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda text, *args, **options: module.messages.append(text))
    module.widget.enter()
    settle()
    yield module
    a_window.window.moduleSelector().selectModule("MomentumSeg")
    module.widget.cleanup()
    slicer.mrmlScene.Clear(False)
    settle()


@pytest.fixture
def a_scene_with_cases(the_module: TrainingModule) -> TrainingModule:
    import slicer

    two_cases(slicer.mrmlScene)
    the_module.answer_lists()
    return the_module


def _slice(label: int = 1) -> np.ndarray:
    return (label * ORGAN[4]).astype(np.uint8)


def _picture_of(label: Any) -> Any:
    pixmap = label.pixmap
    return pixmap() if callable(pixmap) else pixmap


def test_empty_scene_says_what_to_do(the_module: TrainingModule) -> None:
    the_module.answer_lists()
    assert not the_module.ui.startButton.enabled
    assert the_module.status.startswith("Load scans and their segmentations first")
    assert the_module.ui.startButton.toolTip == the_module.status


def test_every_control_has_a_tool_tip_and_a_name(the_module: TrainingModule) -> None:
    from PySide6 import QtWidgets

    kinds = (
        QtWidgets.QAbstractButton,
        QtWidgets.QComboBox,
        QtWidgets.QTableWidget,
        QtWidgets.QProgressBar,
        QtWidgets.QLineEdit,
        QtWidgets.QSpinBox,
    )
    ours = [
        widget
        for name, widget in vars(the_module.ui).items()
        if isinstance(widget, kinds) and not name.startswith("qt_")
    ]
    assert len(ours) > 20
    assert [w.objectName for w in ours if not w.toolTip or not w.accessibleName] == []


def test_cases_and_recipe_are_shown(a_scene_with_cases: TrainingModule) -> None:
    ui = a_scene_with_cases.ui
    assert ui.casesTable.rowCount == 2
    assert ui.casesTable.cellWidget(0, 1).currentText == "CT 1 segmentation"
    assert ui.recipeComboBox.currentText == "Automatic model, laptop"
    assert "two segmented scans" in ui.recipeLabel.text
    assert ui.startButton.enabled and a_scene_with_cases.status == "Ready. Press Start training."


def test_single_case_and_untouched_labels_are_said_as_the_user_changes_the_table(
    a_scene_with_cases: TrainingModule,
) -> None:
    import qt

    module = a_scene_with_cases
    combo = module.ui.casesTable.cellWidget(1, 1)
    combo.setCurrentIndex(0)
    combo.activated.emit(0)
    module.rest()
    assert module.status.startswith("One segmented scan is not enough")
    assert not module.ui.startButton.enabled
    combo = module.ui.casesTable.cellWidget(1, 1)
    combo.setCurrentIndex(combo.findText("CT 2 segmentation"))
    combo.activated.emit(combo.currentIndex)
    module.rest()
    assert module.ui.startButton.enabled
    module.ui.casesTable.item(0, 0).setCheckState(qt.Qt.Unchecked)
    module.rest()
    assert not module.ui.startButton.enabled
    module.ui.casesTable.item(0, 0).setCheckState(qt.Qt.Checked)
    module.ui.casesTable.item(0, 2).setText("CT 2")
    module.rest()
    assert "of one patient" in module.status
    module.ui.findCasesButton.click()
    module.rest()
    assert module.ui.startButton.enabled and module.ui.casesTable.item(0, 2).text() == "CT 1"


def test_scan_that_comes_later_is_listed_but_not_ticked(a_scene_with_cases: TrainingModule) -> None:
    import qt
    import slicer

    module = a_scene_with_cases
    module.start()
    add_segmentation(slicer.mrmlScene, add_scan(slicer.mrmlScene, "CT 3"), {"organ": ORGAN})
    module.rest()
    assert module.ui.casesTable.rowCount == 3
    assert module.ui.casesTable.item(2, 0).checkState() == qt.Qt.Unchecked


def test_choices_come_back_with_the_scene(a_scene_with_cases: TrainingModule, tmp_path: Any) -> None:
    import slicer

    module = a_scene_with_cases
    module.ui.casesTable.item(0, 2).setText("anna")
    module.ui.iterationsSpinBox.value = 250
    module.ui.titleLineEdit.text = "my liver"
    module.ui.titleLineEdit.editingFinished.emit()
    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path)
    slicer.mrmlScene.Clear(False)
    module.rest()
    assert module.ui.casesTable.rowCount == 0
    slicer.util.loadScene(path)
    module.rest()
    assert module.ui.casesTable.item(0, 2).text() == "anna"
    assert module.ui.casesTable.cellWidget(1, 1).currentText == "CT 2 segmentation"
    assert module.ui.iterationsSpinBox.value == 250 and module.ui.titleLineEdit.text == "my liver"


def test_check_says_what_it_takes(a_scene_with_cases: TrainingModule) -> None:
    module = a_scene_with_cases
    module.ui.checkButton.click()
    module.write_cases()
    proposal = {"sentence": "With training.batch=1 about 0.3 GB are enough.", "settings": ["training.batch=1"]}
    memory = {**REPORT["memory"], "fits": False, "estimate_bytes": 9e9, "proposal": proposal}
    module.answer("check_training", {**REPORT, "memory": memory, "warnings": ["Two cases are few."]})
    text = module.ui.checkLabel.text
    assert "2 with labels, 0 without, of 2 patients" in text and "Structures: organ." in text
    assert "9.0 GB, but only 8.0 GB are free on CPU" in text and "about 8 min for 1000 iterations" in text
    assert "Two cases are few." in text and "training.batch=1" in text
    module.ui.proposalButton.click()
    module.rest()
    assert module.ui.settingsLineEdit.text == "training.batch=1"
    assert module.client.last("check_training").parameters["settings"] == ["training.batch=1"]


def test_report_of_other_choices_does_not_stay(a_scene_with_cases: TrainingModule) -> None:
    module = a_scene_with_cases
    module.ui.checkButton.click()
    module.write_cases()
    module.answer("check_training", REPORT)
    assert "organ" in module.ui.checkLabel.text
    module.ui.iterationsSpinBox.value = 10
    module.rest()
    assert module.ui.checkLabel.text.startswith("Press Check")


def test_training_is_watched_paused_resumed_finished_saved_and_used(a_scene_with_cases: TrainingModule) -> None:
    import slicer

    module = a_scene_with_cases
    module.ui.titleLineEdit.text = "my liver"
    module.ui.titleLineEdit.editingFinished.emit()
    job = module.start()
    layout = module.host.core.layout_logic.GetLayoutNode()
    assert "vtkMRMLPlotViewNode" in layout.GetCurrentLayoutDescription()
    assert module.ui.startButton.text == "Pause"
    for iteration in range(10, 60, 10):
        job.partial(progress(iteration))
    pictures = {"image": np.full(SHAPE[1:], 90, np.uint8), "reference": _slice(), "predicted": _slice(2)}
    job.partial(progress(60, dice=0.5), **pictures)
    settle()
    chart = slicer.util.getNode("Training")
    assert chart.GetTitle() == "my liver" and chart.GetNumberOfPlotSeriesNodes() == 2
    assert chart.GetNthPlotSeriesNode(0).GetTableNode().GetTable().GetNumberOfRows() == 6
    assert not _picture_of(module.ui.pictureLabel).isNull()
    assert "CT_2 at iteration 60" in module.ui.captionLabel.text and "organ 0.50" in module.ui.captionLabel.text
    assert module.status.startswith("Iteration 60 of 1000.") and "8 min left" in module.ui.trainingProgressBar.format
    assert not module.ui.recipeComboBox.enabled and not module.ui.checkButton.enabled

    module.ui.startButton.click()
    assert not module.ui.startButton.enabled
    job.result({})
    module.rest()
    assert module.ui.startButton.text == "Resume" and module.status.startswith("Paused at iteration 60 of 1000.")
    module.ui.startButton.click()
    again = module.client.last("train")
    again.partial(progress(70))
    assert module.panel.curves.losses[-1][0] == 70 and len(module.panel.curves.losses) == 7
    again.result({"run_folder": "x", "metrics": {"organ": 0.93, "mean": 0.93}, "score": 0.93})
    module.rest()
    assert module.status == "Finished. The model can be saved below."
    assert not module.ui.modelCollapsibleButton.collapsed
    assert module.ui.metricsLabel.text == "Mean Dice of the validation: 0.93 (organ 0.93)"
    assert module.ui.modelDataLineEdit.text == "Own scans: CT 1, CT 2"
    assert not module.ui.useModelButton.enabled

    module.ui.licenceComboBox.setCurrentIndex(1)
    module.ui.saveModelButton.click()
    saved = module.client.last("save_trained_model")
    assert saved.parameters == {
        "run_folder": job.parameters["run_folder"],
        "name": "my-liver",
        "title": "my liver",
        "licence": "CC BY 4.0",
        "training_data": "Own scans: CT 1, CT 2",
    }
    saved.result({"name": "my-liver", "path": "/w/my-liver.safetensors"})
    module.rest()
    assert '"my liver" is in the list of models' in module.status
    module.ui.useModelButton.click()
    settle()
    parameters = slicer.util.getModuleLogic("MomentumSeg").getParameterNode()
    assert (parameters.method, parameters.automaticModel) == ("automatic", "my-liver")
    assert slicer.util.selectedModule() == "MomentumSeg"
    assert module.messages == []


def test_model_that_cannot_be_saved_is_said_and_can_be_tried_again(a_scene_with_cases: TrainingModule) -> None:
    module = a_scene_with_cases
    module.start().result({"score": 0.9})
    module.rest()
    module.ui.saveModelButton.click()
    assert not module.ui.saveModelButton.enabled
    module.client.last("save_trained_model").fail("user", "There is a model my-liver already: give another name.")
    assert module.status == "There is a model my-liver already: give another name."
    assert module.ui.saveModelButton.enabled and not module.ui.useModelButton.enabled
    module.ui.modelTitleLineEdit.text = ""
    assert not module.ui.saveModelButton.enabled


def test_fine_tuned_decoder_is_used_with_prompts(a_scene_with_cases: TrainingModule) -> None:
    import slicer

    module = a_scene_with_cases
    module.start().result({"score": 0.9})
    module.rest()
    module.ui.saveModelButton.click()
    module.client.last("save_trained_model").result({"name": "my-decoder", "path": "x"})
    module.client.last("list_models").result({"models": [{"name": "my-decoder", "kind": "sam"}], "folder": "/w"})
    module.ui.useModelButton.click()
    settle()
    parameters = slicer.util.getModuleLogic("MomentumSeg").getParameterNode()
    assert (parameters.method, parameters.promptModel) == ("prompts", "my-decoder")


def test_worker_that_dies_is_said_and_resume_is_offered(a_scene_with_cases: TrainingModule) -> None:
    module = a_scene_with_cases
    module.start().partial(progress(20))
    module.client.die()
    module.rest()
    assert module.status.startswith("The training worker ended unexpectedly: press Resume")
    assert module.messages == [module.status]
    assert module.ui.startButton.text == "Resume" and module.ui.startButton.enabled


def test_failure_of_a_case_is_said_in_one_sentence(a_scene_with_cases: TrainingModule) -> None:
    module = a_scene_with_cases
    module.ui.startButton.click()
    settle()
    module.client.last("set_volume").result({"warnings": []})
    settle()
    module.client.last("add_training_case").fail("user", "The disk /runs is full: free some space.")
    module.rest()
    assert module.messages == ["The disk /runs is full: free some space."]
    assert module.status == module.messages[0] and module.ui.startButton.text == "Start training"


def test_earlier_trainings_are_listed_and_taken_up(the_module: TrainingModule) -> None:
    finished = {**PAUSED, "run_folder": "/runs/older", "state": "finished", "title": "liver", "score": 0.9}
    the_module.answer_lists((PAUSED, finished))
    table = the_module.ui.runsTable
    assert [table.item(row, 1).text() for row in range(2)] == ["paused at 30 %", "finished"]
    table.selectRow(0)
    the_module.ui.takeRunButton.click()
    the_module.rest()
    assert the_module.ui.startButton.text == "Resume" and the_module.ui.keepButton.visible
    the_module.ui.startButton.click()
    parameters = the_module.client.last("train").parameters
    assert (parameters["run_folder"], parameters["data"]) == ("/runs/old", "/data/spleen")
    assert not the_module.ui.takeRunButton.enabled, "one training at a time"
    the_module.client.last("train").fail("cancelled", "")
    table.selectRow(1)
    the_module.ui.takeRunButton.click()
    the_module.rest()
    assert the_module.ui.saveModelButton.enabled and the_module.ui.modelTitleLineEdit.text == "liver"
    assert the_module.ui.modelDataLineEdit.text == "Cases of spleen"


def test_unfinished_training_is_mentioned_after_a_restart(a_scene_with_cases: TrainingModule) -> None:
    module = a_scene_with_cases
    module.ui.refreshRunsButton.click()
    module.answer("training_runs", {"runs": [PAUSED]})
    assert module.status == 'Ready. 1 earlier training can go on: see "Earlier trainings" below.'


def test_folder_of_cases_needs_no_scene(the_module: TrainingModule) -> None:
    module = the_module
    module.answer_lists()
    module.ui.sourceComboBox.setCurrentIndex(1)
    module.ui.sourceComboBox.activated.emit(1)
    module.rest()
    assert module.status == "Choose the folder of the cases first."
    module.ui.folderLineEdit.text = "/data/liver"
    module.ui.folderLineEdit.editingFinished.emit()
    module.ui.settingsLineEdit.text = "rubbish"
    module.ui.settingsLineEdit.editingFinished.emit()
    module.rest()
    module.ui.startButton.click()
    assert "is no setting" in module.status and not module.client.all("check_training")
    module.ui.settingsLineEdit.text = ""
    module.ui.settingsLineEdit.editingFinished.emit()
    module.rest()
    module.ui.startButton.click()
    assert module.client.last("check_training").parameters["data"] == "/data/liver"


def test_closed_scene_leaves_the_training_and_takes_the_curves(a_scene_with_cases: TrainingModule) -> None:
    import slicer

    module = a_scene_with_cases
    job = module.start()
    job.partial(progress(10))
    slicer.mrmlScene.Clear(False)
    module.rest()
    job.partial(progress(20))
    settle()
    assert slicer.util.getNodesByClass("vtkMRMLPlotChartNode") == []
    assert module.ui.startButton.text == "Pause"
    module.ui.curvesButton.click()
    settle()
    (chart,) = slicer.util.getNodesByClass("vtkMRMLPlotChartNode")
    assert chart.GetNthPlotSeriesNode(0).GetTableNode().GetTable().GetNumberOfRows() == 2


def test_curves_button_gives_the_layout_back(a_scene_with_cases: TrainingModule) -> None:
    module = a_scene_with_cases
    before = module.host.layout_manager.layout
    module.start()
    assert module.host.layout_manager.layout != before
    module.ui.curvesButton.click()
    settle()
    assert module.host.layout_manager.layout == before


def test_leaving_the_module_does_not_stop_the_training(a_scene_with_cases: TrainingModule) -> None:
    module = a_scene_with_cases
    job = module.start()
    module.widget.exit()
    job.partial(progress(10))
    assert job.is_active and module.panel.curves.losses
    job.result({"score": 0.8})
    module.widget.enter()
    module.rest()
    assert module.ui.saveModelButton.enabled


@pytest.mark.parametrize("stops", [True, False])
def test_closing_asks_while_a_training_runs(
    a_scene_with_cases: TrainingModule, monkeypatch: pytest.MonkeyPatch, stops: bool
) -> None:
    import slicer

    module, questions = a_scene_with_cases, []
    monkeypatch.setattr(
        slicer.util, "confirmYesNoDisplay", lambda text, *args, **options: bool(questions.append(text)) or stops
    )
    window = module.host.window
    job = module.start()
    assert window.close() is stops
    assert questions == ["Stop the training and close? It continues from the last checkpoint."]
    window.show()
    job.result({"score": 0.8})
    module.rest()
    assert window.close() is True and len(questions) == 1, "nothing runs: nothing is asked"
    window.show()


def test_module_that_goes_ends_its_worker_and_asks_no_more(
    a_scene_with_cases: TrainingModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer

    module = a_scene_with_cases
    monkeypatch.setattr(slicer.util, "confirmYesNoDisplay", lambda *args, **options: pytest.fail("asked"))
    module.start()
    module.widget.cleanup()
    assert module.client.state == "stopped"
    assert module.host.window.close() is True
    module.host.window.show()


def test_reload_ends_the_worker_and_the_new_panel_works(
    a_scene_with_cases: TrainingModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer

    module, old = a_scene_with_cases, a_scene_with_cases.panel
    module.start()
    module.widget.onReload()
    module.widget = slicer.modules.MomentumSegTrainingWidget
    assert module.client.state == "stopped"
    assert module.panel is not old and module.panel.controller.phase.value == "idle"
    module.panel.refresh()
    asked = []
    monkeypatch.setattr(slicer.util, "confirmYesNoDisplay", lambda *args, **options: asked.append(1))
    assert module.host.window.close() is True and not asked
    module.host.window.show()
