"""The machine of trainings, with a worker whose answers the test gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from a_scene import new_scene
from fake_client import FakeClient
from training_scene import GRID, ORGAN, REPORT, ViewOfTest, add_scan, add_segmentation, draw, progress, two_cases

from MomentumSegLib.errors import UserError
from MomentumSegLib.ticks import QueuedTicks
from MomentumSegLib.training_cases import guess_cases
from MomentumSegLib.training_controller import TrainingController
from MomentumSegLib.training_phase import TrainingPhase
from MomentumSegLib.training_request import TrainingRequest, TrainingRun

FOLDER = TrainingRequest("automatic-laptop", folder="/data/liver", title="liver", device="cpu")
PAUSED = TrainingRun("/runs/x", "/runs/x/data", "automatic-laptop", "liver", iteration=300, iterations=1000)


class Bench:
    """A controller with all around it."""

    def __init__(self) -> None:
        self.scene, self._logics = new_scene()
        self.client, self.ticks, self.view = FakeClient(), QueuedTicks(), ViewOfTest()
        self.controller = TrainingController(
            self.scene, self.client, self.ticks, self.view, runs_folder=lambda: "/runs"
        )

    def request(self, **changes: Any) -> TrainingRequest:
        cases = guess_cases(self.scene)
        return replace(TrainingRequest("automatic-laptop", cases, title="my liver", device="cpu"), **changes)

    def answer_cases(self, count: int = 2) -> None:
        """The worker writes the cases."""
        for _index in range(count):
            self.ticks.run()
            for job in self.client.all("set_volume"):
                if job.is_active:
                    job.result({"warnings": []})
            self.client.last("add_training_case").result({})
        self.ticks.run()

    def train(self) -> Any:
        """Start with a folder up to the job of the training."""
        self.controller.start(FOLDER)
        self.client.last("check_training").result(REPORT)
        return self.client.last("train")


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.scene.Clear(True)


def test_cases_of_the_scene_are_written_then_checked_then_trained(bench: Bench) -> None:
    two_cases(bench.scene)
    bench.controller.start(bench.request())
    bench.answer_cases()
    written = [job.parameters for job in bench.client.all("add_training_case")]
    assert [case["name"] for case in written] == ["CT_1", "CT_2"]
    folder = written[0]["run_folder"]
    assert folder.startswith("/runs/") and folder.endswith("-my-liver")
    assert written[0]["labels"] == {1: "organ"} and written[0]["has_labels"] is True
    assert np.array_equal(bench.client.all("add_training_case")[0].arrays["labelmap"], ORGAN)
    check = bench.client.last("check_training")
    assert check.parameters == {
        "recipe": "automatic-laptop", "settings": [], "data": f"{folder}/data", "run_folder": folder, "device": "cpu",
    }  # fmt: skip
    assert len(bench.client.all("forget_volume")) == 2, "the worker's memory is for the training"
    check.result(REPORT)
    train = bench.client.last("train").parameters
    assert train == {
        "recipe": "automatic-laptop", "settings": [], "data": f"{folder}/data", "run_folder": folder,
        "device": "cpu", "title": "my liver",
    }  # fmt: skip
    assert bench.controller.phase is TrainingPhase.TRAINING


def test_check_alone_starts_nothing_and_its_cases_are_used_by_the_start(bench: Bench) -> None:
    two_cases(bench.scene)
    bench.controller.check(bench.request())
    bench.answer_cases()
    bench.client.last("check_training").result(REPORT)
    assert bench.controller.phase is TrainingPhase.IDLE
    assert not bench.client.all("train")
    (folder,) = bench.controller.draft_folders
    bench.controller.start(bench.request(settings=("training.batch=1",)))
    assert len(bench.client.all("add_training_case")) == 2, "the same cases are not written twice"
    bench.client.last("check_training").result(REPORT)
    assert bench.client.last("train").parameters["run_folder"] == folder
    assert bench.client.last("train").parameters["settings"] == ["training.batch=1"]
    assert bench.controller.draft_folders == ()


def test_changed_segmentation_is_written_again(bench: Bench) -> None:
    two_cases(bench.scene)
    bench.controller.check(bench.request())
    bench.answer_cases()
    bench.client.last("check_training").result(REPORT)
    node = bench.scene.GetNodeByID(bench.request().cases[0].segmentation_id)
    draw(node, node.GetSegmentation().GetNthSegmentID(0), np.roll(ORGAN, 1, axis=0))
    bench.controller.start(bench.request())
    bench.answer_cases()
    folders = [job.parameters["run_folder"] for job in bench.client.all("add_training_case")]
    assert len(folders) == 4 and len(set(folders)) == 2


def test_unlabelled_case_is_sent_without_labels(bench: Bench) -> None:
    two_cases(bench.scene)
    add_scan(bench.scene, "CT 3")
    cases = tuple(replace(case, is_used=True) for case in guess_cases(bench.scene))
    bench.controller.start(bench.request(cases=cases))
    bench.answer_cases(3)
    last = bench.client.last("add_training_case")
    assert last.parameters["has_labels"] is False and last.parameters["labels"] is None and not last.arrays


def test_case_that_is_not_ticked_stays_out(bench: Bench) -> None:
    two_cases(bench.scene)
    add_scan(bench.scene, "CT 3")
    bench.controller.start(bench.request())
    bench.answer_cases()
    assert len(bench.client.all("add_training_case")) == 2
    assert bench.client.all("check_training")


def test_folder_is_used_where_it_lies(bench: Bench) -> None:
    bench.train()
    parameters = bench.client.last("train").parameters
    assert parameters["data"] == "/data/liver"
    assert parameters["run_folder"].startswith("/runs/")
    assert bench.client.last("check_training").parameters["run_folder"] == parameters["run_folder"]
    assert not bench.client.all("add_training_case")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"recipe": ""}, "Choose a recipe first."),
        ({"folder": " "}, "Choose the folder of the cases first."),
    ],
)
def test_what_is_missing_is_said_before_the_worker_is_asked(bench: Bench, changes: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        bench.controller.start(replace(FOLDER, **changes))
    assert not bench.client.jobs and bench.controller.phase is TrainingPhase.IDLE


def test_a_single_case_is_refused_at_once(bench: Bench) -> None:
    add_segmentation(bench.scene, add_scan(bench.scene, "CT 1"), {"organ": ORGAN})
    with pytest.raises(UserError, match="One segmented scan is not enough"):
        bench.controller.start(bench.request())
    assert not bench.client.jobs


def test_segmentation_of_another_place_ends_the_check_in_one_sentence(bench: Bench) -> None:
    two_cases(bench.scene)
    node = bench.scene.GetNodeByID(bench.request().cases[1].segmentation_id)
    far = GRID.copy()
    far[:3, 3] += 500
    draw(node, node.GetSegmentation().GetNthSegmentID(0), ORGAN, far)
    bench.controller.start(bench.request())
    bench.answer_cases(1)
    assert len(bench.view.failures) == 1 and 'lies outside the volume "CT 2"' in bench.view.failures[0]
    assert bench.controller.phase is TrainingPhase.IDLE
    assert not bench.client.all("check_training")


def test_volume_deleted_while_cases_are_taken(bench: Bench) -> None:
    _first, second = two_cases(bench.scene)
    bench.controller.start(bench.request())
    bench.scene.RemoveNode(second)
    bench.answer_cases(1)
    assert len(bench.view.failures) == 1
    assert bench.controller.phase is TrainingPhase.IDLE


def test_problems_of_the_check_stop_the_start(bench: Bench) -> None:
    bench.controller.start(FOLDER)
    problem = "The label 7 of case a is not in dataset.json: add it, or correct the file."
    bench.client.last("check_training").result({**REPORT, "problems": [problem]})
    assert bench.view.failures == [problem]
    assert bench.view.reports[0]["problems"] == [problem]
    assert not bench.client.all("train") and bench.controller.phase is TrainingPhase.IDLE


def test_too_little_memory_is_asked_about(bench: Bench) -> None:
    report = {**REPORT, "memory": {**REPORT["memory"], "fits": False}}
    bench.view.answer = False
    bench.controller.start(FOLDER)
    bench.client.last("check_training").result(report)
    assert len(bench.view.questions) == 1 and not bench.client.all("train")
    bench.view.answer = True
    bench.controller.start(FOLDER)
    bench.client.last("check_training").result(report)
    assert bench.client.all("train")


def test_lacking_structures_are_among_the_warnings(bench: Bench) -> None:
    first, second = add_scan(bench.scene, "CT 1"), add_scan(bench.scene, "CT 2")
    add_segmentation(bench.scene, first, {"organ": ORGAN, "tumour": ORGAN})
    add_segmentation(bench.scene, second, {"organ": ORGAN})
    bench.controller.check(bench.request())
    bench.answer_cases()
    bench.client.last("check_training").result({**REPORT, "warnings": ["few cases"]})
    lacking, few = bench.view.reports[0]["warnings"]
    assert 'no segment "tumour"' in lacking and few == "few cases"


def test_pause_and_resume_go_on_with_the_same_folder(bench: Bench) -> None:
    job = bench.train()
    job.partial(progress(120))
    bench.controller.pause()
    assert job.state == "cancelling" and bench.controller.phase is TrainingPhase.PAUSING
    job.result({})
    assert bench.controller.phase is TrainingPhase.PAUSED
    assert bench.view.sentences[-1].startswith("Paused at iteration 120 of 1000.")
    bench.controller.resume(device="cuda:0")
    again = bench.client.last("train")
    assert again is not job
    assert again.parameters["run_folder"] == job.parameters["run_folder"]
    assert again.parameters["device"] == "cuda:0"
    again.result({"run_folder": "x", "metrics": {"organ": 0.9, "mean": 0.9}, "score": 0.9})
    assert bench.controller.phase is TrainingPhase.FINISHED
    run, values = bench.view.ended[0]
    assert run.score == 0.9 and run.state == "finished" and values["metrics"]["organ"] == 0.9


def test_stop_and_keep_pauses_first_and_makes_the_model(bench: Bench) -> None:
    job = bench.train()
    bench.controller.keep()
    assert job.state == "cancelling" and not bench.client.all("finish_training")
    job.result({})
    assert bench.controller.phase is TrainingPhase.KEEPING
    finish = bench.client.last("finish_training")
    assert finish.parameters == {"run_folder": job.parameters["run_folder"]}
    finish.result({"score": 0.7})
    assert bench.controller.phase is TrainingPhase.FINISHED
    assert bench.view.ended[0][0].score == 0.7


def test_stop_and_keep_that_cannot_leaves_the_training_paused(bench: Bench) -> None:
    bench.controller.show(PAUSED)
    bench.controller.keep()
    bench.client.last("finish_training").fail("user", "No validation was made yet: resume the training first.")
    assert bench.controller.phase is TrainingPhase.PAUSED
    assert bench.view.failures == ["No validation was made yet: resume the training first."]


def test_worker_that_dies_while_it_trains_leaves_a_training_that_goes_on(bench: Bench) -> None:
    job = bench.train()
    job.partial(progress(50))
    bench.client.die()
    assert bench.view.failures == [
        "The training worker ended unexpectedly: press Resume, and it goes on from the last checkpoint."
    ]
    assert bench.controller.phase is TrainingPhase.PAUSED
    bench.controller.resume()
    assert bench.client.last("train").parameters["run_folder"] == job.parameters["run_folder"]
    assert bench.controller.phase is TrainingPhase.TRAINING


def test_worker_that_dies_while_cases_are_taken(bench: Bench) -> None:
    two_cases(bench.scene)
    bench.controller.start(bench.request())
    bench.ticks.run()
    bench.client.die()
    assert len(bench.view.failures) == 1
    assert bench.controller.phase is TrainingPhase.IDLE
    bench.controller.start(bench.request())
    bench.answer_cases()
    assert bench.client.all("check_training")


def test_loss_that_is_no_number_is_said_and_the_training_is_kept(bench: Bench) -> None:
    job = bench.train()
    sentence = "Training diverged: the loss up to iteration 20 is not a number; lower optimizer.lr."
    job.fail("user", sentence)
    assert bench.view.failures == [sentence]
    assert bench.controller.phase is TrainingPhase.PAUSED


def test_check_can_be_given_up(bench: Bench) -> None:
    two_cases(bench.scene)
    bench.controller.start(bench.request())
    bench.controller.pause()
    for job in bench.client.jobs:
        if job.state == "cancelling":
            job.result({})
    bench.ticks.run()
    assert bench.controller.phase is TrainingPhase.IDLE
    assert not bench.view.failures and not bench.client.all("check_training")
    bench.controller.check(FOLDER)
    job = bench.client.last("check_training")
    bench.controller.pause()
    job.result(REPORT)
    assert bench.controller.phase is TrainingPhase.IDLE and bench.view.sentences[-1] == "Given up; nothing was started."


def test_earlier_training_is_taken_up(bench: Bench) -> None:
    bench.controller.show(PAUSED)
    assert bench.controller.phase is TrainingPhase.PAUSED
    bench.controller.resume()
    parameters = bench.client.last("train").parameters
    assert (parameters["run_folder"], parameters["data"]) == ("/runs/x", "/runs/x/data")
    bench.client.last("train").result({"score": 0.8})
    bench.controller.set_aside()
    assert bench.controller.phase is TrainingPhase.IDLE and bench.controller.run is None


def test_nothing_can_be_started_twice(bench: Bench) -> None:
    bench.train()
    bench.controller.start(FOLDER)
    bench.controller.resume(PAUSED)
    bench.controller.show(PAUSED)
    bench.controller.set_aside()
    assert len(bench.client.all("train")) == 1 and len(bench.client.all("check_training")) == 1
    assert bench.controller.phase is TrainingPhase.TRAINING


def test_closed_scene_does_not_concern_a_training(bench: Bench) -> None:
    two_cases(bench.scene)
    bench.controller.start(bench.request())
    bench.answer_cases()
    bench.client.last("check_training").result(REPORT)
    bench.scene.Clear(False)
    job = bench.client.last("train")
    job.partial(progress(10))
    job.result({"score": 0.6})
    assert bench.controller.phase is TrainingPhase.FINISHED and not bench.view.failures
