"""The models that MomentumSeg knows: what they are, where they come from and how to recognise their files."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from momentumseg.errors import WeightsError
from momentumseg.resources import resource_path
from momentumseg.weights.cards import ModelCard, readable_size
from momentumseg.weights.checksums import sha256_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

KINDS = ("few-shot", "backbone", "sam")
SOURCE_KINDS = ("shipped", "registry", "url", "user")
_SOURCE_FIELDS = {
    "shipped": (),
    "registry": ("package", "version", "member"),
    "url": ("url",),
    "user": ("where",),
}


@dataclass(frozen=True)
class ModelSource:
    """Where a file comes from.

    Attributes:
        kind: 'shipped' (in the resources folder), 'registry' (one file of a wheel), 'url', or 'user' (brought by hand).
        package, version, member: the wheel and the path inside it (registry).
        url: https address (url).
        where: sentence that tells the user where to get the file (user).
        on_request_only: never fetched as a side effect; only when the user asks for exactly this model.
    """

    kind: str
    package: str = ""
    version: str = ""
    member: str = ""
    url: str = ""
    where: str = ""
    on_request_only: bool = False

    def place(self) -> str:
        """Return where a person finds the file with a browser."""
        if self.kind == "registry":
            return f"the wheel {self.package}=={self.version} of the Python package index"
        return self.url or self.where or "the MomentumSeg installation"


@dataclass(frozen=True)
class CatalogueEntry:
    """One model of the catalogue.

    ``sha256`` may be a known beginning of the checksum (at least 8 digits) where the publisher gives no more;
    ``size_exact`` is False where only an approximate size is known.
    """

    name: str
    kind: str
    file: str
    source: ModelSource
    card: ModelCard
    size_bytes: int = 0
    size_exact: bool = True
    sha256: str = ""
    title: str = ""
    tags: tuple[str, ...] = field(default_factory=tuple)

    @property
    def licence(self) -> str:
        return self.card.licence

    @property
    def training_data(self) -> str:
        return self.card.training_data

    def check_file(self, path: Path) -> None:
        """Refuse a file that is not exactly the catalogue's one.

        Raises:
            WeightsError: other size or checksum.
        """
        self.check_size(path)
        found = sha256_of(path)
        if not found.startswith(self.sha256):
            raise WeightsError(
                f"The file {path.name} is not {self.name}: its sha256 is {found[:16]}…, expected {self.sha256[:16]}…; "
                f"get the file again from {self.source.place()}."
            )

    def check_size(self, path: Path) -> None:
        """Refuse a truncated or foreign file by its size alone (quick).

        Raises:
            WeightsError: other size.
        """
        size = path.stat().st_size
        if self.size_bytes and self.size_exact and size != self.size_bytes:
            raise WeightsError(
                f"The file {path.name} has {size:,} bytes instead of {self.size_bytes:,}: it is truncated or not "
                f"{self.name}; get it again from {self.source.place()}."
            )

    def how_to_get(self) -> str:
        """Return the way to bring the file to a computer without network."""
        size = f" ({readable_size(self.size_bytes)})" if self.size_bytes else ""
        kind = "FILE_OR_WHEEL" if self.source.kind == "registry" else "FILE"
        return (
            f"get the file {self.file}{size} from {self.source.place()} on a computer with network, then run: "
            f"momentumseg models import {self.name} {kind}"
        )


@functools.cache
def load_catalogue(path: Path | None = None) -> Mapping[str, CatalogueEntry]:
    """Return the entries by name, in the file's order (default: ``Resources/catalogue.toml``).

    Raises:
        WeightsError: the catalogue cannot be read, or an entry is incomplete.
    """
    path = path or resource_path("catalogue.toml")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise WeightsError(f"The catalogue {path} cannot be read ({error}); install MomentumSeg again.") from error
    models = table.get("models", {})
    return {name: _entry(name, facts) for name, facts in models.items()}


def entry_of(name: str, catalogue: Mapping[str, CatalogueEntry] | None = None) -> CatalogueEntry:
    """Return the entry of a name.

    Raises:
        WeightsError: no such name; the message lists the known ones.
    """
    catalogue = load_catalogue() if catalogue is None else catalogue
    if name not in catalogue:
        raise WeightsError(f"There is no model named '{name}'; choose one of {', '.join(catalogue)} or give a file.")
    return catalogue[name]


def verify_shipped(catalogue: Mapping[str, CatalogueEntry] | None = None) -> list[str]:
    """Return one sentence for each shipped model whose file is missing or not the recorded one; empty when all fit."""
    catalogue = load_catalogue() if catalogue is None else catalogue
    problems = []
    for entry in catalogue.values():
        if entry.source.kind != "shipped":
            continue
        path = resource_path("Weights", entry.file)
        if not path.is_file():
            problems.append(f"The shipped file {path} of {entry.name} is missing; install MomentumSeg again.")
        elif len(entry.sha256) != 64 or not entry.size_bytes:
            problems.append(f"The catalogue has no checksum or size for {entry.name}; add:\n{file_facts(path)}")
        else:
            problems += _mismatch(entry, path)
    return problems


def file_facts(path: Path) -> str:
    """Return the catalogue lines (file, size, sha256) of a weights file, ready to paste."""
    return f'file = "{path.name}"\nsize_bytes = {path.stat().st_size}\nsha256 = "{sha256_of(path)}"'


def _mismatch(entry: CatalogueEntry, path: Path) -> list[str]:
    try:
        entry.check_file(path)
    except WeightsError as error:
        return [str(error)]
    return []


def _entry(name: str, facts: Mapping[str, Any]) -> CatalogueEntry:
    kind, sha256 = facts.get("kind"), str(facts.get("sha256", ""))
    if kind not in KINDS:
        raise WeightsError(f"The catalogue entry {name} has kind {kind!r}; use one of {', '.join(KINDS)}.")
    if not re.fullmatch(r"(?:[0-9a-f]{8,64})?", sha256):
        raise WeightsError(f"The catalogue entry {name} has the checksum {sha256!r}; give 8 to 64 hexadecimal digits.")
    return CatalogueEntry(
        name=name,
        kind=kind,
        file=_text(name, facts, "file"),
        source=_source(name, facts.get("source", {})),
        card=ModelCard.from_mapping({"name": name, **facts.get("card", {})}),
        size_bytes=int(facts.get("size_bytes", 0)),
        size_exact=bool(facts.get("size_exact", True)),
        sha256=sha256,
        title=str(facts.get("title", name)),
        tags=tuple(facts.get("tags", ())),
    )


def _source(name: str, facts: Mapping[str, Any]) -> ModelSource:
    kind = facts.get("kind")
    if kind not in SOURCE_KINDS:
        raise WeightsError(f"The catalogue entry {name} has source {kind!r}; use one of {', '.join(SOURCE_KINDS)}.")
    texts = {key: _text(name, facts, key) for key in _SOURCE_FIELDS[kind]}
    return ModelSource(kind=kind, on_request_only=bool(facts.get("on_request_only", False)), **texts)


def _text(name: str, facts: Mapping[str, Any], key: str) -> str:
    value = facts.get(key)
    if not isinstance(value, str) or not value:
        raise WeightsError(f"The catalogue entry {name} has no '{key}'; add it.")
    return value
