"""Folder layouts and names of labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from momentumseg.errors import InputError
from momentumseg.io.datasets import (
    Case,
    dataset_channel_names,
    dataset_label_names,
    discover_cases,
    labelled_cases,
    parse_label_names,
    patient_of,
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


def test_nnunet_layout_with_the_channels_of_a_case(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/a_001_0000.nii.gz", "imagesTr/a_001_0001.nii.gz", "labelsTr/a_001.nii.gz")
    touch(tmp_path, "imagesTr/b_0000.nii.gz", "imagesTr/b_0001.nii.gz")
    folder, label = tmp_path / "imagesTr", tmp_path / "labelsTr" / "a_001.nii.gz"
    labelled, unlabelled = discover_cases(tmp_path)
    assert labelled == Case("a_001", folder / "a_001_0000.nii.gz", label, (folder / "a_001_0001.nii.gz",))
    assert labelled.channels == (folder / "a_001_0000.nii.gz", folder / "a_001_0001.nii.gz")
    assert unlabelled == Case("b", folder / "b_0000.nii.gz", None, (folder / "b_0001.nii.gz",))


def test_numbers_of_four_digits_are_cases_where_no_channel_0000_or_a_label_says_so(tmp_path: Path) -> None:
    touch(tmp_path, "images/scan_0001.nii.gz", "images/scan_0002.nii.gz", "labels/scan_0001.nii.gz")
    touch(tmp_path, "unlabelled/other_1234.nii.gz", "unlabelled/other_1235.nii.gz")
    names = [case.name for case in discover_cases(tmp_path)]
    assert names == ["other_1234", "other_1235", "scan_0001", "scan_0002"]


def test_unlabelled_volumes_in_a_folder_of_their_own(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/a.nii.gz", "labelsTr/a.nii.gz", "imagesUn/b_0000.nii.gz", "unlabelled/c.nii.gz")
    assert [(case.name, case.label is None) for case in discover_cases(tmp_path)] == [
        ("a", False),
        ("b", True),
        ("c", True),
    ]
    touch(tmp_path, "unlabelled/a.nii.gz")
    with pytest.raises(InputError, match="Two cases of .* have the name a; rename or remove"):
        discover_cases(tmp_path)


def test_the_training_list_of_a_decathlon_file(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/a.nii.gz", "labelsTr/a.nii.gz", "imagesTr/b.nii.gz", "labelsTr/b.nii.gz")
    touch(tmp_path, "imagesTs/t.nii.gz")
    a = {"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}
    described = {"training": [a], "test": ["./imagesTs/t.nii.gz"]}
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    assert discover_cases(tmp_path) == [Case("a", tmp_path / a["image"], tmp_path / a["label"])]
    described["training"] = [a, {"image": "./imagesTr/b.nii.gz"}]
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    assert [case.label is None for case in discover_cases(tmp_path)] == [False, True]


def test_the_training_list_of_nnunets_first_version_leaves_out_the_channel(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz", "labelsTr/a.nii.gz")
    training = [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}]
    (tmp_path / "dataset.json").write_text(json.dumps({"training": training}))
    assert [(case.name, len(case.channels)) for case in discover_cases(tmp_path)] == [("a", 2)]


@pytest.mark.parametrize("entry", [{"image": "x.nii", "label": "y.nii"}, "a.nii", {"label": "y.nii"}])
def test_a_training_list_that_names_what_is_not_there_is_refused(tmp_path: Path, entry: object) -> None:
    touch(tmp_path, "imagesTr/a.nii.gz", "labelsTr/a.nii.gz")
    (tmp_path / "dataset.json").write_text(json.dumps({"training": [entry]}))
    with pytest.raises(InputError, match=r"dataset\.json lists .*(does not exist|give an image and a label)"):
        discover_cases(tmp_path)


@pytest.mark.parametrize(
    ("case", "patient"),
    [
        ("patient001_frame01", "patient001"),
        ("patient001_frame12", "patient001"),
        ("hippocampus_001", "hippocampus_001"),
        ("chaos_t2_01", "chaos_t2_01"),
        ("heart-7_ED", "heart-7"),
        ("anna_t1", "anna"),
        ("ben_phase2_left", "ben"),
        ("case_0003", "case_0003"),
        ("_t1", "_t1"),
        ("nodes", "nodes"),
    ],
)
def test_scans_of_one_patient(case: str, patient: str) -> None:
    assert patient_of(case) == patient


def test_patients_by_a_pattern() -> None:
    assert patient_of("siteA-012-baseline", r"^(site\w-\d+)") == "siteA-012"
    with pytest.raises(InputError, match="does not fit the case 'x'"):
        patient_of("x", r"(\d+)")
    with pytest.raises(InputError, match="is no regular expression"):
        patient_of("x", "(")
    with pytest.raises(InputError, match="has no group"):
        patient_of("x", "x")


def test_names_of_channels(tmp_path: Path) -> None:
    assert dataset_channel_names(tmp_path) == []
    (tmp_path / "dataset.json").write_text(json.dumps({"channel_names": {"1": "T2", "0": "FLAIR"}}))
    assert dataset_channel_names(tmp_path) == ["FLAIR", "T2"]
    (tmp_path / "dataset.json").write_text(json.dumps({"modality": {"0": "MRI"}}))
    assert dataset_channel_names(tmp_path) == ["MRI"]


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
    hearts = labelled_cases(shared_data / "acdc")
    assert len(hearts) == 40
    assert len({patient_of(case.name) for case in hearts}) == 20
