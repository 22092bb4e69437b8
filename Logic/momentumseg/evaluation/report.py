"""What an evaluation found: every raw number with what is needed to repeat it, as JSON and as markdown tables."""

from __future__ import annotations

import json
import platform
import shlex
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

from momentumseg import __version__
from momentumseg.errors import InputError
from momentumseg.evaluation.metrics import MeanAndDeviation
from momentumseg.io.atomic import atomic_path

Progress = Callable[[str, float], None]
"""Receives (what is being done, fraction of all done)."""

FORMAT = 1
_PACKAGES = ("torch", "numpy", "scipy", "monai", "SimpleITK")


@dataclass(frozen=True)
class FoldResult:
    """One fold, or the only group of cases of an evaluation without folds.

    Attributes:
        fold: its number; -1 where there are no folds.
        cases: names of the test cases.
        model: reference, sha256 and recipe of the model, and whether it was trained on test cases.
        scores: one flat table row a measurement.
        seconds: wall time that it took.
    """

    fold: int
    cases: list[str]
    model: dict[str, Any]
    scores: list[dict[str, Any]]
    seconds: float


@dataclass(frozen=True)
class EvaluationReport(ABC):
    """Results of a protocol over folds.

    Attributes:
        settings: all options that change the numbers.
        label_names: names of the evaluated labels.
        folds: results in the order of the folds.
        command: the command line that repeats it.
    """

    protocol: ClassVar[str]

    settings: dict[str, Any]
    label_names: dict[int, str]
    folds: list[FoldResult]
    command: str

    @abstractmethod
    def summary(self) -> dict[str, Any]:
        """Means and deviations, ready for JSON."""

    @abstractmethod
    def tables(self) -> list[str]:
        """Markdown paragraphs: headings and tables."""

    @property
    def scores(self) -> list[dict[str, Any]]:
        """Rows of all folds."""
        return [row for fold in self.folds for row in fold.scores]

    def to_json(self) -> str:
        """The whole report as JSON text."""
        content = {
            "format": FORMAT,
            "protocol": self.protocol,
            "command": self.command,
            "settings": self.settings,
            "seeds": "none: nothing in the protocol is random",
            "label_names": {str(label): name for label, name in self.label_names.items()},
            "versions": versions(),
            "summary": self.summary(),
            "folds": [asdict(fold) for fold in self.folds],
        }
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    def to_markdown(self) -> str:
        """Tables with the models they belong to and the command that prints them."""
        models = [
            f"- {_fold_name(fold.fold)}: `{fold.model['reference']}` (sha256 {fold.model['sha256'][:12]}; "
            f"{fold.model['overlap']})"
            for fold in self.folds
        ]
        return "\n\n".join([*self.tables(), "\n".join(models), f"`{self.command}`"]) + "\n"

    def write(self, path: Path | str) -> None:
        """Write the JSON, and the tables beside it with the suffix ``.md``.

        Raises:
            OutputError: the folder is missing or read-only, or the disk is full.
        """
        for target, text in ((Path(path), self.to_json()), (Path(path).with_suffix(".md"), self.to_markdown())):
            with atomic_path(target) as temporary:
                temporary.write_text(text, encoding="utf-8")

    def label_name(self, label: int) -> str:
        return self.label_names.get(label, f"label {label}")


def resumable_fold(output: Path | None, fold: int, fingerprint: str, compute: Callable[[], FoldResult]) -> FoldResult:
    """A fold's result: from ``OUTPUT.foldN.json`` if the same evaluation wrote it, else computed and kept there."""
    if output is None:
        return compute()
    path = output.with_name(f"{output.stem}.{'all' if fold < 0 else f'fold{fold}'}.json")
    stored = _stored_fold(path, fingerprint)
    if stored is not None:
        return stored
    result = compute()
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps({"fingerprint": fingerprint, **asdict(result)}) + "\n", encoding="utf-8")
    return result


def fingerprint_of(settings: Mapping[str, Any], model_sha256: str, cases: Iterable[str]) -> str:
    """Identifies an evaluation of a model on cases; two equal ones give equal numbers."""
    content = json.dumps([__version__, FORMAT, dict(settings), model_sha256, list(cases)], sort_keys=True)
    return sha256(content.encode()).hexdigest()


def markdown_table(header: list[str], rows: Iterable[list[str]]) -> str:
    """A table with the first column left- and the others right-aligned."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def described(value: MeanAndDeviation) -> dict[str, Any]:
    """A mean for JSON."""
    return asdict(value)


def current_command() -> str:
    """The command line of this process."""
    return shlex.join(sys.argv)


def versions() -> dict[str, str]:
    """Versions of this package and of what computes its numbers."""
    found = {"momentumseg": __version__, "python": platform.python_version(), "machine": platform.machine()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _stored_fold(path: Path, fingerprint: str) -> FoldResult | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        known = content.pop("fingerprint")
        return FoldResult(**content) if known == fingerprint else None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is not a result of this command ({error}); delete it or choose another output."
        ) from error


def _fold_name(fold: int) -> str:
    return "all cases" if fold < 0 else f"fold {fold}"
