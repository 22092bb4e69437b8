"""Folder layouts and names of labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from momentumseg.errors import InputError
from momentumseg.evaluation.datasets import (
    Case,
    dataset_label_names,
    discover_cases,
    labelled_cases,
    parse_label_names,
    select_cases,
)


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_images_and_labels_sorted_by_their_numbers(tmp_path: Path) -> None:
    touch(tmp_path, "images/c_10.nii.gz", "images/c_9.nii.gz", "labels/c_10.nii.gz", "labels/c_9.nii.gz")
    touch(tmp_path, "images/._c_9.nii.gz", "images/notes.txt", "images/c_11.nrrd")
    cases = discover_cases(tmp_path)
    assert [case.name for case in cases] == ["c_9", "c_10", "c_11"]
    assert cases[0].label == tmp_path / "labels" / "c_9.nii.gz"
    assert cases[2].label is None
    assert [case.name for case in labelled_cases(tmp_path)] == ["c_9", "c_10"]


def test_nnunet_layout_takes_the_first_channel_of_a_case(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/a_001_0000.nii.gz", "imagesTr/a_001_0001.nii.gz", "labelsTr/a_001.nii.gz")
    image, label = tmp_path / "imagesTr" / "a_001_0000.nii.gz", tmp_path / "labelsTr" / "a_001.nii.gz"
    assert discover_cases(tmp_path) == [Case("a_001", image, label)]


def test_decathlon_case_whose_number_looks_like_a_channel(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/liver_0000.nii.gz", "labelsTr/liver_0000.nii.gz")
    assert [case.name for case in labelled_cases(tmp_path)] == ["liver_0000"]


def test_pairs_side_by_side(tmp_path: Path) -> None:
    touch(tmp_path, "p1_image.nii.gz", "p1_label.nii.gz", "p1_scribble.nii.gz", "p2_image.nii.gz")
    assert [(case.name, case.label is not None) for case in discover_cases(tmp_path)] == [("p1", True), ("p2", False)]


def test_folders_without_volumes_or_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        discover_cases(tmp_path / "missing")
    with pytest.raises(InputError, match="No volume was found"):
        discover_cases(tmp_path)
    touch(tmp_path, "images/a.nii")
    with pytest.raises(InputError, match="have no labelmaps"):
        labelled_cases(tmp_path)


def test_cases_are_chosen_by_name(tmp_path: Path) -> None:
    cases = [Case(name, tmp_path / name) for name in ("a", "b", "c")]
    assert select_cases(cases, ["c", "a"]) == [cases[0], cases[2]]
    assert select_cases(cases, None) == cases
    with pytest.raises(InputError, match="no case 'd'.*a, b, c"):
        select_cases(cases, ["a", "d"])


@pytest.mark.parametrize(
    "labels",
    [{"0": "background", "1": "liver", "2": "spleen"}, {"background": 0, "liver": 1, "spleen": 2, "all": [1, 2]}],
    ids=["Decathlon", "nnU-Net v2"],
)
def test_names_of_labels_from_the_dataset_file(tmp_path: Path, labels: dict[str, object]) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
    assert dataset_label_names(tmp_path) == {1: "liver", 2: "spleen"}


def test_a_broken_dataset_file_is_named(tmp_path: Path) -> None:
    assert dataset_label_names(tmp_path) == {}
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        dataset_label_names(tmp_path)


def test_names_of_labels_from_an_option() -> None:
    assert parse_label_names("1=liver, 4=right kidney") == {1: "liver", 4: "right kidney"}
    with pytest.raises(InputError, match="number=name"):
        parse_label_names("liver=1")


def test_real_folders(shared_data: Path) -> None:
    abdomen = labelled_cases(shared_data / "chaos_t2")
    assert [case.name[-2:] for case in abdomen[:5]] == ["01", "02", "03", "05", "08"]
    assert len(abdomen) == 20
    assert len(labelled_cases(shared_data / "acdc")) == 40
