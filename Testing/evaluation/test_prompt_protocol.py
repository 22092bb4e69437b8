"""The evaluation of prompts: what is clicked, what is scored, and what is kept of an interrupted run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from momentumseg.errors import InputError
from momentumseg.evaluation.prompt_protocol import PromptOptions, run_prompt_protocol
from momentumseg.evaluation.prompt_report import (
    BOX,
    BOXES_EVERYWHERE,
    FOLLOWED,
    FOLLOWED_ENDS_KNOWN,
    FOLLOWED_FROM_THREE,
    SINGLE_CLICK_BEST,
    PromptReport,
)
from momentumseg.evaluation.report import FoldResult
from momentumseg.evaluation.simulated_prompts import click_until, next_click
from momentumseg.sessions.prompt_objects import PointPrompt

QUICK = PromptOptions(smallest_area=50, clicks=(1, 2), click_slices=2, margin=2)


@pytest.fixture
def a_prompt_model(prompt_fakes: ModuleType) -> Any:
    return prompt_fakes.PromptModel()


def test_clicks_go_to_the_centre_of_the_largest_error() -> None:
    reference = np.zeros((20, 20), dtype=bool)
    reference[2:13, 2:13] = True
    assert next_click(None, reference) == PointPrompt(7, 7, True)
    found = reference.copy()
    found[2:5, 2:5] = False
    found[14:19, 14:19] = True
    assert next_click(found, reference) == PointPrompt(16, 16, False)
    found[14:19, 14:19] = False
    assert next_click(found, reference) == PointPrompt(3, 3, True)
    assert next_click(reference, reference) is None


def test_clicking_ends_when_nothing_is_wrong() -> None:
    reference = np.ones((5, 5), dtype=bool)

    class Answer:
        mask = reference

    asked: list[object] = []
    answers = click_until(reference, 3, lambda prompt: asked.append(prompt) or Answer())  # type: ignore[func-returns-value, return-value]
    assert (len(asked), len(answers)) == (1, 3)
    assert click_until(reference, 3, lambda prompt: Answer(), first=reference) == []  # type: ignore[return-value]


def test_every_method_is_scored(a_data_folder: Path, a_prompt_model) -> None:
    report = run_prompt_protocol(a_data_folder, a_prompt_model, QUICK, cases=["case_1", "case_4"])
    assert report.methods == [
        BOX,
        "clicks: 1",
        "clicks: 2",
        SINGLE_CLICK_BEST,
        "box and correcting clicks: 0",
        "box and correcting clicks: 1",
        "box and correcting clicks: 2",
        BOXES_EVERYWHERE,
        FOLLOWED,
        FOLLOWED_ENDS_KNOWN,
        FOLLOWED_FROM_THREE,
    ]
    assert report.of_patients("dice", BOX).mean > 0.95
    assert report.of_slices("dice", BOX, 1).count == 6 + 6  # slices 2 to 7 of both cases
    assert report.of_slices("dice", "clicks: 1").count == 2 * 3
    assert report.of_patients("surface_dice", BOXES_EVERYWHERE).mean > 0.95
    followed = next(row for row in report.scores if row["method"] == FOLLOWED and row["label"] == 1)
    assert followed["ends"] == followed["true_ends"] == [2, 7]
    assert followed["prompted_slices"] == 1
    assert followed["dice"] > 0.9


def test_small_structures_are_left_out_by_themselves_but_not_of_the_volume(a_data_folder: Path, a_prompt_model) -> None:
    options = replace(QUICK, smallest_area=10_000, clicks=())
    report = run_prompt_protocol(a_data_folder, a_prompt_model, options, cases=["case_1"])
    assert BOX not in report.methods
    assert report.of_patients("dice", BOXES_EVERYWHERE).mean > 0.95


def test_finished_cases_are_kept(a_data_folder: Path, a_prompt_model, tmp_path: Path) -> None:
    output = tmp_path / "report.json"
    options = replace(QUICK, follow=False, clicks=())
    first = run_prompt_protocol(a_data_folder, a_prompt_model, options, cases=["case_1", "case_2"], output=output)
    asked = len(a_prompt_model.network.questions)
    again = run_prompt_protocol(a_data_folder, a_prompt_model, options, cases=["case_1", "case_2"], output=output)
    assert len(a_prompt_model.network.questions) == asked
    assert again.scores == first.scores
    content = json.loads(output.read_text())
    assert content["summary"][BOX]["dice"]["patients"]["count"] == 2
    assert content["settings"]["follow_config"]["between"] == "iou"
    table = output.with_suffix(".md").read_text()
    assert "| box |" in table
    assert "2 patients" in table
    run_prompt_protocol(a_data_folder, a_prompt_model, replace(options, margin=3), cases=["case_1"], output=output)
    assert len(a_prompt_model.network.questions) > asked, "other options are another evaluation"


def test_a_model_without_clicks_is_evaluated_with_boxes(a_data_folder: Path, a_prompt_model) -> None:
    a_prompt_model.capabilities = frozenset({"boxes"})
    report = run_prompt_protocol(a_data_folder, a_prompt_model, QUICK, cases=["case_1"])
    assert not [method for method in report.methods if "click" in method]
    a_prompt_model.capabilities = frozenset({"points"})
    with pytest.raises(InputError, match="takes no boxes"):
        run_prompt_protocol(a_data_folder, a_prompt_model, QUICK)


@pytest.mark.parametrize("wrong", [{"clicks": (0,)}, {"margin": -1}, {"smallest_area": 0}, {"click_slices": 0}])
def test_options_that_cannot_be_used(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="must be 1 or more"):
        PromptOptions(**wrong)


def test_a_decoder_is_not_evaluated_on_what_it_was_fine_tuned_on(a_data_folder: Path, a_prompt_model) -> None:
    model = replace(a_prompt_model, card=replace(a_prompt_model.card, extra={"training_cases": ["case_2", "case_4"]}))
    options = replace(QUICK, clicks=(), follow=False)
    with pytest.raises(InputError, match=r"used 1 of the cases \(case_4\).*--split"):
        run_prompt_protocol(a_data_folder, model, options, reference="mine", cases=["case_1", "case_4"])
    report = run_prompt_protocol(a_data_folder, model, options, cases=["case_4"], allow_overlap=True)
    assert "its training used 1 of the cases" in report.to_markdown()
    report = run_prompt_protocol(a_data_folder, model, options, cases=["case_1"])
    assert "its training used none of the cases" in report.to_markdown()


def test_scans_of_one_patient_count_as_one() -> None:
    rows = [("p1_frame01", 0.8), ("p1_frame12", 0.6), ("p2_frame01", 0.9)]
    scores = [{"case": case, "label": 1, "method": BOX, "slice": 0, "dice": dice} for case, dice in rows]
    fold = FoldResult(0, ["p1_frame01"], {"reference": "m", "sha256": "0"}, scores, 1.0)
    report = PromptReport({"tolerance_mm": None}, {1: "organ"}, [fold], "command")
    found = report.of_patients("dice", BOX)
    assert (found.mean, found.count) == (pytest.approx(0.8), 2)
    assert "2 patients (3 scans)" in report.to_markdown()
