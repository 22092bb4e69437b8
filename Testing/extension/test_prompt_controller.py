"""The prompt controller on a real scene, with a worker that the test plays."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from prompt_scene import SHAPE, PromptScene, a_square

from MomentumSegLib.errors import UserError
from MomentumSegLib.phase import Phase
from MomentumSegLib.prompt_nodes import BOX, NEGATIVE, POSITIVE, kind_of


@pytest.fixture
def a_scene() -> Iterator[PromptScene]:
    scene = PromptScene()
    scene.look(slice_on_screen=4)
    yield scene
    scene.close()


def test_nothing_is_asked_without_prompts(a_scene):
    assert a_scene.client.all("prompt_predict") == []
    assert a_scene.previews == []


def test_click_is_asked_in_columns_and_rows_of_its_slice(a_scene):
    a_scene.click(4, 3.25, 6)
    job = a_scene.question
    assert job.parameters["slice_index"] == 4
    assert job.parameters["prompts"] == [{"kind": "point", "x": 6.0, "y": 3.25, "positive": True}]
    assert [j.method for j in a_scene.client.jobs] == ["set_volume", "prompt_predict"]


def test_answer_is_previewed_and_the_segment_untouched(a_scene):
    a_scene.click(4, 3, 6)
    a_scene.answer(a_square(2, 7))
    assert np.array_equal(a_scene.previewed()[4], a_square(2, 7))
    assert a_scene.previewed().sum() == 25
    assert not a_scene.voxels().any()
    assert a_scene.view.answers[0].predicted_iou == 0.9


def test_accept_is_one_undo_step_and_undo_brings_the_preview_back(a_scene):
    a_scene.click(4, 3, 6)
    a_scene.answer(a_square(2, 7))
    assert a_scene.controller.accept()
    assert a_scene.editor.states == 1
    assert np.array_equal(a_scene.voxels()[4], a_square(2, 7))
    assert a_scene.previews == []
    a_scene.editor.logic.Undo()
    a_scene.look(4)
    assert not a_scene.voxels().any()
    assert np.array_equal(a_scene.previewed()[4], a_square(2, 7))
    a_scene.editor.logic.Redo()
    a_scene.look(4)
    assert np.array_equal(a_scene.voxels()[4], a_square(2, 7))
    assert a_scene.previews == []
    assert len(a_scene.client.all("prompt_predict")) == 1


def test_another_click_corrects_what_was_accepted(a_scene):
    a_scene.click(4, 3, 6)
    a_scene.answer(a_square(2, 7))
    a_scene.controller.accept()
    a_scene.click(4, 5, 5, positive=False)
    assert [p["positive"] for p in a_scene.question.parameters["prompts"]] == [True, False]
    a_scene.answer(a_square(2, 4))
    a_scene.controller.accept()
    assert np.array_equal(a_scene.voxels()[4], a_square(2, 4))


def test_what_was_drawn_before_is_kept(a_scene):
    drawn = np.zeros(SHAPE, np.uint8)
    drawn[4, 9:11, 9:11] = 1
    drawn[7, 0:3, 0:3] = 1
    a_scene.set_voxels(drawn)
    a_scene.look(4)
    a_scene.click(4, 3, 6)
    a_scene.answer(a_square(2, 7))
    a_scene.controller.accept()
    expected = drawn.copy()
    expected[4] |= a_square(2, 7)
    assert np.array_equal(a_scene.voxels(), expected)


def test_refining_asks_with_the_mask_and_replaces_it(a_scene):
    drawn = np.zeros(SHAPE, np.uint8)
    drawn[4], drawn[7] = a_square(5, 11), a_square(0, 3)
    a_scene.set_voxels(drawn)
    a_scene.look(4, refine=True)
    assert a_scene.client.all("prompt_predict") == []
    a_scene.click(4, 6, 6)
    job = a_scene.question
    assert [p["kind"] for p in job.parameters["prompts"]] == ["mask", "point"]
    assert np.array_equal(job.arrays[job.parameters["prompts"][0]["mask"]], a_square(5, 11))
    a_scene.answer(a_square(6, 9))
    a_scene.controller.accept()
    expected = drawn.copy()
    expected[4] = a_square(6, 9)
    assert np.array_equal(a_scene.voxels(), expected)
    assert a_scene.previews == []  # what is accepted is not asked again with itself


def test_masks_of_two_slices_are_accepted_together_and_the_slices_between_stay(a_scene):
    drawn = np.zeros(SHAPE, np.uint8)
    drawn[5] = a_square(1, 3)
    a_scene.set_voxels(drawn)
    a_scene.click(4, 3, 6)
    a_scene.answer(a_square(2, 7))
    a_scene.click(8, 3, 6)
    a_scene.answer(a_square(3, 6))
    a_scene.controller.accept()
    expected = drawn.copy()
    expected[4], expected[8] = a_square(2, 7), a_square(3, 6)
    assert np.array_equal(a_scene.voxels(), expected)
    assert a_scene.editor.states == 1


def test_order_of_prompts_is_kept_over_both_nodes(a_scene):
    a_scene.click(4, 3, 6)
    a_scene.click(4, 5, 5, positive=False)
    a_scene.click(4, 2, 2)
    a_scene.answer(a_square(2, 7))
    assert [(p["x"], p["positive"]) for p in a_scene.question.parameters["prompts"]] == [
        (6.0, True), (5.0, False), (2.0, True)]  # fmt: skip


def test_a_hundred_rapid_clicks_ask_twice(a_scene):
    for number in range(100):
        a_scene.click(4, 2 + number % 7, 2 + number // 10)
    assert len(a_scene.client.all("prompt_predict")) == 1
    a_scene.answer(a_square(2, 7))
    assert len(a_scene.client.all("prompt_predict")) == 2
    assert len(a_scene.question.parameters["prompts"]) == 100
    a_scene.answer(a_square(3, 7))
    assert len(a_scene.client.all("prompt_predict")) == 2
    assert np.array_equal(a_scene.previewed()[4], a_square(3, 7))


def test_accept_before_the_answer_waits_for_it(a_scene):
    a_scene.click(4, 3, 6)
    assert not a_scene.controller.accept()
    assert a_scene.view.sentences[-1] == "The mask is accepted as soon as it is there."
    a_scene.answer(a_square(2, 7))
    assert np.array_equal(a_scene.voxels()[4], a_square(2, 7))


def test_take_back_goes_from_the_last_prompt_to_the_first(a_scene):
    a_scene.click(4, 3, 6)
    a_scene.box(4, (2, 2), (8, 9))
    a_scene.click(4, 5, 5, positive=False)
    for left in (["point", "box"], ["point"]):
        assert a_scene.controller.take_back()
        a_scene.ticks.run()
        assert [entry["kind"] for entry in a_scene.controller.prompts.slices[4].entries] == left
    assert a_scene.controller.take_back()
    a_scene.ticks.run()
    assert not a_scene.controller.take_back()
    assert "no point or box" in a_scene.view.sentences[-1]


def test_taking_everything_back_removes_the_preview(a_scene):
    a_scene.click(4, 3, 6)
    a_scene.answer(a_square(2, 7))
    a_scene.controller.take_back()
    a_scene.ticks.run()
    assert a_scene.previews == []


def test_box_is_a_prompt_on_its_slice_and_one_slice_deep(a_scene):
    node = a_scene.box(4, (2, 3), (8, 9))
    (prompt,) = a_scene.question.parameters["prompts"]
    assert prompt == {"kind": "box", "x0": 3.0, "y0": 2.0, "x1": 9.0, "y1": 8.0}
    assert node.GetSize()[2] == pytest.approx(4.0)
    assert a_scene.controller.prompts.bounds == ()


def test_deeper_box_stays_on_its_slice_and_bounds_following(a_scene):
    node = a_scene.box(4, (2, 3), (8, 9))
    node.SetCenterWorld(*a_scene.ras(5, 5, 6))
    node.SetSize(12, 12, 16.1)
    a_scene.ticks.run()
    assert list(a_scene.controller.prompts.slices) == [4]
    assert a_scene.controller.prompts.bounds == (((3, 10), (2, 9), (3, 8)),)
    a_scene.controller.follow(a_scene.request)
    assert a_scene.client.last("prompt_follow").parameters["roi"] == [[[3, 10], [2, 9], [3, 8]]]


def test_prompt_outside_the_volume_is_said_and_others_work(a_scene):
    a_scene.click(4, 3, 6)
    a_scene.click(4, 300, 6)
    assert "'Liver +' lies outside the volume" in a_scene.view.sentences[-1]
    a_scene.answer(a_square(2, 7))
    assert len(a_scene.question.parameters["prompts"]) == 1


def test_refusal_of_the_worker_is_said_once_and_asked_again_after_a_change(a_scene):
    a_scene.click(4, 3, 6)
    a_scene.question.fail("user", "The point (6, 3) is marked as inside and as outside.")
    a_scene.look(4)
    assert len(a_scene.client.all("prompt_predict")) == 1
    assert a_scene.view.sentences.count("The point (6, 3) is marked as inside and as outside.") == 1
    a_scene.click(4, 4, 6)
    assert len(a_scene.client.all("prompt_predict")) == 2


def test_killed_worker_is_said_and_gets_the_volume_again(a_scene):
    a_scene.click(4, 3, 6)
    a_scene.client.die()
    assert "ended unexpectedly" in a_scene.view.sentences[-1]
    a_scene.click(4, 4, 6)
    assert len(a_scene.client.all("set_volume")) == 2
    a_scene.answer(a_square(2, 7))
    assert np.array_equal(a_scene.previewed()[4], a_square(2, 7))


def test_ambiguous_click_offers_other_masks(a_scene):
    node = a_scene.click(4, 3, 6)
    a_scene.answer(a_square(2, 7), alternatives=[0.9, 0.8, 0.5])
    assert a_scene.controller.next_mask()
    a_scene.ticks.run()
    assert a_scene.question.parameters["prompts"][0]["choice"] == 1
    a_scene.answer(a_square(1, 9), alternatives=[0.9, 0.8, 0.5])
    assert a_scene.controller.answer_near(4).choice == 1
    assert node.GetNthControlPointDescription(0) == "prompt 1, choice 1"
    a_scene.controller.next_mask()
    a_scene.controller.next_mask()
    a_scene.ticks.run()


def test_each_segment_has_its_own_prompts(a_scene):
    a_scene.click(4, 3, 6)
    a_scene.answer(a_square(2, 7))
    a_scene.look(4, segment_id="kidney")
    assert a_scene.previews == []
    a_scene.click(5, 8, 8)
    assert a_scene.question.parameters["object"].endswith("kidney")
    visible = {n.GetName(): bool(n.GetDisplayNode().GetVisibility()) for n in all_prompts(a_scene)}
    assert visible == {"Liver +": False, "Kidney +": True}
    a_scene.answer(a_square(8, 9))
    a_scene.look(4, segment_id="liver")
    assert list(a_scene.controller.prompts.slices) == [4]


def test_late_answer_of_another_segment_is_not_shown(a_scene):
    a_scene.click(4, 3, 6)
    late = a_scene.question
    a_scene.look(4, segment_id="kidney")
    a_scene.answer(a_square(2, 7), late)
    assert a_scene.previews == []
    assert a_scene.view.answers == []


def test_what_is_accepted_is_known_to_the_next_controller(a_scene):
    a_scene.click(4, 3, 6)
    a_scene.box(6, (2, 3), (8, 9))
    a_scene.answer(a_square(2, 7), a_scene.client.all("prompt_predict")[0])
    a_scene.answer(a_square(2, 6))
    a_scene.controller.accept()
    a_scene.click(7, 3, 6)
    before = {index: prompts.key for index, prompts in a_scene.controller.prompts.slices.items()}
    asked = len(a_scene.client.all("prompt_predict"))
    a_scene.controller.close()
    a_scene.controller = a_scene.new_controller()  # the module is reloaded
    a_scene.look(4)
    assert {index: prompts.key for index, prompts in a_scene.controller.prompts.slices.items()} == before
    assert [job.parameters["slice_index"] for job in a_scene.client.all("prompt_predict")[asked:]] == [7]


def test_deleted_prompt_node_is_a_change(a_scene):
    node = a_scene.click(4, 3, 6)
    a_scene.answer(a_square(2, 7))
    a_scene.scene.RemoveNode(node)
    a_scene.ticks.run()
    assert a_scene.previews == []
    a_scene.click(4, 3, 6)
    assert len(all_prompts(a_scene)) == 1


def test_deleted_segmentation_takes_its_prompts_along(a_scene):
    a_scene.click(4, 3, 6)
    a_scene.answer(a_square(2, 7))
    a_scene.scene.RemoveNode(a_scene.segmentation)
    a_scene.ticks.run()
    assert all_prompts(a_scene) == []
    assert a_scene.previews == []


def test_deleted_segment_is_said(a_scene):
    a_scene.click(4, 3, 6)
    a_scene.answer(a_square(2, 7))
    a_scene.segmentation.GetSegmentation().RemoveSegment("liver")
    a_scene.look(4)
    assert a_scene.view.sentences[-1] == "The segment was deleted meanwhile: choose or add another."
    assert a_scene.previews == []


def test_closed_scene_leaves_nothing(a_scene):
    a_scene.click(4, 3, 6)
    a_scene.scene.Clear(False)
    a_scene.ticks.run()
    a_scene.answer(a_square(2, 7))
    assert a_scene.previews == []
    assert a_scene.controller.prompts.slices == {}


def test_scribbles_are_prompts_and_no_drawn_slices(a_scene):
    from MomentumSegLib.drawn_slices import existing_segments
    from MomentumSegLib.prompt_scribbles import owner_of, scribble_segment

    inside = scribble_segment(a_scene.segmentation, "liver", inside=True)
    outside = scribble_segment(a_scene.segmentation, "liver", inside=False)
    assert owner_of(a_scene.segmentation, inside) == "liver"
    stroke = np.zeros(SHAPE, np.uint8)
    stroke[4, 3, 2:9] = 1
    a_scene.set_voxels(np.roll(stroke, 5, axis=1), outside)
    a_scene.set_voxels(stroke, inside)
    a_scene.look(4)
    job = a_scene.question
    assert [(p["kind"], p["positive"]) for p in job.parameters["prompts"]] == [("scribble", True), ("scribble", False)]
    assert np.array_equal(job.arrays[job.parameters["prompts"][0]["mask"]], stroke[4])
    assert existing_segments(a_scene.segmentation) == ["liver", "kidney"]
    a_scene.answer(a_square(2, 7))
    a_scene.controller.accept()
    assert np.array_equal(a_scene.voxels()[4], a_square(2, 7))
    a_scene.controller.clear()
    assert a_scene.segmentation.GetSegmentation().GetNumberOfSegments() == 2


def test_clear_takes_all_prompts_and_leaves_the_segment(a_scene):
    a_scene.click(4, 3, 6)
    a_scene.answer(a_square(2, 7))
    a_scene.controller.accept()
    a_scene.box(5, (2, 3), (8, 9))
    a_scene.controller.clear()
    assert all_prompts(a_scene) == []
    assert np.array_equal(a_scene.voxels()[4], a_square(2, 7))


def all_prompts(scene: PromptScene) -> list:
    from MomentumSegLib.slice_geometry import nodes_of_class

    nodes = nodes_of_class(scene.scene, "vtkMRMLMarkupsNode")
    return [node for node in nodes if kind_of(node) in (POSITIVE, NEGATIVE, BOX)]


class TestFollowing:
    def followed(self, scene: PromptScene):
        scene.click(4, 3, 6)
        scene.answer(a_square(2, 7))
        scene.controller.follow(scene.request)
        return scene.client.last("prompt_follow")

    def reply(self, scene: PromptScene, job, labelmap: np.ndarray) -> None:
        job.result(
            {"origin": [0, 0, 0], "next_slice": 6, "seconds": 2.0, "ends": []},
            labelmap=labelmap.astype(np.uint8),
            uncertainty=np.zeros(SHAPE, np.uint8),
        )
        scene.ticks.run()

    def test_result_is_written_once_at_the_end(self, a_scene):
        job = self.followed(a_scene)
        (target,) = job.parameters["objects"]
        assert [entry["slice_index"] for entry in target["slices"]] == [4]
        job.progress(0.3)
        job.partial({"slice_index": 5, "origin": [2, 2], "final": True}, mask=np.ones((3, 3), np.uint8))
        assert a_scene.previewed()[5].sum() == 9
        assert not a_scene.voxels().any()
        found = np.zeros(SHAPE, np.uint8)
        found[3:8, 2:7, 2:7] = 1
        self.reply(a_scene, job, found)
        assert np.array_equal(a_scene.voxels(), found)
        assert a_scene.editor.states == 1
        assert a_scene.previews == []
        assert a_scene.controller.phase is Phase.IDLE
        assert a_scene.view.sentences[-1].startswith("Followed through slices 3 to 7 in 2.0 s.")
        assert a_scene.view.results[0].next_slice == 6

    def test_following_again_replaces_what_was_followed_and_keeps_what_was_drawn(self, a_scene):
        drawn = np.zeros(SHAPE, np.uint8)
        drawn[0, 0, 0] = 1
        a_scene.set_voxels(drawn)
        found = np.zeros(SHAPE, np.uint8)
        found[3:8, 2:7, 2:7] = 1
        self.reply(a_scene, self.followed(a_scene), found)
        a_scene.click(6, 3, 3, positive=False)
        a_scene.answer(a_square(4, 6))
        a_scene.controller.accept()
        a_scene.controller.follow(a_scene.request)
        job = a_scene.client.last("prompt_follow")
        assert [entry["slice_index"] for entry in job.parameters["objects"][0]["slices"]] == [4, 6]
        less = found.copy()
        less[6] = a_square(4, 6)
        less[7] = 0
        self.reply(a_scene, job, less)
        assert np.array_equal(a_scene.voxels(), less | drawn)
        a_scene.editor.logic.Undo()
        a_scene.editor.logic.Undo()
        assert np.array_equal(a_scene.voxels(), found | drawn)

    def test_cancel_changes_nothing(self, a_scene):
        job = self.followed(a_scene)
        job.progress(0.3)
        job.partial({"slice_index": 5, "origin": [2, 2], "final": True}, mask=np.ones((3, 3), np.uint8))
        a_scene.controller.cancel()
        assert a_scene.previews == []
        job.fail("cancelled", "Cancelled; nothing was changed.")
        assert a_scene.controller.phase is Phase.IDLE
        assert a_scene.view.sentences[-1] == "Cancelled; nothing was changed."
        assert not a_scene.voxels().any()
        assert np.array_equal(a_scene.previewed()[4], a_square(2, 7))  # the prompt's own mask is there again

    def test_dead_worker_is_a_failure(self, a_scene):
        job = self.followed(a_scene)
        job.progress(0.3)
        a_scene.client.die()
        assert a_scene.controller.phase is Phase.IDLE
        assert a_scene.view.failures[0][0] == "crashed"
        assert not a_scene.voxels().any()

    def test_deleted_volume_and_closed_scene_cancel(self, a_scene):
        job = self.followed(a_scene)
        job.progress(0.3)
        a_scene.scene.RemoveNode(a_scene.volume)
        job.fail("cancelled", "Cancelled")
        assert a_scene.view.sentences[-1] == "The volume was deleted, so following it was cancelled."
        assert a_scene.controller.phase is Phase.IDLE

    def test_no_prompt_is_one_sentence(self, a_scene):
        with pytest.raises(UserError, match="There is no prompt yet"):
            a_scene.controller.follow(a_scene.request)

    def test_segment_that_exists_is_followed_without_a_prompt(self, a_scene):
        drawn = np.zeros(SHAPE, np.uint8)
        drawn[4] = a_square(5, 11)
        a_scene.set_voxels(drawn)
        a_scene.look(4, refine=True)
        a_scene.controller.follow(a_scene.request)
        job = a_scene.client.last("prompt_follow")
        (entry,) = job.parameters["objects"][0]["slices"]
        assert entry["prompts"] == [{"kind": "mask", "mask": "mask 4"}]
        assert np.array_equal(job.arrays["mask 4"], a_square(5, 11))
        found = np.zeros(SHAPE, np.uint8)
        found[3:6, 5:9, 5:9] = 1
        self.reply(a_scene, job, found)
        assert np.array_equal(a_scene.voxels(), found)

    def test_range_of_the_panel_bounds_it(self, a_scene):
        a_scene.look(4, slice_range=(2, 7))
        job = self.followed(a_scene)
        assert job.parameters["slice_range"] == [2, 7]
        assert job.parameters["roi"] == [[[0, 14], [0, 12], [2, 7]]]


def test_a_worker_that_hangs_is_ended_and_the_prompt_is_asked_again_when_it_changes(a_scene):
    a_scene.look()
    node = a_scene.click(5, 4, 4)
    generation, first = a_scene.client.generation, a_scene.question
    a_scene.controller.give_up()
    a_scene.ticks.run()
    assert first.state == "failed"
    assert not a_scene.controller.is_asking
    assert a_scene.client.generation == generation + 1  # another one is on its way
    assert a_scene.view.sentences[-1].startswith("Cancelled; the worker is started again.")
    a_scene.client.state = "ready"
    node.SetNthControlPointPosition(0, *a_scene.ras(5, 6, 6))
    a_scene.ticks.run()
    assert a_scene.question is not first
    assert len(a_scene.client.all("set_volume")) == 2
    a_scene.answer(a_square(2, 8))
    assert list(a_scene.controller.waiting) == [5]


def test_the_displayed_range_of_a_ct_goes_with_every_question(a_scene):
    a_scene.look(window=(-160.0, 240.0))
    a_scene.click(5, 4, 4)
    assert a_scene.question.parameters["window"] == [-160.0, 240.0]
    a_scene.answer(a_square(2, 8))
    a_scene.look(window=(0.0, 400.0))  # what was answered was seen otherwise
    assert a_scene.question.parameters["window"] == [0.0, 400.0]


@pytest.mark.parametrize(
    ("modality", "air", "expected"),
    [("", -1000, (-160.0, 240.0)), ("CT", 0, (-160.0, 240.0)), ("", 0, None), ("MR", -1000, None)],
)
def test_the_displayed_range_is_that_of_ct_alone(a_scene, modality, air, expected):
    from vtkmodules.util.numpy_support import vtk_to_numpy

    from MomentumSegLib.displayed_window import displayed_window

    assert displayed_window(a_scene.volume) is None  # not displayed
    scalars = a_scene.volume.GetImageData().GetPointData().GetScalars()
    vtk_to_numpy(scalars)[0] = air
    scalars.Modified()
    a_scene.volume.CreateDefaultDisplayNodes()
    display = a_scene.volume.GetScalarVolumeDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(-157.0, 243.4)
    if modality:
        a_scene.volume.SetAttribute("DICOM.Modality", modality)
    assert displayed_window(a_scene.volume) == expected
