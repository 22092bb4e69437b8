"""The controller of runs on a real scene, with a worker that the test plays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import slicer
from a_scene import add_volume, new_scene
from fake_client import FakeClient, FakeJob

from MomentumSegLib.errors import UserError
from MomentumSegLib.few_shot_request import FewShotRequest
from MomentumSegLib.phase import Phase
from MomentumSegLib.results_table import find_results_table
from MomentumSegLib.run_controller import RunController
from MomentumSegLib.segment_voxels import oriented_image, read_segment
from MomentumSegLib.segmentation_output import create_output_segmentation
from MomentumSegLib.slice_geometry import nodes_of_class
from MomentumSegLib.ticks import QueuedTicks
from MomentumSegLib.volume_data import read_volume_geometry

SHAPE = (10, 12, 14)
IJK_TO_RAS = np.array([[-2.0, 0, 0, 10], [0, -2.0, 0, 5], [0, 0, 4.0, -30], [0, 0, 0, 1]])


class View:
    """Keeps what the controller tells."""

    def __init__(self) -> None:
        self.phases: list[Phase] = []
        self.progress: list[float] = []
        self.sentences: list[str] = []
        self.outcomes: list = []
        self.failures: list[tuple[str, str, str]] = []

    def phase_changed(self, phase: Phase) -> None:
        self.phases.append(phase)

    def progressed(self, fraction: float, remaining_seconds: float | None) -> None:
        self.progress.append(fraction)

    def said(self, sentence: str) -> None:
        self.sentences.append(sentence)

    def finished(self, outcome: object) -> None:
        self.outcomes.append(outcome)

    def failed(self, kind: str, sentence: str, reason: str) -> None:
        self.failures.append((kind, sentence, reason))


class Undo:
    def __init__(self) -> None:
        self.states = 0

    def saveStateForUndo(self) -> None:
        self.states += 1


class Setting:
    """A scene with a volume, a segmentation with two segments, and a controller with a worker that the test plays."""

    def __init__(self) -> None:
        self.scene, self._logics = new_scene()
        self.client, self.ticks, self.view, self.undo = FakeClient(), QueuedTicks(), View(), Undo()
        rng = np.random.default_rng(3)
        self.volume = add_volume(self.scene, rng.integers(0, 100, SHAPE).astype(np.int16), IJK_TO_RAS)
        self.segmentation = create_output_segmentation(self.scene, self.volume)
        self.liver = self.segmentation.GetSegmentation().AddEmptySegment("liver", "Liver")
        self.kidney = self.segmentation.GetSegmentation().AddEmptySegment("kidney", "Kidney")
        self.controller = RunController(self.scene, self.client, self.ticks, self.view, undo=self.undo)
        self.request = FewShotRequest(
            volume_id=self.volume.GetID(),
            segmentation_id=self.segmentation.GetID(),
            plane="axial",
            model="lmsnet-general",
            device="cpu",
            model_title="LMS-Net, general",
            device_name="CPU",
        )

    def close(self) -> None:
        """Before Python collects the parts in any order."""
        self.controller.close()
        self.scene.Clear(True)

    def draw(self, segment_id: str, slice_index: int, rows: slice, columns: slice, node: object = None) -> None:
        """Draw a rectangle on an axial slice, beside what the segment holds."""
        node = node or self.segmentation
        voxels = self.voxels(segment_id, node)
        voxels[slice_index, rows, columns] = 1
        self.set_voxels(segment_id, voxels, node)

    def set_voxels(self, segment_id: str, voxels: np.ndarray, node: object = None) -> None:
        image = oriented_image(voxels, (0, 0, 0), IJK_TO_RAS)
        node = node or self.segmentation
        slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(image, node, segment_id)

    def voxels(self, segment_id: str, node: object = None) -> np.ndarray:
        volume = read_volume_geometry(self.volume)
        return read_segment(node or self.segmentation, segment_id, volume).window((0, 0, 0), SHAPE)

    def apply(self, **changes: object) -> FakeJob:
        """Press Apply; returns the request that reached the worker."""
        self.apply_request(**changes)
        return self.client.last("segment")

    def apply_request(self, **changes: object) -> None:
        self.controller.apply(replace(self.request, **changes))
        self.ticks.run()

    def answer(self, job: FakeJob, labelmap: np.ndarray, **values: object) -> None:
        """The worker's result: a labelmap of the whole volume."""
        answer = {
            "labels": [1],
            "origin": [0, 0, 0],
            "uncertainty_origin": [0, 0, 0],
            "volume_ml": {1: 1.5},
            "label_uncertainty": {1: 0.25},
            "mean_uncertainty": {3: 0.5},
            "next_slice": 7,
            "slice_axis": 0,
            "seconds": 0.5,
            **values,
        }
        job.result(answer, labelmap=labelmap, uncertainty=np.zeros(SHAPE, np.uint8))
        self.ticks.run()

    @property
    def previews(self) -> list:
        return [n for n in nodes_of_class(self.scene, "vtkMRMLSegmentationNode") if n.GetName().endswith("preview")]


