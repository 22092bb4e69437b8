"""Cases ready for training: on the network's grid, normalised, and kept on disk so that memory does not limit them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from momentumseg.errors import Cancelled, InputError
from momentumseg.geometry.canonical_grid import CanonicalGrid, Spacing
from momentumseg.io.atomic import atomic_path
from momentumseg.io.checks import create_folder
from momentumseg.io.datasets import Case, patients_of
from momentumseg.io.read import read_labelmap, read_volume
from momentumseg.training.case_survey import file_key, files_of, statistics_of, survey_case
from momentumseg.training.data_settings import DataSettings
from momentumseg.training.splits import Split
from momentumseg.transforms.case_intensity import OWN, normalized_channels
from momentumseg.transforms.data_statistics import DataStatistics
from momentumseg.volumes.checks import checked_intensities

__all__ = ["DataStatistics", "PreparedCase", "prepare_cases"]

_CACHE_VERSION = 1  # raise when what is kept on disk changes: old entries are then prepared again
_POSITIONS = 4096  # of each structure that patches are centred on
_HALF_PRECISION_UP_TO = 100.0  # beyond it 16 bits would round visibly
_LONGEST_NAME = 60  # of a case in the name of its folder
_IMAGE, _LABELS, _POSITIONS_FILE, _DONE = "image.npy", "labels.npy", "positions.npz", "case.json"


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """A case on the network's grid.

    Attributes:
        name: of the case.
        patient: that it is a scan of.
        spacing: (d, h, w) of the grid in mm.
        shape: (D, H, W) of the grid.
        positions: of each structure 1, 2, ..., some of its voxels spread over all, as indices into the flat grid;
            empty without labels.
        lowest: smallest value of each channel, with which patches are continued outside the image.
        image_source, label_source: arrays, or the files that hold them. Files are opened at each access: a data set
            may have more cases than a process may have files open.
    """

    name: str
    patient: str
    spacing: Spacing
    shape: tuple[int, int, int]
    positions: tuple[np.ndarray, ...]
    lowest: tuple[float, ...]
    image_source: np.ndarray | Path
    label_source: np.ndarray | Path | None

    @classmethod
    def of_arrays(
        cls,
        name: str,
        image: np.ndarray,
        labels: np.ndarray | None = None,
        *,
        classes: int = 0,
        patient: str | None = None,
        spacing: Spacing = (1.0, 1.0, 1.0),
    ) -> PreparedCase:
        """Case of an image (C, D, H, W) and of labels (D, H, W) with values 0 .. ``classes`` - 1, in memory."""
        depth, height, width = image.shape[1:]
        positions = () if labels is None else positions_of(labels, classes or int(labels.max()) + 1)
        shape = (depth, height, width)
        return cls(name, patient or name, spacing, shape, positions, _lowest(image), image, labels)

    @property
    def image(self) -> np.ndarray:
        """(C, D, H, W) float16 or float32, memory-mapped where it comes from a file.

        Raises:
            InputError: the file is gone.
        """
        return _opened(self.image_source)

    @property
    def labels(self) -> np.ndarray | None:
        """(D, H, W) uint8 with 0 .. n; None without labels.

        Raises:
            InputError: the file is gone.
        """
        return None if self.label_source is None else _opened(self.label_source)

    @property
    def has_labels(self) -> bool:
        """Whether the case has labels."""
        return self.label_source is not None


def prepare_cases(
    cases: Sequence[Case],
    split: Split,
    settings: DataSettings,
    *,
    data_folder: Path,
    cache_folder: Path,
    on_prepared: Callable[[int, int], None] = lambda done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> tuple[list[PreparedCase], DataStatistics]:
    """The cases of a split on the grid that they are trained on, and what inference needs to do the same.

    Args:
        cases: of the data folder; those that are in no part of the split are left out.
        split: parts of the run. The grid's spacing and the check for structures that never occur are about ``train``.
        settings: of the recipe's [data] table.
        data_folder: whose ``dataset.json`` names labels and channels.
        cache_folder: where prepared cases are kept; what is there of unchanged files and settings is used again.
        on_prepared: called with the number of prepared cases and of all.
        cancelled: asked between cases.

    Raises:
        InputError: images or labels that cannot be used; the sentence names the file.
        GeometryError: image, channels and labelmap of a case are not on the same grid.
        OutputError: the cache cannot be written.
        Cancelled: the user stopped; what is prepared is kept.
    """
    wanted = set(split.names())
    # what a split calls unlabelled must not be learnt from, even where a labelmap lies in the folder
    hidden = set(split.unlabelled)
    chosen = [replace(case, label=None) if case.name in hidden else case for case in cases if case.name in wanted]
    create_folder(cache_folder)
    surveys = []
    for case in chosen:
        _stop_if(cancelled)
        surveys.append(survey_case(case, cache_folder))
    statistics = statistics_of(chosen, surveys, split, settings, data_folder)
    patients = patients_of(chosen, data_folder, settings.patient)
    prepared: list[PreparedCase] = []
    for case in chosen:
        on_prepared(len(prepared), len(chosen))
        _stop_if(cancelled)
        prepared.append(_prepared(case, patients[case.name], statistics, cache_folder))
    on_prepared(len(prepared), len(chosen))
    return prepared, statistics


def positions_of(labels: np.ndarray, classes: int) -> tuple[np.ndarray, ...]:
    """Of each label 1 .. ``classes`` - 1, at most 4096 flat indices of its voxels, evenly spread over all of them."""
    flat = np.flatnonzero(labels)
    values = labels.reshape(-1)[flat]
    order = np.argsort(values, kind="stable")
    borders = np.searchsorted(values[order], np.arange(1, classes + 1))
    found = [flat[order[start:end]] for start, end in zip(borders[:-1], borders[1:], strict=True)]
    return tuple(voxels[_evenly(len(voxels))] for voxels in found)


def _evenly(count: int) -> np.ndarray:
    return np.arange(count) if count <= _POSITIONS else np.linspace(0, count - 1, _POSITIONS).astype(np.int64)


def _prepared(case: Case, patient: str, statistics: DataStatistics, cache_folder: Path) -> PreparedCase:
    """The case from the cache, or prepared and put there. The description is written last: it says all is there."""
    folder = cache_folder / f"{case.name[:_LONGEST_NAME]}-{_key(case, statistics)[:20]}"
    description = _description(folder)
    if description is None:
        create_folder(folder)
        description = _prepare(case, statistics, folder)
        with atomic_path(folder / _DONE) as temporary:
            temporary.write_text(json.dumps(description), encoding="utf-8")
    depth, height, width = (int(count) for count in description["shape"])
    d, h, w = description["spacing"]
    with np.load(folder / _POSITIONS_FILE) as archive:
        positions = tuple(archive[f"arr_{index}"] for index in range(len(archive.files)))
    return PreparedCase(
        case.name,
        patient,
        spacing=(d, h, w),
        shape=(depth, height, width),
        positions=positions,
        lowest=tuple(description["lowest"]),
        image_source=folder / _IMAGE,
        label_source=None if case.label is None else folder / _LABELS,
    )


def _key(case: Case, statistics: DataStatistics) -> str:
    """Hexadecimal key of all that a prepared case depends on."""
    table = statistics.to_mapping()
    settings = [_CACHE_VERSION, *(table[name] for name in ("spacing", "plane", "intensity", "labels"))]
    return sha256(f"{file_key(files_of(case))}{json.dumps(settings)}".encode()).hexdigest()


def _description(folder: Path) -> dict[str, list[float]] | None:
    """Description of a complete cache entry; None where there is none."""
    try:
        description: dict[str, list[float]] = json.loads((folder / _DONE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return description if all((folder / name).is_file() for name in (_IMAGE, _POSITIONS_FILE)) else None


def _prepare(case: Case, statistics: DataStatistics, folder: Path) -> dict[str, list[float]]:
    """Write the arrays of a case and return its description."""
    image, grid = _image(case, statistics)
    _write_array(folder / _IMAGE, image)
    positions: tuple[np.ndarray, ...] = ()
    if case.label is not None:
        labels = grid.forward_labels(statistics.labels.to_indices(read_labelmap(case.label).array))
        positions = positions_of(labels, statistics.classes)
        _write_array(folder / _LABELS, labels)
    with atomic_path(folder / _POSITIONS_FILE) as temporary:
        np.savez(temporary, *positions)
    return {"shape": list(grid.shape), "spacing": list(grid.spacing), "lowest": list(_lowest(image))}


def _image(case: Case, statistics: DataStatistics) -> tuple[np.ndarray, CanonicalGrid]:
    """Normalised image (C, D, H, W) and the grid that it is on."""
    channels = []
    for path in case.channels:
        volume, _ = checked_intensities(read_volume(path), keep_integers=True)
        grid = statistics.grid_of(volume.shape, volume.ijk_to_ras)
        channels.append(grid.forward_image(volume.array))
    image = np.stack(channels)
    image = normalized_channels(image, statistics.intensity, out=image)
    # values of the file must stay those of the file: 16 bits round even where they are small
    is_small = statistics.intensity != OWN and float(np.abs(image).max()) <= _HALF_PRECISION_UP_TO
    return (image.astype(np.float16) if is_small else image), grid


def _lowest(image: np.ndarray) -> tuple[float, ...]:
    return tuple(float(channel.min()) for channel in image)


def _write_array(path: Path, array: np.ndarray) -> None:
    """Write ``.npy``; through the file's own `write`, whose errors say that a disk is full."""
    array = np.ascontiguousarray(array)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)


def _opened(source: np.ndarray | Path) -> np.ndarray:
    if isinstance(source, np.ndarray):
        return source
    try:
        opened: np.ndarray = np.load(source, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise InputError(
            f"The prepared case {source.parent} cannot be read any more ({error}); bring the run's folder back and "
            "start the run again: it continues from its last checkpoint."
        ) from error
    return opened


def _stop_if(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise Cancelled("Training was stopped before it began; cases that were prepared are kept.")
