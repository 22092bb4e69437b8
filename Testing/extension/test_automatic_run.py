"""Runs of automatic models on a real scene, with a worker that the test plays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fake_client import FakeJob
from test_run_controller import SHAPE, Setting

from MomentumSegLib.automatic_request import AutomaticRequest
from MomentumSegLib.drawn_slices import existing_segments
from MomentumSegLib.errors import UserError
from MomentumSegLib.output_choice import OutputChoice
from MomentumSegLib.phase import Phase
from MomentumSegLib.scripting import segment

NAMES = {1: "liver", 2: "Spleen", 3: "left kidney"}


class Automatic(Setting):
    """The scene of the few-shot tests; its segments are called Liver and Kidney."""

    def __init__(self) -> None:
        super().__init__()
        self.request = AutomaticRequest(
            volume_id=self.volume.GetID(),
            segmentation_id=self.segmentation.GetID(),
            plane="axial",
            model="abdomen",
            device="cpu",
            model_title="Abdomen",
        )

    def apply(self, **changes: object) -> FakeJob:
        super().apply_request(**changes)
        return self.client.last("segment_automatic")

    def answer(self, job: FakeJob, labelmap: np.ndarray, **values: object) -> None:
        found = {label: float((labelmap == label).sum()) for label in NAMES}
        more = {"labels": list(NAMES), "label_names": NAMES, "volume_ml": found, "next_slice": None}
        super().answer(job, labelmap, **{**more, "label_uncertainty": dict.fromkeys(NAMES, 0.25), **values})

    def segments(self, node: Any = None) -> dict[str, str]:
        """ID of each segment by its name."""
        node = node or self.segmentation
        return {node.GetSegmentation().GetSegment(s).GetName(): s for s in existing_segments(node)}


@pytest.fixture
def a_setting() -> Iterator[Automatic]:
    setting = Automatic()
    yield setting
    setting.close()


def organs(*labels: int) -> np.ndarray:
    """Labelmap with a block for each of these labels."""
    voxels = np.zeros(SHAPE, np.uint8)
    for label in labels:
        voxels[2:7, 1 + 3 * label : 3 + 3 * label, 4:9] = label
    return voxels


def test_the_worker_is_asked_for_the_model_the_box_and_mirroring(a_setting):
    job = a_setting.apply(mirror=True, slice_range=(2, 7))
    assert job.parameters == {
        "volume": a_setting.volume.GetID(),
        "model": "abdomen",
        "device": "cpu",
        "mirror": True,
        "box": [[0, 14], [0, 12], [2, 7]],
    }
    assert job.arrays == {}
    assert len(a_setting.client.all("set_volume")) == 1


def test_each_structure_has_a_segment_and_one_undo_step_takes_all_back(a_setting):
    a_setting.answer(a_setting.apply(), organs(1, 2, 3))
    segments = a_setting.segments()
    assert sorted(segments) == ["Kidney", "Liver", "Spleen", "left kidney"]
    for name, label in (("Liver", 1), ("Spleen", 2), ("left kidney", 3)):
        assert np.array_equal(a_setting.voxels(segments[name]), organs(label) > 0), name
    assert not a_setting.voxels(segments["Kidney"]).any()
    assert a_setting.undo.states == 1
    outcome = a_setting.view.outcomes[0]
    assert {row.segment: row.voxels for row in outcome.rows} == {"Liver": 50, "Spleen": 50, "left kidney": 50}
    assert outcome.next_slice is None
    assert not outcome.has_stages


def test_the_next_run_finds_its_segments_also_renamed_ones(a_setting):
    a_setting.answer(a_setting.apply(), organs(1, 2))
    spleen = a_setting.segments()["Spleen"]
    a_setting.segmentation.GetSegmentation().GetSegment(spleen).SetName("Milz")
    a_setting.answer(a_setting.apply(), organs(2))
    assert sorted(a_setting.segments()) == ["Kidney", "Liver", "Milz"]
    assert np.array_equal(a_setting.voxels(spleen), organs(2) > 0)
    assert not a_setting.voxels("liver").any()  # found before, not found now
    assert a_setting.undo.states == 2


def test_what_is_not_found_gets_no_segment_and_is_said(a_setting):
    a_setting.answer(a_setting.apply(), organs(2))
    assert sorted(a_setting.segments()) == ["Kidney", "Liver", "Spleen"]
    assert "Not found: liver, left kidney." in a_setting.view.sentences[-1]


def test_nothing_found_is_said_in_one_sentence(a_setting):
    for segment_id in ("liver", "kidney"):
        a_setting.segmentation.GetSegmentation().RemoveSegment(segment_id)
    a_setting.answer(a_setting.apply(), organs())
    sentence = "The model 'Abdomen' found none of its structures (liver, Spleen, left kidney) here: "
    assert [found for _, found, _ in a_setting.view.failures] == [f"{sentence}check the volume and the box."]
    assert a_setting.controller.phase is Phase.IDLE
    assert a_setting.segments() == {}
    assert a_setting.undo.states == 0


def test_a_result_is_not_taken_for_drawings_and_a_correction_stays(a_setting):
    a_setting.answer(a_setting.apply(), organs(1, 2))
    assert a_setting.controller.drawn(a_setting.request).supports == ()
    a_setting.draw("liver", 5, slice(9, 12), slice(0, 3))
    corrected = a_setting.voxels("liver")[5]
    (support,) = a_setting.controller.drawn(a_setting.request).supports
    assert (support.segment_id, support.slice_index, support.state) == ("liver", 5, "corrected")

    a_setting.answer(a_setting.apply(), np.roll(organs(1, 2), 1, axis=2))
    expected = np.roll(organs(1), 1, axis=2)
    expected[5] = corrected
    assert np.array_equal(a_setting.voxels("liver"), expected)
    assert "Slices drawn by hand stayed as they were: 1." in a_setting.view.sentences[-1]


def test_the_segment_for_those_who_draw_gives_way_unless_it_was_used(a_setting):
    choice = OutputChoice(a_setting.scene, on_changed=lambda: None)
    a_setting.scene.RemoveNode(a_setting.segmentation)
    for used, expected in ((False, ["Spleen"]), (True, ["Spleen", "Structure 1"])):
        node = choice.segmentation_for(a_setting.volume)
        if used:
            a_setting.draw(node.GetSegmentation().GetNthSegmentID(0), 3, slice(0, 2), slice(0, 2), node)
        a_setting.answer(a_setting.apply(segmentation_id=node.GetID()), organs(2))
        assert sorted(a_setting.segments(node)) == expected
        a_setting.scene.RemoveNode(node)


def test_other_segments_and_voxels_outside_the_box_are_untouched(a_setting):
    kidney = np.zeros(SHAPE, np.uint8)
    kidney[8:, 9:, 9:] = 1
    a_setting.set_voxels("kidney", kidney)
    a_setting.answer(a_setting.apply(), organs(1))
    before = a_setting.voxels("liver")
    a_setting.answer(a_setting.apply(slice_range=(2, 4)), organs())
    after = a_setting.voxels("liver")
    assert np.array_equal(after[4:], before[4:])
    assert not after[:4].any()
    assert np.array_equal(a_setting.voxels("kidney"), kidney)


def test_cancel_leaves_all_as_it_was(a_setting):
    job = a_setting.apply()
    job.progress(0.4, 12.0)
    a_setting.controller.cancel()
    job.fail("cancelled", "Cancelled; nothing was changed.")
    assert sorted(a_setting.segments()) == ["Kidney", "Liver"]
    assert a_setting.undo.states == 0
    assert a_setting.view.sentences[-1] == "Cancelled; nothing was changed."


def test_a_structure_has_the_usual_colour(a_setting):
    table = a_setting.scene.AddNewNodeByClass("vtkMRMLColorTableNode", "GenericAnatomyColors")
    table.SetTypeToUser()
    table.SetNumberOfColors(2)
    table.SetColor(0, "spleen", 0.6, 0.4, 0.5, 1.0)
    table.SetColor(1, "left_kidney", 0.7, 0.3, 0.1, 1.0)
    a_setting.answer(a_setting.apply(), organs(2, 3))
    segmentation, segments = a_setting.segmentation.GetSegmentation(), a_setting.segments()
    assert segmentation.GetSegment(segments["Spleen"]).GetColor() == pytest.approx((0.6, 0.4, 0.5), abs=0.01)
    assert segmentation.GetSegment(segments["left kidney"]).GetColor() == pytest.approx((0.7, 0.3, 0.1), abs=0.01)


def test_scripts_are_told_what_is_missing(a_setting):
    with pytest.raises(UserError, match="name of an automatic model"):
        segment(a_setting.volume, a_setting.segmentation, method="automatic", client=a_setting.client)
    with pytest.raises(UserError, match="no method 'magic'"):
        segment(a_setting.volume, a_setting.segmentation, method="magic", client=a_setting.client)