@pytest.fixture
def a_setting() -> Iterator[Setting]:
    setting = Setting()
    yield setting
    setting.close()


@pytest.fixture
def a_drawn_setting(a_setting: Setting) -> Setting:
    a_setting.draw("liver", 4, slice(2, 6), slice(3, 8))
    return a_setting


def a_result() -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:8, 3:7, 3:8] = 1
    return labels


def test_nothing_drawn_is_said_and_nothing_is_sent(a_setting):
    with pytest.raises(UserError, match="Nothing is drawn yet"):
        a_setting.controller.apply(a_setting.request)
    assert a_setting.controller.phase is Phase.IDLE
    assert a_setting.client.jobs == []


def test_request_holds_volume_and_drawn_slices(a_drawn_setting):
    a_drawn_setting.draw("kidney", 6, slice(8, 10), slice(1, 3))
    job = a_drawn_setting.apply(slice_range=(2, 9))

    sent = a_drawn_setting.client.last("set_volume")
    assert np.array_equal(sent.arrays["voxels"], slicer_array(a_drawn_setting.volume))
    assert sent.parameters["ijk_to_ras"] == IJK_TO_RAS.tolist()
    assert a_drawn_setting.client.jobs.index(sent) < a_drawn_setting.client.jobs.index(job)
    assert [(s["label"], s["slice_index"]) for s in job.parameters["supports"]] == [(1, 4), (2, 6)]
    mask = job.arrays[job.parameters["supports"][0]["mask"]]
    assert mask.dtype == np.uint8
    assert mask.shape == SHAPE[1:]
    assert (mask > 0).sum() == 20
    assert mask[2:6, 3:8].all()
    assert job.parameters["slice_range"] == [2, 9]
    assert job.parameters["box"] == [[0, 14], [0, 12], [2, 9]]


def slicer_array(volume: object) -> np.ndarray:
    from vtkmodules.util.numpy_support import vtk_to_numpy

    return vtk_to_numpy(volume.GetImageData().GetPointData().GetScalars()).reshape(SHAPE)


def test_result_is_written_once_and_drawn_slices_stay(a_drawn_setting):
    job = a_drawn_setting.apply()
    job.progress(0.5, 2.0)
    assert a_drawn_setting.view.sentences[-1] == "Segmenting on CPU with LMS-Net, general ..."
    drawn = a_drawn_setting.voxels("liver")[4].copy()
    a_drawn_setting.answer(job, a_result())

    expected = a_result()
    expected[4] = drawn
    assert np.array_equal(a_drawn_setting.voxels("liver"), expected)
    assert a_drawn_setting.undo.states == 1
    assert a_drawn_setting.view.phases == [Phase.STARTING, Phase.RUNNING, Phase.WRITING, Phase.IDLE]
    outcome = a_drawn_setting.view.outcomes[0]
    assert outcome.next_slice == 7
    (row,) = outcome.rows
    assert (row.segment, row.voxels, row.mean_uncertainty, row.drawn_slices) == ("Liver", 120, 0.25, 1)
    assert row.volume_ml == pytest.approx(120 * 0.016)
    assert find_results_table(a_drawn_setting.segmentation).GetNumberOfRows() == 1
    assert a_drawn_setting.view.sentences[-1].startswith("Done in 0.5 s: Liver 1.9 ml.")


