"""The method "automatic" in the stand-alone window: real worker, real model file, real scene."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from module_in_host import IJK_TO_RAS, MIDDLE, SHAPE, Module, a_body, add_volume, segment_array

NAMES = {2: "kidney", 7: "liver"}
NO_MODEL = "There is no automatic model yet: train one in the module MomentumSeg Training, or import a file."


def the_kidney() -> np.ndarray:
    """(K, J, I) of an ellipsoid beside the bright organ, which is the liver."""
    k, j, i = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    return ((k - 14) / 7) ** 2 + ((j - 62) / 10) ** 2 + ((i - 62) / 9) ** 2 <= 1


def a_scan() -> np.ndarray:
    """(K, J, I) int16 with two organs of different brightness."""
    return np.where(the_kidney(), 320, a_body()).astype(np.int16)


@pytest.fixture(scope="module")
def a_model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network whose last layer is fitted to tell the two organs by their brightness."""
    import torch

    from momentumseg.networks.registry import build_segmentation_network
    from momentumseg.transforms.data_statistics import DataStatistics, LabelTable
    from momentumseg.weights.segmentation_models import save_segmentation_model

    torch.manual_seed(1)
    table = {"name": "resunet", "in_channels": 1, "classes": 3, "dimensions": 3, "widths": [4, 4], "norm": "none"}
    network = build_segmentation_network(table).eval()
    fit_head(network)
    statistics = DataStatistics(
        spacing=(None, None, None),
        plane="volume",
        patch=(32, 48, 48),
        channels=("CT",),
        intensity="zscore",
        labels=LabelTable.of(NAMES),
    )
    path = tmp_path_factory.mktemp("ein Modell") / "My abdomen (3).safetensors"
    card = {"name": "Abdomen", "description": "Kidney and liver in CT.", "licence": "CC BY 4.0"}
    recipe = {"inference": {"overlap": 0.25}}
    save_segmentation_model(network, path, recipe=recipe, card=card, statistics=statistics.to_mapping())
    return path


