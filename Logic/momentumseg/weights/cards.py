"""Model cards: what a user must know before using weights (licence, training data, metrics, size, checksum)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from momentumseg.errors import WeightsError


@dataclass(frozen=True)
class ModelCard:
    """The facts that travel with weights.

    Attributes:
        name: catalogue name or the trainer's run name.
        description: one or two sentences, what it is for.
        licence: licence of the weights (not of the program).
        training_data: what they were trained on, with the data's licence.
        metrics: measured figures by name, for example ``{"CHAOS-T2 Dice, 5 folds": 0.79}``.
        limits: where it is known to fail.
        extra: further facts of the trainer (seed, iterations, intensity statistics), kept as they are.
    """

    name: str
    description: str = ""
    licence: str = ""
    training_data: str = ""
    metrics: Mapping[str, float | str] = field(default_factory=dict)
    limits: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_mapping(cls, facts: Mapping[str, Any]) -> ModelCard:
        """Build a card from a table; entries that are no attribute go to ``extra``.

        Raises:
            WeightsError: no name, or metrics that are not a table.
        """
        named = {key: facts[key] for key in ("description", "licence", "training_data", "limits") if key in facts}
        if not isinstance(facts.get("name"), str) or not facts["name"]:
            raise WeightsError("The model card has no name; add name = '...' to it.")
        metrics, extra = facts.get("metrics", {}), dict(facts.get("extra", {}))
        if not isinstance(metrics, Mapping):
            raise WeightsError(f"The metrics of the model card are {metrics!r}, not a table of names and numbers.")
        known = {"name", "metrics", "extra", *named}
        extra.update({key: value for key, value in facts.items() if key not in known})
        return cls(name=facts["name"], metrics=dict(metrics), extra=extra, **{k: str(v) for k, v in named.items()})

    def to_mapping(self) -> dict[str, Any]:
        """Return the card as a table that JSON and TOML can hold; ``from_mapping`` undoes it."""
        return {
            "name": self.name,
            "description": self.description,
            "licence": self.licence,
            "training_data": self.training_data,
            "metrics": dict(self.metrics),
            "limits": self.limits,
            "extra": dict(self.extra),
        }


def render_text(card: ModelCard, size_bytes: int = 0, sha256: str = "") -> str:
    """Return the card as aligned lines for a terminal or a tool tip."""
    rows = _rows(card, size_bytes, sha256)
    width = max(len(label) for label, _ in rows)
    return "\n".join(f"{label:<{width}}  {value}" for label, value in rows)


def render_markdown(card: ModelCard, size_bytes: int = 0, sha256: str = "") -> str:
    """Return the card as a Markdown section with a table."""
    rows = _rows(card, size_bytes, sha256)
    lines = [f"### {card.name}", "", "| | |", "|---|---|"]
    lines += [f"| {_cell(label)} | {_cell(value)} |" for label, value in rows if label != "Model"]
    return "\n".join(lines) + "\n"


def readable_size(size_bytes: int) -> str:
    """Return a number of bytes in decimal units, as file managers show it: ``18826032 -> '18.8 MB'``."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _rows(card: ModelCard, size_bytes: int, sha256: str) -> list[tuple[str, str]]:
    rows = [
        ("Model", card.name),
        ("Description", card.description),
        ("Licence", card.licence or "not stated: ask the author before publishing results"),
        ("Training data", card.training_data or "not stated"),
        *((name, _figure(value)) for name, value in card.metrics.items()),
        ("Limits", card.limits),
        ("Size", f"{readable_size(size_bytes)} ({size_bytes:,} bytes)" if size_bytes else ""),
        ("sha256", sha256),
    ]
    return [(label, value) for label, value in rows if value]


def _figure(value: float | str) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