def test_corrected_slice_is_added_to_the_supports(a_drawn_setting):
    a_drawn_setting.answer(a_drawn_setting.apply(), a_result())
    a_drawn_setting.draw("liver", 7, slice(0, 2), slice(0, 2))
    job = a_drawn_setting.apply()
    assert [s["slice_index"] for s in job.parameters["supports"]] == [4, 7]
    assert len(a_drawn_setting.client.all("set_volume")) == 1  # the worker has it


def test_what_is_drawn_while_it_runs_is_not_lost(a_drawn_setting):
    job = a_drawn_setting.apply()
    a_drawn_setting.draw("liver", 6, slice(10, 12), slice(10, 14))
    a_drawn_setting.answer(job, a_result())
    assert a_drawn_setting.voxels("liver")[6].sum() == 8
    assert a_drawn_setting.voxels("liver")[5].sum() == 20


def test_slices_appear_in_a_preview_that_vanishes(a_drawn_setting):
    job = a_drawn_setting.apply()
    before = a_drawn_setting.voxels("liver").copy()
    job.partial({"slice_index": 5, "final": False, "origin": [1, 2]}, labels=np.ones((3, 4), np.uint8))
    job.partial({"slice_index": 6, "final": False, "origin": [0, 0]})
    (preview,) = a_drawn_setting.previews
    assert a_drawn_setting.voxels("label1", preview)[5, 1:4, 2:6].all()
    assert np.array_equal(a_drawn_setting.voxels("liver"), before)
    a_drawn_setting.answer(job, a_result())
    assert a_drawn_setting.previews == []


def test_cancel_leaves_all_as_it_was(a_drawn_setting):
    before = a_drawn_setting.voxels("liver").copy()
    count = a_drawn_setting.scene.GetNumberOfNodes()
    job = a_drawn_setting.apply()
    job.partial({"slice_index": 5, "final": False, "origin": [1, 2]}, labels=np.ones((3, 4), np.uint8))
    a_drawn_setting.controller.cancel()
    assert a_drawn_setting.previews == []
    assert a_drawn_setting.controller.phase is Phase.CANCELLING
    job.fail("cancelled", "Cancelled; nothing was changed.")
    assert a_drawn_setting.controller.phase is Phase.IDLE
    assert np.array_equal(a_drawn_setting.voxels("liver"), before)
    assert a_drawn_setting.scene.GetNumberOfNodes() == count
    assert a_drawn_setting.view.failures == []
    assert a_drawn_setting.undo.states == 0


def test_result_that_overtakes_the_cancel_is_dropped(a_drawn_setting):
    job = a_drawn_setting.apply()
    a_drawn_setting.controller.cancel()
    job.state = "running"  # the worker was done before it heard of it
    a_drawn_setting.answer(job, a_result())
    assert a_drawn_setting.voxels("liver").sum() == 20
    assert a_drawn_setting.controller.phase is Phase.IDLE


def test_a_hundred_times_apply_and_cancel(a_drawn_setting):
    for _ in range(100):
        job = a_drawn_setting.apply()
        a_drawn_setting.controller.cancel()
        a_drawn_setting.controller.cancel()
        with pytest.raises(UserError, match="is running"):
            a_drawn_setting.controller.apply(a_drawn_setting.request)
        job.fail("cancelled", "Cancelled; nothing was changed.")
    assert len(a_drawn_setting.client.all("set_volume")) == 1
    a_drawn_setting.answer(a_drawn_setting.apply(), a_result())
    assert a_drawn_setting.voxels("liver")[3].sum() == 20
    assert a_drawn_setting.view.failures == []


