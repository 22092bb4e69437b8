"""The data folder of a run whose cases come from an application: written case by case, in nnU-Net's words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from momentumseg.errors import GeometryError, InputError
from momentumseg.io.atomic import atomic_path
from momentumseg.io.checks import create_folder
from momentumseg.io.write import write_volume
from momentumseg.volumes.volume import Volume

DATA_FOLDER = "data"
_NAME = re.compile(r"[\w][\w .()+-]*")
_SUFFIX = ".nii.gz"
_DESCRIPTION = "dataset.json"
_OWN = "momentumseg"


def add_case(
    run_folder: Path,
    name: str,
    volume: Volume,
    labelmap: np.ndarray | None,
    label_names: Mapping[int, str],
    patient: str = "",
) -> Path:
    """Write a case into ``RUN/data`` and return that folder; a case of that name is replaced.

    Args:
        run_folder: is made if need be.
        name: of the case, and of its files.
        volume: the image.
        labelmap: (K, J, I) on its voxels; None for an unlabelled case.
        label_names: of all structures of the data set, by label.
        patient: that it is a scan of; by default told by the name.

    Raises:
        InputError: a name that is no file name, labels without a name, or a label with two names.
        GeometryError: the labels are not on the image's voxels.
        OutputError: a file cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"The case cannot be called {name!r}; use letters, digits, blanks, '-' and '_'.")
    if labelmap is not None:
        _check_labels(name, volume, labelmap, label_names)
    data = run_folder / DATA_FOLDER
    images, labels = create_folder(data / "images"), create_folder(data / "labels")
    label_path = labels / f"{name}{_SUFFIX}"
    _describe(data, name, label_names, patient)
    if labelmap is None:
        label_path.unlink(missing_ok=True)
    else:
        write_volume(volume.like(labelmap, name), label_path)
    write_volume(volume, images / f"{name}{_SUFFIX}")
    return data


def is_own_data(folder: Path) -> bool:
    """Whether a data folder lies in a run and was written by :func:`add_case`."""
    return folder.name == DATA_FOLDER and _OWN in _read(folder / _DESCRIPTION)


def _check_labels(name: str, volume: Volume, labelmap: np.ndarray, names: Mapping[int, str]) -> None:
    if labelmap.shape != volume.shape:
        raise GeometryError(
            f"The labels of {name} have {labelmap.shape} voxels, its volume {volume.shape}; send both again."
        )
    unknown = sorted(set(np.unique(labelmap).tolist()) - {0, *names})
    if unknown:
        raise InputError(f"The labels of {name} hold {unknown[0]}, which has no name; name every structure.")


def _describe(data: Path, name: str, label_names: Mapping[int, str], patient: str) -> None:
    """Add the case's patient and the labels to ``dataset.json``."""
    path = data / _DESCRIPTION
    table = _read(path)
    known = {int(value): str(label) for label, value in table.get("labels", {}).items()}
    for value, label in label_names.items():
        if known.setdefault(value, label) != label:
            raise InputError(
                f"Label {value} is called '{known[value]}' in one case and '{label}' in another; use one name."
            )
    if len(set(known.values())) < len(known):
        raise InputError("Two labels have the same name; give every structure a name of its own.")
    labels = {label: value for value, label in sorted(known.items())}
    patients = {**table.get("patients", {}), **({name: patient} if patient else {})}
    with atomic_path(path) as temporary:
        content = {"labels": labels, "patients": patients, "file_ending": _SUFFIX, _OWN: "cases of a scene"}
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); begin in another folder.") from error
    return table
