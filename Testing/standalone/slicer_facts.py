"""The names and types of 3D Slicer's classes, from Testing/Fixtures/slicer_api (written by Utilities/slicer_api.py)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).resolve().parents[1] / "Fixtures" / "slicer_api"


@cache
def classes() -> dict[str, Any]:
    """Return the facts by class name."""
    return json.loads((_FOLDER / "widgets.json").read_text("utf-8"))


@cache
def python_modules() -> dict[str, Any]:
    """Return functions, parameters and older versions' lacks by the name of the Python module."""
    return json.loads((_FOLDER / "python.json").read_text("utf-8"))


@cache
def lineage(name: str) -> tuple[str, ...]:
    """Return a class and its bases, nearest first."""
    bases = classes()[name]["bases"]
    return (name, *dict.fromkeys(b for base in bases for b in lineage(base)))


@cache
def names(name: str) -> frozenset[str]:
    """Return all names that Python sees on a class."""
    entry = classes()[name]
    inherited = set().union(*(names(base) for base in entry["bases"])) if entry["bases"] else set()
    return frozenset(inherited - set(entry.get("not_inherited", ())) | set(entry["names"]))


@cache
def properties(name: str) -> dict[str, str]:
    """Return the C++ types of a class's properties, inherited ones included."""
    found: dict[str, str] = {}
    for base in reversed(lineage(name)):
        found |= classes()[base].get("properties", {})
    return found


@cache
def signatures(name: str, kind: str) -> frozenset[str]:
    """Return the "signals" or "slots" of a class, inherited ones included, without spaces."""
    return frozenset(s.replace(" ", "") for base in lineage(name) for s in classes()[base].get(kind, ()))
