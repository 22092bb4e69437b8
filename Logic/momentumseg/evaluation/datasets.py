"""Finding the cases of a data folder: which image belongs to which labelmap, and what the labels are called."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from momentumseg.errors import InputError

_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")
_FOLDER_PAIRS = (("images", "labels"), ("imagesTr", "labelsTr"))
_CHANNEL_SUFFIX = re.compile(r"_\d{4}$")
_LAYOUTS = (
    "an 'images' and a 'labels' folder, the nnU-Net layout (imagesTr, labelsTr, dataset.json) or pairs of files "
    "*_image and *_label"
)


@dataclass(frozen=True)
class Case:
    """One volume of a data folder.

    Attributes:
        name: file name without suffix, unique within the folder.
        image: path of the volume.
        label: path of its labelmap, None for an unlabelled case.
    """

    name: str
    image: Path
    label: Path | None = None


def discover_cases(folder: Path | str) -> list[Case]:
    """Cases of a folder, sorted by the numbers in their names (``case_2`` before ``case_10``).

    Understood layouts: ``images/`` and ``labels/``; nnU-Net and Decathlon (``imagesTr/``, ``labelsTr/``; of a
    multi-channel case the channel ``_0000``); ``NAME_image`` and ``NAME_label`` side by side; volumes without labels.

    Raises:
        InputError: the folder does not exist or holds no volume.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"The data folder {root} does not exist; give a folder with {_LAYOUTS}.")
    cases = _cases_of_folder_pairs(root) or _cases_of_file_pairs(root)
    if not cases:
        raise InputError(f"No volume was found in {root}; it must hold {_LAYOUTS}.")
    return sorted(cases, key=lambda case: natural_key(case.name))


def labelled_cases(folder: Path | str) -> list[Case]:
    """The cases of :func:`discover_cases` that have a labelmap.

    Raises:
        InputError: none has.
    """
    cases = [case for case in discover_cases(folder) if case.label is not None]
    if not cases:
        raise InputError(f"The volumes in {folder} have no labelmaps; an evaluation needs {_LAYOUTS}.")
    return cases


def select_cases(cases: list[Case], wanted: list[str] | None) -> list[Case]:
    """The cases with the given names, in the order of ``cases``; all of them for None.

    Raises:
        InputError: a name is unknown.
    """
    if not wanted:
        return cases
    unknown = sorted(set(wanted) - {case.name for case in cases})
    if unknown:
        raise InputError(f"There is no case {unknown[0]!r}; the folder has {_abbreviated(cases)}.")
    return [case for case in cases if case.name in set(wanted)]


def dataset_label_names(folder: Path | str) -> dict[int, str]:
    """Names of the labels > 0 from ``dataset.json`` (nnU-Net v1 and v2, Decathlon); empty without one.

    Raises:
        InputError: the file is not JSON.
    """
    path = Path(folder) / "dataset.json"
    if not path.is_file():
        return {}
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}); repair it or move it away.") from error
    labels = table.get("labels", {}) if isinstance(table, dict) else {}
    names: dict[int, str] = {}
    for key, value in labels.items() if isinstance(labels, dict) else ():
        names |= _named_label(key, value)
    names.pop(0, None)
    return names


def parse_label_names(text: str) -> dict[int, str]:
    """Names of ``"1=liver,2=right kidney"``.

    Raises:
        InputError: an entry is not ``number=name``.
    """
    names: dict[int, str] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        number, equals, name = entry.partition("=")
        if not equals or not number.strip().isdigit() or not name.strip():
            raise InputError(f"The label name {entry!r} is not of the form number=name, for example 1=liver.")
        names[int(number)] = name.strip()
    return names


def natural_key(name: str) -> tuple[Any, ...]:
    """Sorting key that compares the digits in a name as numbers."""
    parts = re.split(r"(\d+)", name)
    return tuple((1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts)


def _named_label(key: Any, value: Any) -> dict[int, str]:
    """``{"1": "liver"}`` (Decathlon, nnU-Net v1) and ``{"liver": 1}`` (nnU-Net v2); regions have no one label."""
    if isinstance(value, int):
        return {value: str(key)}
    if isinstance(value, str) and str(key).isdigit():
        return {int(key): value}
    return {}


def _cases_of_folder_pairs(root: Path) -> list[Case]:
    for images, labels in _FOLDER_PAIRS:
        if (root / images).is_dir():
            return _matched_cases(_volumes(root / images), _volumes(root / labels))
    return []


def _matched_cases(images: dict[str, Path], labels: dict[str, Path]) -> list[Case]:
    cases: dict[str, Case] = {}
    for stem in sorted(images):
        name = stem if stem in labels else _CHANNEL_SUFFIX.sub("", stem)
        cases.setdefault(name, Case(name, images[stem], labels.get(name)))
    return list(cases.values())


def _cases_of_file_pairs(root: Path) -> list[Case]:
    volumes = _volumes(root)
    paired = [stem for stem in volumes if stem.endswith("_image")]
    if not paired:
        return [Case(stem, path) for stem, path in volumes.items()]
    return [
        Case(stem.removesuffix("_image"), volumes[stem], volumes.get(stem.removesuffix("_image") + "_label"))
        for stem in paired
    ]


def _volumes(folder: Path) -> dict[str, Path]:
    """Path of each volume file by its name without suffix; hidden files (such as ``._x`` of macOS) are left out."""
    if not folder.is_dir():
        return {}
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        suffix = next((end for end in _SUFFIXES if path.name.lower().endswith(end)), None)
        if suffix is not None and not path.name.startswith("."):
            found[path.name[: -len(suffix)]] = path
    return found


def _abbreviated(cases: list[Case]) -> str:
    names = ", ".join(case.name for case in cases[:5])
    return names if len(cases) <= 5 else f"{names}, ... ({len(cases)} cases)"
