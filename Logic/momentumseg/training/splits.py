"""Which cases are for training, validation and test: divided by patient, drawn once and kept in the run's folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from momentumseg.errors import InputError
from momentumseg.io.atomic import atomic_path
from momentumseg.io.datasets import Case, labels_without_image, natural_key, patients_of
from momentumseg.training.data_settings import DataSettings

SPLITS_FILE = "splits.json"
NNUNET_SPLITS_FILE = "splits_final.json"


@dataclass(frozen=True)
class Split:
    """Names of the cases of each part.

    Attributes:
        train: whose labels are learnt.
        unlabelled: whose images only are learnt from.
        validation: that choose the best checkpoint.
        test: that nothing of the training sees.
    """

    train: tuple[str, ...]
    unlabelled: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()

    def part(self, name: str) -> tuple[str, ...]:
        """Cases of a part by its name.

        Raises:
            InputError: there is no such part.
        """
        parts = [field.name for field in fields(self)]
        if name not in parts:
            raise InputError(f"A split has no part {name!r}; choose one of {', '.join(parts)}.")
        cases: tuple[str, ...] = getattr(self, name)
        return cases

    def names(self) -> list[str]:
        """Cases of all parts."""
        return [name for field in fields(self) for name in self.part(field.name)]

    def write(self, path: Path) -> None:
        """Keep the split as JSON.

        Raises:
            OutputError: the file cannot be written.
        """
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Split:
        """The split that :meth:`write` kept.

        Raises:
            InputError: the file cannot be read or is no split.
        """
        try:
            table = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{field.name: tuple(map(str, table[field.name])) for field in fields(cls)})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} cannot be read as the split of a run ({error}); start a new run.") from error


def split_of_run(run_folder: Path, cases: Sequence[Case], settings: DataSettings, data_folder: Path) -> Split:
    """The split that a run began with, or a new one, which is kept in the run's folder from now on.

    Cases that came into the data folder since then stay out of the run.

    Raises:
        InputError: a case of the kept split is gone, or the cases cannot be divided, see :func:`split_cases`.
        OutputError: the split cannot be written.
    """
    path = run_folder / SPLITS_FILE
    if not path.is_file():
        split = split_cases(cases, settings, data_folder)
        split.write(path)
        return split
    split = Split.read(path)
    missing = sorted(set(split.names()) - {case.name for case in cases}, key=natural_key)
    if missing:
        raise InputError(
            f"The case {missing[0]} of this run is no longer in {data_folder}; bring it back or start a new run."
        )
    return split


def split_cases(cases: Sequence[Case], settings: DataSettings, data_folder: Path) -> Split:
    """Divide cases by patient, as the settings say.

    All cases of a patient are in the same part. Unlabelled cases of patients who validate or test are left out.

    Raises:
        InputError: too few labelled patients, labels without image, or a fold that cannot be used.
    """
    lost = labels_without_image(data_folder)
    if lost:
        raise InputError(f"The labelmap {lost[0]} has no image of the same name; add the image or remove the labelmap.")
    patients = patients_of(cases, data_folder, settings.patient)
    labelled = {patients[case.name]: None for case in cases if case.label is not None}
    if not labelled:
        raise InputError(f"No volume in {data_folder} has a labelmap; training needs labels of at least two patients.")
    if settings.fold is not None:
        held_out = _held_out_of_fold(data_folder / NNUNET_SPLITS_FILE, settings.fold, patients, labelled)
    else:
        held_out = _held_out_at_random(list(labelled), settings)
    training = [patient for patient in labelled if patient not in held_out]
    if not training:
        raise InputError(f"No labelled patient in {data_folder} is left to train on; label more patients.")
    teaching = _teaching(training, settings)
    parts: dict[str, list[str]] = {field.name: [] for field in fields(Split)}
    for case in cases:
        patient = patients[case.name]
        if patient not in held_out:
            parts["train" if case.label is not None and patient in teaching else "unlabelled"].append(case.name)
        elif case.label is not None:
            parts[held_out[patient]].append(case.name)
    return Split(**{part: tuple(names) for part, names in parts.items()})


def _held_out_at_random(patients: list[str], settings: DataSettings) -> dict[str, str]:
    """Part ("validation" or "test") of each labelled patient that is not for training."""
    test, validation = _count(settings.test, len(patients)), _count(settings.validation, len(patients))
    if len(patients) == 1 and test + validation > 0:
        raise InputError(
            f"All labels are of one patient ({patients[0]}), so nothing is left to try the network on; label a second "
            "patient, or set data.patient if the names of the cases mean something else."
        )
    if test + validation >= len(patients):
        raise InputError(
            f"{validation} patients for validation and {test} for test leave none of the {len(patients)} labelled "
            "patients to train on; lower data.validation or data.test, or label more patients."
        )
    order = _shuffled(patients, settings.split_seed)
    return dict.fromkeys(order[:test], "test") | dict.fromkeys(order[test : test + validation], "validation")


def _count(share: float, patients: int) -> int:
    """Patients of a part: a number from 1 up is meant as it is, a part below 1 is at least one patient."""
    if share >= 1 or share == 0:
        return int(share)
    return max(1, round(share * patients))


def _teaching(patients: list[str], settings: DataSettings) -> set[str]:
    """Training patients whose labels are used."""
    if settings.labelled is None:
        return set(patients)
    if settings.labelled > len(patients):
        raise InputError(
            f"data.labelled asks for {settings.labelled} labelled patients, but {len(patients)} are for training; "
            "lower it."
        )
    return set(_shuffled(patients, settings.split_seed)[: settings.labelled])


def _shuffled(patients: Sequence[str], seed: int) -> list[str]:
    """Patients in an order that depends on their names and the seed alone."""
    ordered = sorted(patients, key=natural_key)
    return [ordered[index] for index in np.random.default_rng(seed).permutation(len(ordered))]


def _held_out_of_fold(path: Path, fold: int, patients: Mapping[str, str], labelled: Iterable[str]) -> dict[str, str]:
    """Part of each patient that nnU-Net's file of folds does not train on; labelled ones it leaves out are tested."""
    folds = _read_folds(path)
    if fold >= len(folds):
        raise InputError(f"data.fold is {fold}, but {path} has the folds 0 to {len(folds) - 1}; choose one of them.")
    train, validation = folds[fold]
    unknown = sorted({*train, *validation} - set(patients), key=natural_key)
    if unknown:
        raise InputError(
            f"{path} names the case {unknown[0]}, which the data folder does not have; correct one of them."
        )
    training, validating = ({patients[name] for name in names} for names in (train, validation))
    shared = sorted(training & validating, key=natural_key)
    if shared:
        raise InputError(
            f"Fold {fold} of {path} has scans of the patient {shared[0]} for training and for validation; correct it, "
            "or set data.patient if the names of the cases mean something else."
        )
    rest = set(labelled) - training - validating
    return dict.fromkeys(validating, "validation") | dict.fromkeys(rest, "test")


def _read_folds(path: Path) -> list[tuple[list[str], list[str]]]:
    if not path.is_file():
        raise InputError(f"data.fold needs nnU-Net's {path}, which does not exist; leave data.fold out to divide anew.")
    try:
        table: Any = json.loads(path.read_text(encoding="utf-8"))
        return [([*map(str, fold["train"])], [*map(str, fold["val"])]) for fold in table]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} cannot be read as a file of folds ({error}); repair it or leave data.fold out."
        ) from error
