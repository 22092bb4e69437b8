"""A look at all cases before any is prepared: do image and labels belong together, and which labels are there?"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from momentumseg.errors import GeometryError, InputError
from momentumseg.geometry.boxes import is_same_geometry
from momentumseg.geometry.canonical_grid import CanonicalGrid
from momentumseg.io.atomic import atomic_path
from momentumseg.io.datasets import Case, dataset_channel_names, dataset_label_names
from momentumseg.io.header import VolumeHeader, read_header
from momentumseg.io.read import read_labelmap
from momentumseg.training.data_settings import MEDIAN, OWN, DataSettings
from momentumseg.training.splits import Split
from momentumseg.transforms.data_statistics import DataStatistics, LabelTable

_SAME_LABELS = 20  # label values that are named in a message


@dataclass(frozen=True, eq=False)
class CaseSurvey:
    """What is known of a case before it is prepared.

    Attributes:
        header: of its image.
        values: labels > 0 in its labelmap, ascending; None for a case without one.
    """

    header: VolumeHeader
    values: tuple[int, ...] | None


def file_key(paths: Iterable[Path]) -> str:
    """Hexadecimal key that changes when one of the files does: its place, size and time of change.

    Raises:
        InputError: a file does not exist or cannot be asked.
    """
    digest = sha256()
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}); bring the data folder back.") from error
        digest.update(f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def files_of(case: Case) -> list[Path]:
    """All files of a case."""
    return [*case.channels, *([case.label] if case.label is not None else [])]


def survey_case(case: Case, cache_folder: Path) -> CaseSurvey:
    """Look at a case; label values, for which the whole labelmap must be read, are kept in the cache.

    Raises:
        InputError: a file cannot be read, or the labelmap holds no labels.
        GeometryError: image, channels and labelmap are not on the same grid.
    """
    header = read_header(case.image)
    for path in files_of(case)[1:]:
        _check_same_grid(path, read_header(path), case.image, header)
    if case.label is None:
        return CaseSurvey(header, None)
    kept = cache_folder / f"values-{file_key([case.label])[:20]}.json"
    values = _read_values(kept)
    if values is None:
        labels = np.unique(read_labelmap(case.label).array)
        values = tuple(int(value) for value in labels if value > 0)
        with atomic_path(kept) as temporary:
            temporary.write_text(json.dumps(values), encoding="utf-8")
    return CaseSurvey(header, values)


def statistics_of(
    cases: Sequence[Case], surveys: Sequence[CaseSurvey], split: Split, settings: DataSettings, data_folder: Path
) -> DataStatistics:
    """Statistics of the training data of a run.

    Raises:
        InputError: labels that nobody named, a structure that no training case has, or differing channels.
    """
    learnt = [survey for case, survey in zip(cases, surveys, strict=True) if case.name in set(split.train)]
    return DataStatistics(
        spacing=_grid_spacing(learnt, settings),
        plane=settings.plane,
        patch=settings.patch,
        channels=_channel_names(cases, data_folder),
        intensity=settings.intensity,
        labels=_label_table(cases, surveys, split, settings, data_folder),
        cases=len(learnt),
    )


def _check_same_grid(path: Path, header: VolumeHeader, image: Path, reference: VolumeHeader) -> None:
    if is_same_geometry(reference.shape, reference.ijk_to_ras, header.shape, header.ijk_to_ras):
        return
    if reference.shape != header.shape:
        difference = f"{_sizes(header)} instead of {_sizes(reference)} voxels"
    else:
        difference = "the same number of voxels, but another spacing, direction or place"
    raise GeometryError(f"{path} is not on the grid of {image} ({difference}); resample it to that image.")


def _sizes(header: VolumeHeader) -> str:
    return "x".join(str(count) for count in header.shape[::-1])


def _read_values(path: Path) -> tuple[int, ...] | None:
    try:
        return tuple(int(value) for value in json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _grid_spacing(
    surveys: Sequence[CaseSurvey], settings: DataSettings
) -> tuple[float | None, float | None, float | None]:
    """(d, h, w) in mm; None keeps a volume's own. Nothing is interpolated across slices unless it was asked for."""
    if settings.spacing == OWN:
        return None, None, None
    if settings.spacing == MEDIAN:
        own = [
            CanonicalGrid.of(survey.header.shape, survey.header.ijk_to_ras, plane=settings.plane).spacing
            for survey in surveys
        ]
        depth, height, width = (float(value) for value in np.median(own, axis=0))
        return (None if settings.dimensions == 2 else depth), height, width
    *across, height, width = (float(value) for value in settings.spacing)
    return (across[0] if across else None), height, width


def _channel_names(cases: Sequence[Case], data_folder: Path) -> tuple[str, ...]:
    count = len(cases[0].channels)
    for case in cases:
        if len(case.channels) != count:
            raise InputError(
                f"The case {case.name} has {len(case.channels)} channels, but {cases[0].name} has {count}; "
                "give all cases the same channels."
            )
    names = dataset_channel_names(data_folder)
    return tuple(names if len(names) == count else (f"channel {number}" for number in range(1, count + 1)))


def _label_table(
    cases: Sequence[Case], surveys: Sequence[CaseSurvey], split: Split, settings: DataSettings, data_folder: Path
) -> LabelTable:
    names = dict(settings.labels or dataset_label_names(data_folder))
    if not names:
        found = sorted({value for survey in surveys for value in survey.values or ()})
        if not found:
            raise InputError(f"No labelmap in {data_folder} has a label; draw the structures first.")
        names = {value: f"label {value}" for value in found}
    for case, survey in zip(cases, surveys, strict=True):
        _check_values(case, survey, names)
    learnt = {
        value
        for case, survey in zip(cases, surveys, strict=True)
        if case.name in set(split.train)
        for value in survey.values or ()
    }
    absent = sorted(set(names) - learnt)
    if absent:
        raise InputError(
            f"No training case has a voxel of label {absent[0]} ({names[absent[0]]}); add a case that has one, or take "
            "the label out of data.labels or dataset.json."
        )
    return LabelTable.of(names)


def _check_values(case: Case, survey: CaseSurvey, names: dict[int, str]) -> None:
    unknown = sorted(set(survey.values or ()) - set(names))
    if unknown:
        known = ", ".join(f"{value} {name}" for value, name in sorted(names.items())[:_SAME_LABELS])
        raise InputError(
            f"{case.label} has the label {unknown[0]}, which neither data.labels nor dataset.json names ({known}); "
            "name it there or take it out of the labelmap."
        )
