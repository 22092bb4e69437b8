"""Cases divided by patient, once, and the same after a restart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from momentumseg.errors import InputError
from momentumseg.io.datasets import Case, labelled_cases
from momentumseg.training.data_settings import DataSettings
from momentumseg.training.splits import SPLITS_FILE, Split, split_cases, split_of_run


def some_cases(patients: int, scans: int = 2, unlabelled: int = 0) -> list[Case]:
    """Each patient has ``scans`` labelled cases, and the last ``unlabelled`` patients one more without labels."""
    cases = [
        Case(f"p{patient}_frame{scan}", Path("i"), Path("l")) for patient in range(patients) for scan in range(scans)
    ]
    return cases + [Case(f"p{patient}_frame9", Path("i")) for patient in range(patients - unlabelled, patients)]


def settings(**changed: object) -> DataSettings:
    return DataSettings(**{"patch": (8, 8, 8), **changed})  # type: ignore[arg-type]


def patients_in(split: Split, part: str) -> set[str]:
    return {name.partition("_")[0] for name in split.part(part)}


def test_all_scans_of_a_patient_are_in_one_part(tmp_path: Path) -> None:
    split = split_cases(some_cases(10), settings(validation=0.2, test=3), tmp_path)
    parts = [patients_in(split, part) for part in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [5, 2, 3]
    assert set.union(*parts) == {f"p{patient}" for patient in range(10)}
    assert len(split.names()) == len(set(split.names())) == 20


def test_the_split_depends_on_its_seed_and_not_on_the_order_of_files(tmp_path: Path) -> None:
    cases = some_cases(12)
    first = split_cases(cases, settings(), tmp_path)
    assert set(split_cases(cases[::-1], settings(), tmp_path).validation) == set(first.validation)
    others = {split_cases(cases, settings(split_seed=seed), tmp_path).validation for seed in range(5)}
    assert len(others) > 1


def test_unlabelled_scans_of_patients_who_validate_or_test_are_left_out(tmp_path: Path) -> None:
    cases = some_cases(6, scans=1, unlabelled=6)
    split = split_cases(cases, settings(validation=2, test=1), tmp_path)
    assert len(split.train) == len(split.unlabelled) == 3
    assert patients_in(split, "unlabelled") == patients_in(split, "train")


def test_few_labelled_patients_for_experiments(tmp_path: Path) -> None:
    cases = some_cases(20)
    wanted = settings(labelled=3, validation=0, test=4)
    split = split_cases(cases, wanted, tmp_path)
    assert [len(patients_in(split, part)) for part in ("train", "unlabelled", "test")] == [3, 13, 4]
    assert not patients_in(split, "train") & patients_in(split, "unlabelled")
    with pytest.raises(InputError, match="asks for 17 labelled patients, but 16 are for training"):
        split_cases(cases, settings(labelled=17, validation=0, test=4), tmp_path)


def test_a_single_case_or_patient_is_refused(tmp_path: Path) -> None:
    for cases in (some_cases(1, scans=1), some_cases(1, scans=3)):
        with pytest.raises(InputError, match=r"All labels are of one patient \(p0\).*label a second patient"):
            split_cases(cases, settings(), tmp_path)


def test_a_single_patient_is_enough_without_validation(tmp_path: Path) -> None:
    assert split_cases(some_cases(1), settings(validation=0), tmp_path).train == ("p0_frame0", "p0_frame1")


def test_parts_that_leave_nobody_to_train_on_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 patients for validation and 2 for test leave none of the 3"):
        split_cases(some_cases(3), settings(validation=0.2, test=2), tmp_path)


def test_cases_without_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No volume in .* has a labelmap"):
        split_cases([Case("a", Path("a")), Case("b", Path("b"))], settings(), tmp_path)


def test_a_labelmap_without_image_is_named(tmp_path: Path) -> None:
    for name in ("images/a.nii", "labels/a.nii", "images/b_0000.nii", "labels/b.nii"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert split_cases(some_cases(2), settings(), tmp_path).train
    (tmp_path / "labels" / "c.nii").touch()
    with pytest.raises(InputError, match=r"labels/c\.nii has no image of the same name; add the image"):
        split_cases(some_cases(2), settings(), tmp_path)
    (tmp_path / "labels" / "c.nii").unlink()
    (tmp_path / "d_label.nii").touch()
    with pytest.raises(InputError, match=r"d_label\.nii has no image"):
        split_cases(some_cases(2), settings(), tmp_path)


def test_patients_named_by_the_dataset_file_come_first(tmp_path: Path) -> None:
    cases = [Case(name, Path("i"), Path("l")) for name in ("left", "right", "other")]
    (tmp_path / "dataset.json").write_text(json.dumps({"patients": {"left": "Anna", "right": "Anna"}}))
    for seed in range(6):
        split = split_cases(cases, settings(validation=1, split_seed=seed), tmp_path)
        assert {"left", "right"} in (set(split.train), set(split.validation))


def test_a_run_keeps_its_split(tmp_path: Path) -> None:
    cases = some_cases(8)
    first = split_of_run(tmp_path, cases, settings(), tmp_path)
    assert Split.read(tmp_path / SPLITS_FILE) == first
    more = [*cases, *some_cases(20)[16:]]
    assert split_of_run(tmp_path, more, settings(split_seed=5), tmp_path) == first
    with pytest.raises(InputError, match="The case p0_frame0 of this run is no longer in"):
        split_of_run(tmp_path, cases[1:], settings(), tmp_path)


def test_a_damaged_split_is_named(tmp_path: Path) -> None:
    (tmp_path / SPLITS_FILE).write_text('{"train": 3}')
    with pytest.raises(InputError, match=r"splits\.json cannot be read"):
        split_of_run(tmp_path, some_cases(8), settings(), tmp_path)


def test_a_part_that_does_not_exist_is_named() -> None:
    with pytest.raises(InputError, match="no part 'evaluation'; choose one of train, unlabelled, validation, test"):
        Split(("a",)).part("evaluation")


def write_folds(folder: Path, *folds: tuple[list[str], list[str]]) -> None:
    table = [{"train": train, "val": validation} for train, validation in folds]
    (folder / "splits_final.json").write_text(json.dumps(table))


def test_folds_of_nnunet(tmp_path: Path) -> None:
    cases = [*(Case(name, Path("i"), Path("l")) for name in "abcd"), Case("u", Path("u"))]
    write_folds(tmp_path, (["b"], ["a"]), (["a", "c"], ["b"]))
    split = split_cases(cases, settings(fold=1), tmp_path)
    assert split == Split(train=("a", "c"), unlabelled=("u",), validation=("b",), test=("d",))


@pytest.mark.parametrize(
    ("train", "validation", "fold", "words"),
    [
        (["p0_frame0"], ["p0_frame1"], 0, "has scans of the patient p0 for training and for validation"),
        (["p7_frame0"], ["p0_frame1"], 0, "names the case p7_frame0, which the data folder does not have"),
        (["p0_frame0", "p0_frame1"], ["p1_frame0"], 3, "has the folds 0 to 0"),
    ],
)
def test_folds_that_cannot_be_used_are_refused(
    tmp_path: Path, train: list[str], validation: list[str], fold: int, words: str
) -> None:
    write_folds(tmp_path, (train, validation))
    with pytest.raises(InputError, match=words):
        split_cases(some_cases(2), settings(fold=fold), tmp_path)


def test_a_fold_without_a_file_of_folds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.fold needs nnU-Net's .*splits_final\.json, which does not exist"):
        split_cases(some_cases(2), settings(fold=0), tmp_path)
    (tmp_path / "splits_final.json").write_text("[1]")
    with pytest.raises(InputError, match="cannot be read as a file of folds"):
        split_cases(some_cases(2), settings(fold=0), tmp_path)


def test_real_hearts_by_patient(shared_data: Path) -> None:
    cases = labelled_cases(shared_data / "acdc")
    split = split_cases(cases, settings(validation=0.2, test=4), shared_data / "acdc")
    parts = [patients_in(split, part) for part in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [12, 4, 4]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
