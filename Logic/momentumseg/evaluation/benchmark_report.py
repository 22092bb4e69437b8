"""Measured speed: rows with their target, as JSON and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from momentumseg.evaluation.report import markdown_table, versions

FORMAT = 1


@dataclass(frozen=True)
class Measure:
    """One measured number.

    Attributes:
        name: what was measured.
        value: in ``unit``; None where this computer cannot tell.
        unit: "s", "ms", "MiB", "x" (a ratio), "1/s" or "" (yes: 1, no: 0).
        at_most, at_least: the target, where there is one.
        note: what a reader should know.
    """

    name: str
    value: float | None
    unit: str
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @property
    def target(self) -> str:
        if self.at_most is not None:
            return f"<= {self.at_most:g} {self.unit}".rstrip()
        return f">= {self.at_least:g} {self.unit}".rstrip() if self.at_least is not None else ""

    @property
    def is_met(self) -> bool | None:
        """Whether the target is reached; None without target or value."""
        if self.value is None or not self.target:
            return None
        return self.value <= self.at_most if self.at_most is not None else self.value >= (self.at_least or 0.0)

    @property
    def words(self) -> str:
        if self.value is None:
            return "not available"
        if not self.unit:
            return "yes" if self.value else "no"
        digits = 0 if self.unit == "MiB" else 1 if self.unit == "ms" or self.value >= 100 else 3
        return f"{self.value:.{digits}f} {self.unit}"

    @property
    def verdict(self) -> str:
        return {True: "met", False: "missed", None: ""}[self.is_met]

    def to_mapping(self) -> dict[str, Any]:
        return {**asdict(self), "target": self.target, "is_met": self.is_met}


@dataclass(frozen=True)
class BenchmarkReport:
    """All numbers of one run.

    Attributes:
        title: what was measured.
        settings: sizes, threads and weights.
        measures: in the order of measurement.
        command: the command line that repeats it.
    """

    title: str
    settings: Mapping[str, Any]
    measures: Sequence[Measure]
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=versions)

    def to_mapping(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "format": FORMAT,
            "title": self.title,
            "command": self.command,
            "settings": dict(self.settings),
            "versions": dict(self.versions),
            "measures": [measure.to_mapping() for measure in self.measures],
        }

    def to_markdown(self) -> str:
        """A table, the settings and the command."""
        rows = [[measure.name, measure.words, measure.target, measure.verdict] for measure in self.measures]
        settings = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        parts = [self.title, markdown_table(["measured", "value", "target", ""], rows), settings]
        return "\n\n".join([*parts, f"`{self.command}`"] if self.command else parts) + "\n"