def test_cancel_while_the_volume_is_copied_sends_no_request(a_drawn_setting):
    a_drawn_setting.controller.apply(a_drawn_setting.request)  # copying goes on in later ticks for large volumes
    a_drawn_setting.controller.cancel()
    a_drawn_setting.ticks.run()
    for job in a_drawn_setting.client.jobs:
        if job.is_active:
            job.fail("cancelled", "Cancelled; nothing was changed.")
    assert a_drawn_setting.controller.phase is Phase.IDLE


def test_worker_that_dies_is_said_and_the_next_run_sends_the_volume_again(a_drawn_setting):
    before = a_drawn_setting.voxels("liver").copy()
    a_drawn_setting.apply().progress(0.2)
    a_drawn_setting.client.die()
    assert a_drawn_setting.controller.phase is Phase.IDLE
    assert [kind for kind, _, _ in a_drawn_setting.view.failures] == ["crashed"]
    assert "ended unexpectedly" in a_drawn_setting.view.sentences[-1]
    assert np.array_equal(a_drawn_setting.voxels("liver"), before)

    job = a_drawn_setting.apply()
    assert len(a_drawn_setting.client.all("set_volume")) == 2
    a_drawn_setting.answer(job, a_result())
    assert len(a_drawn_setting.view.outcomes) == 1


def test_worker_that_cannot_start_tells_why(a_drawn_setting):
    job = a_drawn_setting.apply()
    job.fail("start", "The worker's Python has no torch.", reason="missing packages")
    assert a_drawn_setting.view.failures == [("start", "The worker's Python has no torch.", "missing packages")]
    assert a_drawn_setting.controller.phase is Phase.IDLE


def test_volume_deleted_while_it_runs(a_drawn_setting):
    job = a_drawn_setting.apply()
    a_drawn_setting.scene.RemoveNode(a_drawn_setting.volume)
    assert a_drawn_setting.controller.phase is Phase.CANCELLING
    job.fail("cancelled", "Cancelled; nothing was changed.")
    assert a_drawn_setting.view.sentences[-1] == "The volume was deleted, so its segmentation was cancelled."
    assert a_drawn_setting.view.failures == []


def test_segmentation_deleted_while_it_runs(a_drawn_setting):
    job = a_drawn_setting.apply()
    job.partial({"slice_index": 5, "final": False, "origin": [1, 2]}, labels=np.ones((3, 4), np.uint8))
    a_drawn_setting.scene.RemoveNode(a_drawn_setting.segmentation)
    job.fail("cancelled", "Cancelled; nothing was changed.")
    assert a_drawn_setting.view.sentences[-1] == "The output segmentation was deleted, so the run was cancelled."
    assert a_drawn_setting.previews == []


def test_segmentation_deleted_while_the_result_is_on_its_way(a_drawn_setting):
    job = a_drawn_setting.apply()
    job.result({"origin": [0, 0, 0]}, labelmap=a_result())
    assert a_drawn_setting.controller.phase is Phase.WRITING
    a_drawn_setting.scene.RemoveNode(a_drawn_setting.segmentation)
    a_drawn_setting.ticks.run()
    assert a_drawn_setting.controller.phase is Phase.IDLE
    assert len(a_drawn_setting.view.failures) == 1


