"""The published protocol against a naive reference, and what its report says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from momentumseg.errors import InputError
from momentumseg.evaluation.feature_bank import EncodedCase, FeatureBank
from momentumseg.evaluation.models import EvaluatedModel, FoldModels
from momentumseg.evaluation.published_protocol import PublishedOptions, run_published_protocol
from momentumseg.io.datasets import discover_cases
from momentumseg.networks.few_shot import upsample_probability

QUICK = PublishedOptions(tolerance_mm=None, consistency=False)


def naive_dice(bank: FeatureBank, support: EncodedCase, query: EncodedCase, label: int, parts: int) -> float:
    """The protocol word by word: crop both, one support slice a chunk, each query slice alone, counts summed."""
    crops = [case.labelmap[(case.labelmap == label).any(axis=(1, 2))] == label for case in (support, query)]
    features = [case.features[case.slices_with(label)].float() for case in (support, query)]
    bounds = np.linspace(0, len(crops[1]), parts + 1).astype(int)
    true_positive = false_positive = false_negative = 0
    for part in range(parts):
        middle = int((part + 0.5) / parts * len(crops[0]) + 1e-9)
        mask = torch.from_numpy(crops[0][middle : middle + 1].astype(np.uint8))
        summary = bank._network.summarize(features[0][middle : middle + 1], mask)
        for index in range(bounds[part], bounds[part + 1]):
            logit = bank._network(features[1][index : index + 1], summary).logit
            predicted = upsample_probability(logit, mask.shape[-1])[0].numpy() > 0.5
            true_positive += int((predicted & crops[1][index]).sum())
            false_positive += int((predicted & ~crops[1][index]).sum())
            false_negative += int((~predicted & crops[1][index]).sum())
    return 2 * true_positive / (2 * true_positive + false_positive + false_negative)


@pytest.mark.parametrize("parts", [1, 3])
def test_every_pair_scores_as_in_the_naive_reference(a_data_folder: Path, a_model: EvaluatedModel, parts: int) -> None:
    report = run_published_protocol(
        a_data_folder, FoldModels(lambda _: a_model), replace(QUICK, parts=parts), folds=[4]
    )
    bank = FeatureBank(a_model.network, size=a_model.size)
    cases = {case.name: bank.encode(case) for case in discover_cases(a_data_folder)}
    # the last fold of six cases is 4, 5 and 0: three supports with two queries, for both labels
    assert len(report.scores) == 2 * 3 * 2
    for row in report.scores:
        expected = naive_dice(bank, cases[row["support"]], cases[row["query"]], row["label"], parts)
        assert row["dice"] == pytest.approx(expected, abs=1e-6)
        assert row["dice"] > 0.8
        assert len(row["support_slices"]) == parts


def test_volumes_without_the_label_take_no_part(a_data_folder: Path, models: FoldModels) -> None:
    report = run_published_protocol(a_data_folder, models, QUICK, folds=[2])  # cases 3 and 4; 4 has no label 2
    assert {(row["label"], row["support"], row["query"]) for row in report.scores} == {
        (1, "case_3", "case_4"),
        (1, "case_4", "case_3"),
    }


def test_features_are_computed_once_a_volume(a_data_folder: Path, a_model: EvaluatedModel) -> None:
    run_published_protocol(a_data_folder, FoldModels(lambda _: a_model), QUICK, folds=[4])
    assert a_model.network.backbone.encoded == 3 * 12


def test_only_the_third_volume_as_support(a_data_folder: Path, models: FoldModels) -> None:
    report = run_published_protocol(a_data_folder, models, replace(QUICK, supports="third"), folds=[4])
    assert {row["support"] for row in report.scores} == {"case_6"}


def test_the_means_are_over_pairs_then_classes_then_folds(a_data_folder: Path, models: FoldModels) -> None:
    report = run_published_protocol(a_data_folder, models, QUICK)
    by_fold = [
        np.mean([np.mean([r["dice"] for r in report.scores if (r["fold"], r["label"]) == (f, label)]) for label in of])
        for f, of in enumerate(([1, 2], [1, 2], [1], [1], [1, 2]))
    ]
    overall = report.summary()["none"]["dice"]["mean"]
    assert overall["mean"] == pytest.approx(np.mean(by_fold))
    assert overall["deviation"] == pytest.approx(np.std(by_fold, ddof=1))
    assert overall["count"] == 5


def test_a_finished_fold_is_not_computed_again(a_data_folder: Path, a_model: EvaluatedModel, tmp_path: Path) -> None:
    models, output = FoldModels(lambda _: a_model), tmp_path / "report.json"
    first = run_published_protocol(a_data_folder, models, QUICK, folds=[4], output=output)
    encoded = a_model.network.backbone.encoded
    both = run_published_protocol(a_data_folder, models, QUICK, folds=[2, 4], output=output)
    assert a_model.network.backbone.encoded == encoded + 2 * 12
    assert both.folds[1] == first.folds[0]
    changed = run_published_protocol(a_data_folder, models, replace(QUICK, parts=1), folds=[4], output=output)
    assert changed.scores != first.scores
    other_weights = replace(a_model, sha256="1" * 64)
    before = a_model.network.backbone.encoded
    run_published_protocol(a_data_folder, FoldModels(lambda _: other_weights), QUICK, folds=[2], output=output)
    assert a_model.network.backbone.encoded > before


def test_a_foreign_file_in_the_place_of_a_fold_is_refused(
    a_data_folder: Path, models: FoldModels, tmp_path: Path
) -> None:
    (tmp_path / "report.fold4.json").write_text("[1]")
    with pytest.raises(InputError, match="not a result of this command"):
        run_published_protocol(a_data_folder, models, QUICK, folds=[4], output=tmp_path / "report.json")


def test_two_runs_give_the_same_numbers(a_data_folder: Path, models: FoldModels) -> None:
    options = PublishedOptions(consistency=False)
    first, second = (run_published_protocol(a_data_folder, models, options, folds=[0]) for _ in range(2))
    assert first.scores == second.scores
    assert all(0 < row["surface_dice"] <= 1 for row in first.scores)


def test_the_report_can_be_repeated_and_read(a_data_folder: Path, models: FoldModels, tmp_path: Path) -> None:
    output = tmp_path / "report.json"
    names = {1: "liver"}
    run_published_protocol(
        a_data_folder, models, QUICK, folds=[4], output=output, label_names=names, command="momentumseg evaluate"
    )
    content = json.loads(output.read_text(encoding="utf-8"))
    assert content["command"] == "momentumseg evaluate"
    assert content["folds"][0]["model"]["sha256"] == "0" * 64
    assert content["folds"][0]["cases"] == ["case_5", "case_6", "case_1"]
    assert content["settings"]["parts"] == 3
    assert content["label_names"] == {"1": "liver", "2": "label 2"}
    assert {"momentumseg", "torch"} <= set(content["versions"])
    table = output.with_suffix(".md").read_text(encoding="utf-8")
    assert "| liver |" in table
    assert "not trained on images of test cases" in table


def test_a_model_that_has_seen_the_fold_is_refused(a_data_folder: Path, a_model: EvaluatedModel) -> None:
    seen = FoldModels(lambda _: replace(a_model, training_cases=frozenset({"case_1", "case_3"})))
    with pytest.raises(InputError, match=r"1 of the test cases \(case_1\).*--allow-overlap"):
        run_published_protocol(a_data_folder, seen, QUICK, folds=[4])
    report = run_published_protocol(a_data_folder, seen, QUICK, folds=[4], allow_overlap=True)
    assert "trained on images of 1 test cases" in report.to_markdown()


def test_a_model_of_unknown_training_is_said_to_be_one(a_data_folder: Path, a_model: EvaluatedModel) -> None:
    unknown = FoldModels(lambda _: replace(a_model, training_cases=None))
    report = run_published_protocol(a_data_folder, unknown, QUICK, folds=[4])
    assert "does not name its training cases" in report.to_markdown()


def test_impossible_options_are_refused(a_data_folder: Path, models: FoldModels) -> None:
    with pytest.raises(InputError, match="no fold 5"):
        run_published_protocol(a_data_folder, models, QUICK, folds=[5])
    with pytest.raises(InputError, match="0 parts"):
        PublishedOptions(parts=0)
    with pytest.raises(InputError, match="'some' is unknown"):
        PublishedOptions(supports="some")


def test_the_consistency_step_is_reported_beside_the_plain_result(a_data_folder: Path, models: FoldModels) -> None:
    report = run_published_protocol(a_data_folder, models, replace(QUICK, consistency=True), folds=[4])
    steps = {step: [row for row in report.scores if row["step"] == step] for step in report.steps}
    assert list(steps) == ["none", "consistency"]
    pairs = [[(row["label"], row["support"], row["query"]) for row in rows] for rows in steps.values()]
    assert pairs[0] == pairs[1]
    assert min(row["dice"] for row in steps["consistency"]) > 0.8
    assert report.to_markdown().count("**Dice") == 2