def fit_head(network: Any) -> None:
    """Fit the last layer to the scan: seconds, where training would take minutes."""
    import torch
    from torch.nn import functional

    scan = torch.from_numpy(a_scan().astype(np.float32))
    truth = torch.where(torch.from_numpy(the_kidney()), 1, 2 * torch.from_numpy(a_body() > 95))[14:16].flatten()
    seen = []
    handle = network.head.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    with torch.no_grad():
        network(((scan - scan.mean()) / scan.std())[None, None, 14:16])
    handle.remove()
    features = seen[0][0].flatten(1).T
    optimizer = torch.optim.LBFGS(network.head.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        logits = functional.linear(features, network.head.weight.flatten(1), network.head.bias)
        value = functional.cross_entropy(logits, truth)
        value.backward()
        return value

    optimizer.step(loss)


@pytest.fixture(scope="module")
def a_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder of models of the application's worker."""
    from MomentumSegLib import worker_session
    from MomentumSegLib.worker_launch import local_launch

    home = tmp_path_factory.mktemp("home")
    patch = pytest.MonkeyPatch()
    launch = local_launch("", environment={**os.environ, "MOMENTUMSEG_HOME": str(home)})
    patch.setattr(worker_session, "launch_of", lambda settings: launch)
    worker_session.stop_shared_client()
    yield home / "weights"
    worker_session.stop_shared_client()
    patch.undo()


class Automatic(Module):
    """The module with the method for trained models."""

    def choose_method(self, name: str) -> None:
        combo = self.ui.methodComboBox
        combo.setCurrentIndex(combo.findData(name))
        combo.activated.emit(combo.currentIndex)
        self.rest()

    def list_models(self) -> None:
        """As if the module was left and shown again."""
        self.panel._client.start()
        self.panel._model.list_again()
        self.panel.refresh()
        self.until(lambda: self.panel._model._is_known)
        self.rest()

    def segments(self) -> dict[str, np.ndarray]:
        """Voxels of each segment by its name."""
        segmentation = self.segmentation.GetSegmentation()
        ids = [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]
        return {segmentation.GetSegment(i).GetName(): segment_array(self.segmentation, i, self.volume) for i in ids}

    def shows(self, widget: Any) -> bool:
        return bool(widget.isVisibleTo(self.ui.runFrame.window()))


@pytest.fixture
def a_module(a_window: Any, a_store: Path, the_module: Module, a_model_file: Path) -> Iterator[Automatic]:
    """A scan is chosen, and the method; there is one model."""
    shutil.rmtree(a_store, ignore_errors=True)
    a_store.mkdir(parents=True)
    shutil.copyfile(a_model_file, a_store / "abdomen.safetensors")
    module = Automatic(the_module.host)
    module.messages = the_module.messages
    module.choose(add_volume(a_scan(), IJK_TO_RAS, "scan"))
    module.choose_method("automatic")
    module.list_models()
    yield module
    module.panel.controller.cancel()
    module.until(lambda: module.panel.controller.phase.value == "idle")
    module.choose_method("few-shot")


def what_the_engine_finds(file: Path, ijk_to_ras: np.ndarray = IJK_TO_RAS, **options: Any) -> np.ndarray:
    """(K, J, I) labels by the engine, asked without module and worker."""
    from momentumseg.sessions.automatic import AutomaticSession
    from momentumseg.volumes.volume import Volume
    from momentumseg.weights.segmentation_models import load_segmentation_model

    with AutomaticSession(load_segmentation_model(file)) as session:
        session.set_volume(Volume(a_scan(), ijk_to_ras, "scan"))
        return session.segment(**{"mirror": False, **options}).labelmap.array


def check(segments: Mapping[str, np.ndarray], labels: np.ndarray, others: Sequence[str] = ()) -> None:
    assert sorted(segments) == sorted([*NAMES.values(), *others])
    for label, name in NAMES.items():
        assert (labels == label).sum() > 100
        assert np.array_equal(segments[name] > 0, labels == label), name


def test_without_a_model_one_sentence_says_how_to_get_one(a_module, a_store):
    (a_store / "abdomen.safetensors").unlink()
    a_module.panel._parameters.automaticModel = ""
    a_module.list_models()
    assert a_module.ui.automaticModelLabel.text == NO_MODEL
    assert a_module.status == "There is no automatic model yet."
    assert not a_module.ui.applyButton.enabled
    assert a_module.ui.modelComboBox.currentText == "None yet"
    assert a_module.messages == []


def test_method_shows_its_own_controls(a_module):
    ui = a_module.ui
    assert a_module.shows(ui.automaticCollapsibleButton)
    assert ui.automaticModelLabel.text == "Kidney and liver in CT."
    for widget in (ui.supportsTable, ui.suggestSliceButton, ui.promptsCollapsibleButton):
        assert not a_module.shows(widget)
    assert ui.methodCollapsibleButton.text == "Method: automatic, Abdomen"
    assert a_module.panel._parameters.automaticModel == "abdomen"
    assert a_module.status == "Ready. Press Apply."
    for widget in (ui.mirrorCheckBox, ui.importAutomaticButton):
        assert widget.toolTip
        assert widget.accessibleName
    a_module.choose_method("few-shot")
    assert not a_module.shows(ui.automaticCollapsibleButton)
    assert a_module.shows(ui.supportsTable)
    assert ui.methodCollapsibleButton.text == "Method: few-shot, LMS-Net, general"


def test_apply_gives_the_engines_result_in_one_undo_step(a_module, a_model_file):
    a_module.apply()
    expected = what_the_engine_finds(a_model_file)
    check(a_module.segments(), expected)  # the empty "Structure 1" gave way
    assert a_module.status.startswith("Done in")
    assert a_module.ui.resultsTable.rowCount == 2
    assert a_module.panel.controller.drawn(a_module.panel._request()).supports == ()
    assert not a_module.shows(a_module.ui.iteratesGroupBox)

    editor = a_module.ui.segmentEditorWidget
    editor.undo()
    a_module.rest()
    assert {name: int(voxels.sum()) for name, voxels in a_module.segments().items()} == {"Structure 1": 0}
    editor.redo()
    a_module.rest()
    check(a_module.segments(), expected)
    assert a_module.panel.controller.drawn(a_module.panel._request()).supports == ()
    assert a_module.messages == []


def test_second_run_writes_into_the_same_segments_and_leaves_others(a_module, a_model_file):
    a_module.paint(MIDDLE, (24, 53), (28, 45))
    drawn = a_module.voxels()
    a_module.apply()
    check(a_module.segments(), what_the_engine_finds(a_model_file), ["Structure 1"])
    a_module.click(a_module.ui.mirrorCheckBox)
    a_module.apply()
    mirrored = what_the_engine_finds(a_model_file, mirror=True)
    assert (mirrored != what_the_engine_finds(a_model_file)).any()
    check(a_module.segments(), mirrored, ["Structure 1"])
    assert np.array_equal(a_module.segments()["Structure 1"], drawn)
    assert a_module.panel._parameters.mirror
    a_module.click(a_module.ui.mirrorCheckBox)


def test_a_corrected_slice_stays_and_is_an_example_for_few_shot(a_module, a_model_file):
    a_module.apply()
    expected = what_the_engine_finds(a_model_file) == 2
    a_module.ui.segmentEditorWidget.setCurrentSegmentID(a_module.segment_id())  # kidney
    a_module.paint(MIDDLE, (24, 30), (20, 60))
    corrected = a_module.voxels()[MIDDLE]
    assert (corrected > 0).sum() > expected[MIDDLE].sum()
    assert a_module.shows(a_module.ui.supportsTable)
    assert a_module.ui.supportsTable.rowCount == 1
    a_module.apply()
    expected[MIDDLE] = corrected
    assert np.array_equal(a_module.voxels() > 0, expected)
    assert "Slices drawn by hand stayed as they were: 1." in a_module.status
    a_module.choose_method("few-shot")
    assert a_module.ui.supportsTable.rowCount == 1


def test_slice_range_and_box_bound_the_result(a_module, a_model_file):
    import slicer

    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box")
    low, high = ((IJK_TO_RAS @ (i, j, k, 1))[:3] for k, j, i in ((0, 10, 12), (29, 70, 68)))
    roi.SetCenter(*(low + high) / 2)
    roi.SetSize(*np.abs(high - low) + 0.1)
    parameters = a_module.panel._parameters
    parameters.region = roi
    parameters.limitSlices, parameters.firstSlice, parameters.lastSlice = True, 6, 20
    a_module.rest()
    a_module.apply()
    check(a_module.segments(), what_the_engine_finds(a_model_file, box=[[12, 69], [10, 71], [6, 21]]))
    parameters.limitSlices, parameters.region = False, None


def test_volume_under_a_transform(a_module, a_model_file):
    import slicer

    from MomentumSegLib.volume_data import vtk_matrix

    turn = np.array([[0.0, 1, 0, 12], [-1, 0, 0, -7], [0, 0, 1, 30], [0, 0, 0, 1]])
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(vtk_matrix(turn))
    for moved in (a_module.volume, a_module.segmentation):
        moved.SetAndObserveTransformNodeID(node.GetID())
    a_module.rest()
    a_module.apply()
    check(a_module.segments(), what_the_engine_finds(a_model_file, turn @ IJK_TO_RAS))


def test_cancel_changes_nothing(a_module):
    a_module.click(a_module.ui.mirrorCheckBox)  # takes longer
    a_module.click(a_module.ui.applyButton)
    a_module.until(lambda: a_module.ui.progressBar.value > 0)
    assert a_module.ui.applyButton.text == "Cancel"
    assert a_module.status == "Segmenting on CPU with Abdomen ..."
    assert not a_module.ui.mirrorCheckBox.enabled
    a_module.click(a_module.ui.applyButton)
    a_module.until(lambda: a_module.ui.applyButton.text == "Apply")
    assert list(a_module.segments()) == ["Structure 1"]
    assert not a_module.voxels().any()
    assert a_module.status == "Cancelled; nothing was changed."
    assert a_module.messages == []
    a_module.click(a_module.ui.mirrorCheckBox)


def test_uncertainty_is_an_overlay(a_module):
    import slicer

    a_module.apply()
    a_module.panel._parameters.showUncertainty = True
    a_module.until(lambda: slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")[-1].GetName() == "scan uncertainty")
    overlay = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")[-1]
    assert slicer.util.arrayFromVolume(overlay).max() > 0.5
    a_module.panel._parameters.showUncertainty = False
    a_module.rest()


def test_choices_come_back_with_the_scene(a_module, tmp_path):
    import slicer

    a_module.click(a_module.ui.mirrorCheckBox)
    a_module.apply()
    found = a_module.segments()
    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path)
    slicer.mrmlScene.Clear(False)
    a_module.rest()
    slicer.util.loadScene(path)
    a_module.rest(0.6)
    assert a_module.ui.methodComboBox.currentText.startswith("Automatic")
    assert a_module.ui.modelComboBox.currentText == "Abdomen"
    assert a_module.ui.mirrorCheckBox.checked
    assert sorted(a_module.segments()) == sorted(found)
    assert a_module.panel.controller.drawn(a_module.panel._request()).supports == ()
    assert a_module.shows(a_module.ui.automaticCollapsibleButton)


def test_a_model_is_imported_from_a_file_and_deleted(a_module, a_store, a_model_file, monkeypatch):
    import qt

    shipped = Path(__file__).parents[2] / "Resources" / "Weights" / "lmsnet-general.safetensors"
    other = a_model_file.with_name("few shot.safetensors")
    shutil.copyfile(shipped, other)
    files = [other]
    monkeypatch.setattr(qt.QFileDialog, "getOpenFileName", lambda *arguments: str(files[-1]))
    a_module.click(a_module.ui.importAutomaticButton)
    a_module.until(lambda: a_module.status.startswith("The file is no model for this method"))
    a_module.until(lambda: sorted(path.name for path in a_store.iterdir()) == ["abdomen.safetensors"])
    assert a_module.panel._parameters.automaticModel == "abdomen"

    files.append(a_model_file)
    a_module.click(a_module.ui.importAutomaticButton)
    a_module.until(lambda: a_module.panel._parameters.automaticModel == "My-abdomen-3")
    a_module.rest()
    assert a_module.ui.modelComboBox.count == 2
    a_module.click(a_module.ui.importAutomaticButton)
    assert a_module.status.startswith("There is a model 'My-abdomen-3' already")

    a_module.ui.methodCollapsibleButton.collapsed = False
    a_module.ui.modelCardGroupBox.collapsed = False
    a_module.rest()
    a_module.click(a_module.ui.deleteModelButton)
    a_module.until(lambda: a_module.panel._parameters.automaticModel == "abdomen")
    assert sorted(path.name for path in a_store.iterdir()) == ["abdomen.safetensors"]
    assert a_model_file.is_file()
    a_module.ui.methodCollapsibleButton.collapsed = True


def test_a_script_segments_with_a_model(a_module, a_model_file):
    import slicer

    from MomentumSegLib.segmentation_output import create_output_segmentation

    node = create_output_segmentation(slicer.mrmlScene, a_module.volume)
    outcome = a_module.widget.logic.segment(a_module.volume, node, method="automatic", model="abdomen")
    assert sorted(row.segment for row in outcome.rows) == ["kidney", "liver"]
    labels = what_the_engine_finds(a_model_file)
    liver = segment_array(node, node.GetSegmentation().GetSegmentIdBySegmentName("liver"), a_module.volume)
    assert liver.shape == SHAPE
    assert np.array_equal(liver > 0, labels == 7)
