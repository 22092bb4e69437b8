"""The protocol of automatic models: what is scored, over patients and models, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from momentumseg.errors import InputError
from momentumseg.evaluation import automatic_protocol
from momentumseg.evaluation.automatic_protocol import AutomaticOptions, cases_of_split, run_automatic_protocol
from momentumseg.evaluation.automatic_report import AutomaticReport
from momentumseg.evaluation.report import FoldResult
from momentumseg.io.read import read_labelmap
from momentumseg.networks.segmentation import SegmentationNetwork
from momentumseg.training.splits import Split
from momentumseg.transforms.data_statistics import DataStatistics, LabelTable
from momentumseg.weights.cards import ModelCard
from momentumseg.weights.segmentation_models import LoadedSegmentationModel


class OfBrightness(SegmentationNetwork):
    """The class whose brightness -1, 0 or 1 is nearest; ``shift`` makes it worse."""

    dimensions, divisor = 3, 1

    def __init__(self, shift: float) -> None:
        super().__init__(1, 3)
        self.calls = 0
        self.centres = nn.Parameter(torch.tensor([-1.0 + shift, 0.0, 1.0]).view(1, 3, 1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return -50.0 * (self.checked(images) - self.centres).square()


def a_loaded_model(reference: str, values: tuple[int, ...] = (1, 2), shift: float = 0.0) -> LoadedSegmentationModel:
    statistics = DataStatistics(
        spacing=(None, None, None),
        plane="volume",
        patch=(8, 32, 32),
        channels=("image",),
        intensity=[0.0, 200.0],
        labels=LabelTable.of({value: f"part {value}" for value in values}),
    )
    card = ModelCard(reference, extra={"training_cases": ["case_1", "case_2"]})
    return LoadedSegmentationModel(OfBrightness(shift), card, reference * 8, {}, statistics, Path(reference))


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> dict[str, LoadedSegmentationModel]:
    """Models by reference; the worse one takes faint voxels for label 1."""
    models = {"good": a_loaded_model("good"), "worse": a_loaded_model("worse", shift=-0.9)}
    monkeypatch.setattr(automatic_protocol, "load_segmentation_model", lambda name, device="cpu": models[name])
    return models


UNSEEN = ["case_3", "case_4", "case_5"]


def test_every_label_of_every_case_is_scored(a_data_folder: Path, loaded: dict) -> None:
    report = run_automatic_protocol(a_data_folder, ["good"], cases=UNSEEN)
    assert [(row["case"], row["label"]) for row in report.scores] == [
        ("case_3", 1),
        ("case_3", 2),
        ("case_4", 1),  # has no label 2, and none was found
        ("case_5", 1),
        ("case_5", 2),
    ]
    for row in report.scores:
        assert row["dice"] > 0.99
        assert row["surface_dice"] > 0.99
        assert row["hd95_mm"] == pytest.approx(0.0, abs=0.1)
        assert row["volume_ml"] == pytest.approx(row["reference_volume_ml"], rel=0.02)
    voxels = np.count_nonzero(read_labelmap(a_data_folder / "labels" / "case_3.nii.gz").array == 1)
    assert report.scores[0]["reference_volume_ml"] == pytest.approx(voxels * 1.5 * 1.5 * 4 / 1000)
    assert "its training used none of the cases" in report.to_markdown()
    assert report.label_names == {1: "part 1", 2: "part 2"}


def test_several_models_are_compared_and_their_spread_is_told(
    a_data_folder: Path, loaded: dict, tmp_path: Path
) -> None:
    report = run_automatic_protocol(
        a_data_folder, ["good", "worse"], cases=UNSEEN, output=tmp_path / "r.json", label_names={1: "liver"}
    )
    means = [report.of_patients("dice", model, 1).mean for model in (0, 1)]
    assert means[0] > means[1]
    over = report.of_models("dice", 1)
    assert (over.mean, over.count) == (pytest.approx(np.mean(means)), 2)
    assert over.deviation == pytest.approx(np.std(means, ddof=1))
    text = (tmp_path / "r.md").read_text(encoding="utf-8")
    assert "| liver | part 2 | all |" in text
    assert "| 2 models |" in text
    assert "Surface Dice at 3 mm" in text
    summary = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["summary"]
    assert summary["dice"]["over models"]["labels"]["1"]["mean"] == pytest.approx(over.mean)


def test_finished_models_are_not_computed_again(a_data_folder: Path, loaded: dict, tmp_path: Path) -> None:
    first = run_automatic_protocol(a_data_folder, ["good"], cases=UNSEEN, output=tmp_path / "r.json")
    calls = loaded["good"].network.calls
    again = run_automatic_protocol(a_data_folder, ["good"], cases=UNSEEN, output=tmp_path / "r.json")
    assert (loaded["good"].network.calls, again.scores) == (calls, first.scores)
    run_automatic_protocol(
        a_data_folder, ["good"], AutomaticOptions(mirror=True), cases=UNSEEN, output=tmp_path / "r.json"
    )
    assert loaded["good"].network.calls > calls


def test_scans_of_a_patient_count_once() -> None:
    def row(case: str, patient: str, label: int, dice: float) -> dict[str, Any]:
        return {"case": case, "patient": patient, "label": label, "dice": dice, "hd95_mm": None}

    scores = [row("a_ED", "a", 1, 0.4), row("a_ES", "a", 1, 0.6), row("a_ES", "a", 2, 0.9), row("b", "b", 1, 0.9)]
    model = {"reference": "m", "sha256": "0" * 12, "overlap": ""}
    report = AutomaticReport({"tolerance_mm": 1.0}, {1: "x", 2: "y"}, [FoldResult(0, [], model, scores, 0.0)], "")
    assert report.of_patients("dice", 0, 1).mean == pytest.approx((0.5 + 0.9) / 2)
    assert report.of_patients("dice", 0).mean == pytest.approx(((0.5 + 0.9) / 2 + 0.9) / 2)
    assert report.of_patients("dice", 0).count == 2
    assert report.metrics == ["dice"]
    assert "2 patients (3 scans)" in report.to_markdown()


def test_cases_of_training_are_refused_unless_allowed(a_data_folder: Path, loaded: dict) -> None:
    with pytest.raises(InputError, match=r"used 1 of the cases \(case_2\).*--split"):
        run_automatic_protocol(a_data_folder, ["good"], cases=["case_2", "case_3"])
    report = run_automatic_protocol(a_data_folder, ["good"], cases=["case_2", "case_3"], allow_overlap=True)
    assert "its training used 1 of the cases" in report.to_markdown()


def test_labels_may_be_chosen_and_must_be_known(a_data_folder: Path, loaded: dict) -> None:
    report = run_automatic_protocol(a_data_folder, ["good"], AutomaticOptions(labels=(2,)), cases=UNSEEN)
    assert {row["label"] for row in report.scores} == {2}
    assert report.label_names == {2: "part 2"}
    with pytest.raises(InputError, match=r"does not know the label 5; it knows 1 \(part 1\), 2"):
        run_automatic_protocol(a_data_folder, ["good"], AutomaticOptions(labels=(5,)), cases=UNSEEN)


def test_models_of_other_labels_are_not_compared(a_data_folder: Path, loaded: dict) -> None:
    loaded["other"] = a_loaded_model("other", values=(3, 4))
    with pytest.raises(InputError, match=r"labels \[3, 4\], the others have \[1, 2\]"):
        run_automatic_protocol(a_data_folder, ["good", "other"], cases=UNSEEN)
    with pytest.raises(InputError, match="no model to evaluate"):
        run_automatic_protocol(a_data_folder, [])


def test_measures_that_are_not_wanted_are_left_out(a_data_folder: Path, loaded: dict) -> None:
    options = AutomaticOptions(tolerance_mm=None, distances=False)
    report = run_automatic_protocol(a_data_folder, ["good"], options, cases=UNSEEN)
    assert report.metrics == ["dice"]


def test_progress_names_model_and_case(a_data_folder: Path, loaded: dict) -> None:
    told: list[tuple[str, float]] = []
    run_automatic_protocol(a_data_folder, ["good", "worse"], cases=UNSEEN, progress=lambda *facts: told.append(facts))
    assert told[0] == ("model 1, case_3", 0.0)
    assert told[-1] == ("model 2, case_5", 1.0)
    assert [fraction for _, fraction in told] == sorted(fraction for _, fraction in told)


def test_cases_of_a_run(tmp_path: Path) -> None:
    Split(train=("a",), validation=("b",), test=("c", "d")).write(tmp_path / "splits.json")
    assert cases_of_split(tmp_path / "splits.json", "test") == ["c", "d"]
    Split(train=("a",)).write(tmp_path / "splits.json")
    with pytest.raises(InputError, match=r"no test cases.*data\.test"):
        cases_of_split(tmp_path / "splits.json", "test")
