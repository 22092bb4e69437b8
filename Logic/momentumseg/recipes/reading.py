"""Read a recipe: a TOML file of the package or of the user, with inheritance and overrides."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from momentumseg.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_TABLES = {
    "network",
    "weights",
    "about",
    "strategy",
    "inference",
    "objective",
    "optimizer",
    "schedule",
    "data",
    "episodes",
    "augmentation",
    "training",
    "card",
}
_DEEPEST_BASE = 5


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in resources.files(__package__).iterdir()
        if entry.name.endswith(".toml")
    )


def read_recipe(reference: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The recipe of a name or a file; ``base = "name"`` in it fills in what it leaves out.

    Args:
        reference: name of a recipe of the package, or path of a TOML file.
        overrides: ``"table.key=value"`` with a TOML value; bare words are strings.

    Raises:
        InputError: unknown recipe, broken TOML, unknown table, a value that a checkpoint cannot keep, or a malformed
            override.
    """
    recipe = _with_bases(reference, _DEEPEST_BASE)
    for override in overrides:
        _apply(recipe, override)
    unknown = sorted(set(recipe) - _TABLES - {"title"})
    if unknown:
        raise InputError(
            f"The recipe {reference} has an unknown table [{unknown[0]}]; known are {', '.join(sorted(_TABLES))}."
        )
    for name in sorted(set(recipe) - {"title"}):
        if not isinstance(recipe[name], dict):
            raise InputError(f"The recipe {reference} gives '{name}' a value; it is a table: write [{name}] instead.")
    try:
        json.dumps(recipe)
    except TypeError as error:
        raise InputError(f"The recipe {reference} holds a date or a time; put it in quotes.") from error
    return recipe


def _with_bases(reference: str | Path, depth: int) -> dict[str, Any]:
    if depth == 0:
        raise InputError(
            f"The recipe {reference} has too long a chain of bases; check its 'base' entries for a circle."
        )
    recipe = _parse(reference)
    base = recipe.pop("base", None)
    if base is None:
        return recipe
    # the path of a base that is a file counts from the recipe that names it
    beside = base if base in recipe_names() else Path(reference).parent / base
    return _merged(_with_bases(beside, depth - 1), recipe)


def _parse(reference: str | Path) -> dict[str, Any]:
    path = Path(reference)
    try:
        if str(reference) in recipe_names():
            return tomllib.loads((resources.files(__package__) / f"{reference}.toml").read_text(encoding="utf-8"))
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"There is no recipe {str(reference)!r}; choose one of {', '.join(recipe_names())} or give a TOML file."
        ) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"The recipe {reference} cannot be read ({error}); correct the file.") from error


def _merged(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """``top`` over ``base``, table by table; a table with another ``name`` replaces the base's whole table."""
    merged = dict(base)
    for key, value in top.items():
        both = isinstance(value, Mapping) and isinstance(base.get(key), Mapping)
        renamed = both and "name" in value and value["name"] != base[key].get("name")
        merged[key] = _merged(base[key], value) if both and not renamed else value
    return merged


def _apply(recipe: dict[str, Any], override: str) -> None:
    name, separator, text = override.partition("=")
    if not separator or not all(name.split(".")):
        raise InputError(f"The setting {override!r} is not of the form table.key=value.")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    table = recipe
    *parents, key = name.split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise InputError(f"The setting {override!r} names {parent!r}, which is a value and not a table.")
    table[key] = value
