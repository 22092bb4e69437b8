"""Finding the cases of a data folder: which image belongs to which labelmap, and what the labels are called."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from momentumseg.errors import InputError

_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")
_FOLDER_PAIRS = (("images", "labels"), ("imagesTr", "labelsTr"))
_UNLABELLED_FOLDERS = ("imagesUn", "unlabelled", "unlabeled")
_CHANNEL_SUFFIX = re.compile(r"_(\d{4})$")
# What tells scans of one patient apart in the names of public data sets: a time, a phase of the heart, a side.
_SCAN_SUFFIX = re.compile(
    r"([_-](((frame|phase|time|visit|session|ses|scan|t)[_-]?\d+)|(ed|es|left|right)))+$", re.IGNORECASE
)
_LAYOUTS = (
    "an 'images' and a 'labels' folder, the nnU-Net layout (imagesTr, labelsTr, dataset.json) or pairs of files "
    "*_image and *_label"
)


@dataclass(frozen=True)
class Case:
    """One volume of a data folder.

    Attributes:
        name: file name without suffix, unique within the folder.
        image: path of the volume; of its first channel when it has several.
        label: path of its labelmap, None for an unlabelled case.
        further_channels: paths of the channels after the first, in order.
    """

    name: str
    image: Path
    label: Path | None = None
    further_channels: tuple[Path, ...] = ()

    @property
    def channels(self) -> tuple[Path, ...]:
        """Paths of all channels, in order."""
        return (self.image, *self.further_channels)


def discover_cases(folder: Path | str) -> list[Case]:
    """Cases of a folder, sorted by the numbers in their names (``case_2`` before ``case_10``).

    Understood layouts: ``images/`` and ``labels/``; nnU-Net and Decathlon (``imagesTr/``, ``labelsTr/``, channels
    ``_0000``, ``_0001`` ..., the ``training`` list of ``dataset.json``); ``NAME_image`` and ``NAME_label`` side by
    side; volumes without labels. Volumes in ``imagesUn/`` or ``unlabelled/`` are cases without labels.

    Raises:
        InputError: the folder does not exist or holds no volume, ``dataset.json`` names a file that is not there, or
            two cases have the same name.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"The data folder {root} does not exist; give a folder with {_LAYOUTS}.")
    in_folders = _cases_of_folder_pairs(root)
    cases = _listed_cases(root, in_folders) or in_folders or _cases_of_file_pairs(root)
    cases = cases + _unlabelled_cases(root)
    if not cases:
        raise InputError(f"No volume was found in {root}; it must hold {_LAYOUTS}.")
    for name, count in Counter(case.name for case in cases).items():
        if count > 1:
            raise InputError(f"Two cases of {root} have the name {name}; rename or remove one of them.")
    return sorted(cases, key=lambda case: natural_key(case.name))


def patient_of(case_name: str, pattern: str | None = None) -> str:
    """The patient that a case belongs to: scans of one patient must not be split between training and test.

    Args:
        case_name: ``patient001_frame01`` is of ``patient001``; ``hippocampus_001`` is a patient.
        pattern: regular expression whose first group is the patient, for other names.

    Raises:
        InputError: the pattern is no regular expression with a group, or does not fit the name.
    """
    if pattern is None:
        return _SCAN_SUFFIX.sub("", case_name) or case_name
    found = patient_pattern(pattern).search(case_name)
    if found is None or not found.group(1):
        raise InputError(
            f"The pattern of patients {pattern!r} does not fit the case {case_name!r}; change one of them."
        )
    return found.group(1)


def labels_without_image(folder: Path | str) -> list[Path]:
    """Labelmaps of a folder whose image is not there."""
    root, lost = Path(folder), []
    for images, labels in _FOLDER_PAIRS:
        names = _volumes(root / images)
        found = _volumes(root / labels).items() if names else ()
        lost += [path for stem, path in found if stem not in names and f"{stem}_0000" not in names]
    pairs = _volumes(root)
    ended = {stem.removesuffix("_label"): path for stem, path in pairs.items() if stem.endswith("_label")}
    return lost + [path for stem, path in ended.items() if f"{stem}_image" not in pairs]


def patients_of(cases: Sequence[Case], folder: Path | str, pattern: str | None = None) -> dict[str, str]:
    """The patient of each case by its name: from the ``patients`` of ``dataset.json``, else see :func:`patient_of`.

    Raises:
        InputError: ``dataset.json`` is not JSON, or the pattern does not fit.
    """
    told = _dataset_file(Path(folder)).get("patients")
    told = told if isinstance(told, dict) else {}
    return {case.name: str(told.get(case.name) or patient_of(case.name, pattern)) for case in cases}


