"""The user's protocol: what is drawn, what is scored, and the reference without a network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from momentumseg.errors import InputError
from momentumseg.evaluation.models import EvaluatedModel, FoldModels
from momentumseg.evaluation.users_protocol import UserOptions, run_users_protocol
from momentumseg.evaluation.users_report import INTERPOLATION, NETWORK, NETWORK_WITH_CONSISTENCY

QUICK = UserOptions(supports=(1, 3), tolerance_mm=None, consistency=False)


def test_each_label_is_drawn_on_its_own_slices(a_data_folder: Path, models: FoldModels) -> None:
    report = run_users_protocol(a_data_folder, models, QUICK, cases=["case_1", "case_4"])
    drawn = {(row["case"], row["label"], row["supports"]): row["drawn"] for row in report.scores}
    assert drawn[("case_1", 1, 3)] == [3, 5, 7]  # label 1 is on slices 2 to 7
    assert drawn[("case_1", 2, 3)] == [4, 6, 8]  # label 2 on 4 to 8
    assert drawn[("case_1", 2, 1)] == [6]
    assert ("case_4", 2, 1) not in drawn


def test_the_network_finds_the_ends_that_interpolation_cannot(a_data_folder: Path, models: FoldModels) -> None:
    report = run_users_protocol(a_data_folder, models, QUICK)
    assert report.overall("dice", NETWORK, 1).mean > 0.9
    assert report.overall("dice", INTERPOLATION, 1).mean < 0.4
    assert report.overall("dice_undrawn", INTERPOLATION, 1).mean == 0
    assert report.overall("dice", INTERPOLATION, 3).mean > report.overall("dice", INTERPOLATION, 1).mean
    assert report.overall("dice", NETWORK, 3).count == 6


def test_undrawn_dice_leaves_out_the_drawn_slices(a_data_folder: Path, models: FoldModels) -> None:
    report = run_users_protocol(a_data_folder, models, QUICK, cases=["case_1"])
    row = next(row for row in report.scores if row["method"] == INTERPOLATION and row["supports"] == 3)
    # the box is the same on slices 2 to 7; interpolated are 3 to 7, three of them drawn: 4 and 6 right, 2 missed
    assert row["dice"] == pytest.approx(10 / 11)
    assert row["dice_undrawn"] == pytest.approx(4 / 5)


def test_more_drawn_slices_than_the_label_has(a_data_folder: Path, models: FoldModels) -> None:
    options = replace(QUICK, supports=(9,), labels=(2,))
    report = run_users_protocol(a_data_folder, models, options, cases=["case_1"])
    assert all(row["dice"] == 1 for row in report.scores if row["method"] == INTERPOLATION)
    assert report.scores[0]["drawn"] == [4, 5, 6, 7, 8]


def test_with_a_model_a_fold_each_case_is_tested_once(a_data_folder: Path, a_model: EvaluatedModel) -> None:
    asked: list[int] = []

    def load(fold: int) -> EvaluatedModel:
        asked.append(fold)
        return a_model

    report = run_users_protocol(a_data_folder, FoldModels(load, one_per_fold=True), replace(QUICK, supports=(1,)))
    assert asked == [0, 1, 2, 3, 4]
    assert sorted(name for fold in report.folds for name in fold.cases) == [f"case_{n}" for n in range(1, 7)]


def test_slices_of_any_plane(a_data_folder: Path, models: FoldModels) -> None:
    options = replace(QUICK, plane="sagittal", supports=(2,))
    report = run_users_protocol(a_data_folder, models, options, cases=["case_1"])
    row = next(row for row in report.scores if row["label"] == 1)
    assert row["drawn"] == [18, 30]  # a quarter and three quarters of the columns 12 to 35
    assert row["volume_ml"] == pytest.approx(row["reference_volume_ml"], rel=0.3)


def test_the_report_has_a_line_a_method_and_number_of_slices(
    a_data_folder: Path, models: FoldModels, tmp_path: Path
) -> None:
    options = UserOptions(supports=(1, 2), consistency=False)
    output = tmp_path / "report.json"
    report = run_users_protocol(a_data_folder, models, options, cases=["case_1", "case_2"], output=output)
    text = report.to_markdown()
    assert text.count("| network | 1 |") == text.count("| interpolation | 2 |") == 3  # three measures
    assert "Surface Dice at 3 mm" in text
    assert "2 cases" in text
    assert (tmp_path / "report.all.json").is_file()
    again = run_users_protocol(a_data_folder, models, options, cases=["case_1", "case_2"], output=output)
    assert again.folds == report.folds
    means = [
        np.mean(
            [
                row["dice"]
                for row in report.scores
                if (row["case"], row["supports"]) == (case, 1) and row["method"] == NETWORK
            ]
        )
        for case in ("case_1", "case_2")
    ]
    assert report.summary()[NETWORK]["1"]["dice"]["mean"]["mean"] == pytest.approx(np.mean(means))


def test_slices_drawn_near_one_end_only(a_data_folder: Path, models: FoldModels) -> None:
    options = replace(QUICK, supports=(1, 2), within=(0.0, 0.5))
    report = run_users_protocol(a_data_folder, models, options, cases=["case_1"])
    drawn = {(row["label"], row["supports"]): row["drawn"] for row in report.scores}
    assert drawn[1, 1] == [3]  # a quarter of the slices 2 to 7
    assert drawn[1, 2] == [2, 4]
    assert "between 0% and 50% of the structure" in report.to_markdown()


def test_each_next_slice_is_drawn_where_it_is_suggested(a_data_folder: Path, models: FoldModels) -> None:
    options = replace(QUICK, supports=(1, 3), choice="suggested", consistency=True)
    report = run_users_protocol(a_data_folder, models, options, cases=["case_1"])
    drawn = {(row["label"], row["supports"]): row["drawn"] for row in report.scores}
    assert drawn[1, 1] == [5]  # the middle of the slices 2 to 7
    assert set(drawn[1, 1]) <= set(drawn[1, 3]) <= set(range(2, 8))  # a slice without the label is not drawn
    assert len(drawn[1, 3]) <= 3
    assert "each next one where it was suggested" in report.to_markdown()


def test_suggestions_end_when_every_slice_is_seen(a_data_folder: Path, models: FoldModels) -> None:
    options = replace(QUICK, supports=(13,), choice="suggested", labels=(1,))
    report = run_users_protocol(a_data_folder, models, options, cases=["case_1"])
    assert report.scores[0]["drawn"] == [2, 3, 4, 5, 6, 7]
    assert report.scores[0]["dice"] == 1


def test_an_unknown_choice_is_refused() -> None:
    with pytest.raises(InputError, match="spread or suggested"):
        UserOptions(choice="random")  # type: ignore[arg-type]


@pytest.mark.parametrize("within", [(0.5, 0.5), (-0.1, 0.5), (0.5, 1.5), (0.9, 0.1)])
def test_a_part_that_is_none_is_refused(within: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="two rising fractions"):
        UserOptions(within=within)


def test_zero_drawn_slices_are_refused() -> None:
    with pytest.raises(InputError, match="must be 1 or more"):
        UserOptions(supports=(0, 1))


def test_the_consistency_step_is_reported_beside_the_plain_result(a_data_folder: Path, models: FoldModels) -> None:
    report = run_users_protocol(a_data_folder, models, replace(QUICK, consistency=True), cases=["case_1"])
    assert report.methods == [NETWORK, NETWORK_WITH_CONSISTENCY, INTERPOLATION]
    assert report.overall("dice", NETWORK_WITH_CONSISTENCY, 3).mean > 0.8