def test_scene_closed_while_it_runs(a_drawn_setting):
    job = a_drawn_setting.apply()
    job.partial({"slice_index": 5, "final": False, "origin": [1, 2]}, labels=np.ones((3, 4), np.uint8))
    a_drawn_setting.scene.Clear(False)
    job.fail("cancelled", "Cancelled; nothing was changed.")
    assert a_drawn_setting.controller.phase is Phase.IDLE
    assert a_drawn_setting.view.sentences[-1] == "The scene was closed, so the segmentation was cancelled."
    assert nodes_of_class(a_drawn_setting.scene, "vtkMRMLSegmentationNode") == []
    assert a_drawn_setting.client.last("forget_volume").parameters == {"volume": a_drawn_setting.request.volume_id}


def test_two_volumes_in_turn(a_drawn_setting):
    first = a_drawn_setting
    other = add_volume(first.scene, np.ones(SHAPE, np.int16), IJK_TO_RAS, "second scan")
    other_segmentation = create_output_segmentation(first.scene, other)
    other_segmentation.GetSegmentation().AddEmptySegment("liver", "Liver")
    first.draw("liver", 2, slice(0, 3), slice(0, 3), other_segmentation)
    first.answer(first.apply(), a_result())
    job = first.apply(volume_id=other.GetID(), segmentation_id=other_segmentation.GetID())
    first.answer(job, a_result())
    first.apply()
    assert [j.parameters["volume"] for j in first.client.all("segment")] == [
        first.volume.GetID(),
        other.GetID(),
        first.volume.GetID(),
    ]
    assert len(first.client.all("set_volume")) == 2


def test_changed_volume_is_sent_again(a_drawn_setting):
    a_drawn_setting.answer(a_drawn_setting.apply(), a_result())
    slicer_array(a_drawn_setting.volume)[:] += 1
    a_drawn_setting.volume.GetImageData().Modified()
    a_drawn_setting.apply()
    assert len(a_drawn_setting.client.all("set_volume")) == 2


def test_slices_of_another_volume_are_matched_by_name(a_setting):
    other = add_volume(a_setting.scene, np.ones(SHAPE, np.int16), IJK_TO_RAS, "atlas")
    atlas = create_output_segmentation(a_setting.scene, other)
    for name in ("Kidney", "Spleen"):
        atlas.GetSegmentation().AddEmptySegment(name, name)
    a_setting.draw("Kidney", 5, slice(0, 4), slice(0, 4), atlas)
    a_setting.draw("Spleen", 5, slice(6, 9), slice(6, 9), atlas)
    job = a_setting.apply(support_volume_id=other.GetID(), support_segmentation_id=atlas.GetID())
    assert {s["volume"] for s in job.parameters["supports"]} == {other.GetID()}
    assert {j.parameters["volume"] for j in a_setting.client.all("set_volume")} == {
        other.GetID(),
        a_setting.volume.GetID(),
    }

    labels = np.zeros(SHAPE, np.uint8)
    labels[3, :3, :3], labels[4, 6:9, 6:9] = 1, 2
    a_setting.answer(job, labels, labels=[1, 2], volume_ml={1: 1.0, 2: 2.0})
    assert a_setting.voxels("kidney").sum() == 9
    spleen = a_setting.segmentation.GetSegmentation().GetSegmentIdBySegmentName("Spleen")
    assert a_setting.voxels(spleen).sum() == 9
    assert a_setting.undo.states == 1


def test_same_result_takes_no_undo_step(a_drawn_setting):
    a_drawn_setting.answer(a_drawn_setting.apply(), a_result())
    a_drawn_setting.answer(a_drawn_setting.apply(), a_result())
    assert a_drawn_setting.undo.states == 1
    assert "the same as before" in a_drawn_setting.view.sentences[-1]


def test_closed_controller_hears_nothing(a_drawn_setting):
    job = a_drawn_setting.apply()
    a_drawn_setting.controller.close()
    told = len(a_drawn_setting.view.sentences)
    job.result({"origin": [0, 0, 0]}, labelmap=a_result())
    a_drawn_setting.ticks.run()
    a_drawn_setting.scene.RemoveNode(a_drawn_setting.volume)
    assert len(a_drawn_setting.view.sentences) == told