def patient_pattern(pattern: str) -> re.Pattern[str]:
    """The regular expression of :func:`patient_of`.

    Raises:
        InputError: it is none, or has no group.
    """
    try:
        compiled = re.compile(pattern)
    except (re.error, TypeError) as error:
        raise InputError(f"The pattern of patients {pattern!r} is no regular expression ({error}).") from error
    if compiled.groups < 1:
        raise InputError(f"The pattern of patients {pattern!r} has no group; put the patient in brackets: '(p\\d+)_'.")
    return compiled


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
    labels = _dataset_file(Path(folder)).get("labels", {})
    names: dict[int, str] = {}
    for key, value in labels.items() if isinstance(labels, dict) else ():
        names |= _named_label(key, value)
    names.pop(0, None)
    return names


def dataset_channel_names(folder: Path | str) -> list[str]:
    """Names of the channels from ``dataset.json`` (``channel_names`` or ``modality``); empty without them.

    Raises:
        InputError: the file is not JSON.
    """
    table = _dataset_file(Path(folder))
    channels = table.get("channel_names", table.get("modality", {}))
    if not isinstance(channels, dict):
        return []
    return [str(channels[key]) for key in sorted(channels, key=lambda key: natural_key(str(key)))]


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


def _dataset_file(root: Path) -> dict[str, Any]:
    """The content of ``dataset.json``; empty without one."""
    path = root / "dataset.json"
    if not path.is_file():
        return {}
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}); repair it or move it away.") from error
    return table if isinstance(table, dict) else {}


def _listed_cases(root: Path, in_folders: list[Case]) -> list[Case]:
    """Cases of the ``training`` list of a Decathlon ``dataset.json``: ``[{"image": path, "label": path}, ...]``.

    nnU-Net's first version lists images without their channel suffix: these are taken from the folder by their names.
    """
    training = _dataset_file(root).get("training")
    by_name = {case.name: case for case in in_folders}
    cases = []
    for entry in training if isinstance(training, list) else ():
        if not isinstance(entry, dict) or not isinstance(entry.get("image"), str):
            raise InputError(f"{root / 'dataset.json'} lists {entry!r} for training; give an image and a label.")
        image, label = root / entry["image"], entry.get("label")
        name, _ = _split_name(image)
        if not image.is_file() and name in by_name:
            cases.append(by_name[name])
            continue
        for path in (image, *([root / label] if isinstance(label, str) else [])):
            if not path.is_file():
                raise InputError(f"{root / 'dataset.json'} lists {path}, which does not exist; correct one of them.")
        cases.append(Case(name, image, root / label if isinstance(label, str) else None))
    return cases


def _cases_of_folder_pairs(root: Path) -> list[Case]:
    for images, labels in _FOLDER_PAIRS:
        if (root / images).is_dir():
            return _matched_cases(_volumes(root / images), _volumes(root / labels))
    return []


def _unlabelled_cases(root: Path) -> list[Case]:
    return [case for folder in _UNLABELLED_FOLDERS for case in _matched_cases(_volumes(root / folder), {})]


def _matched_cases(images: dict[str, Path], labels: dict[str, Path]) -> list[Case]:
    channels: dict[str, list[Path]] = {}
    for stem in sorted(images):
        channels.setdefault(_case_of(stem, images, labels), []).append(images[stem])
    return [Case(name, paths[0], labels.get(name), tuple(paths[1:])) for name, paths in channels.items()]


def _case_of(stem: str, images: dict[str, Path], labels: dict[str, Path]) -> str:
    """Name of the case of an image: without the number of its channel, if it is one and not a case's number."""
    name = _CHANNEL_SUFFIX.sub("", stem)
    if name == stem or stem in labels:
        return stem
    if name in labels:
        return name
    siblings_are_cases = any(
        label.startswith(f"{name}_") and _CHANNEL_SUFFIX.sub("", label) == name for label in labels
    )
    return stem if siblings_are_cases or f"{name}_0000" not in images else name


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
    named = [(*_split_name(path), path) for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    return {stem: path for stem, suffix, path in named if suffix}


def _split_name(path: Path) -> tuple[str, str]:
    """Name of a volume's file without its suffix, and the suffix; empty when it is no volume's."""
    suffix = next((end for end in _SUFFIXES if path.name.lower().endswith(end)), "")
    return path.name[: len(path.name) - len(suffix)], suffix


def _abbreviated(cases: list[Case]) -> str:
    names = ", ".join(case.name for case in cases[:5])
    return names if len(cases) <= 5 else f"{names}, ... ({len(cases)} cases)"
