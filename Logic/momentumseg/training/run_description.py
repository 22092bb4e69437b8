"""What a run's folder says about the run: title, recipe and data. Light to import: lists of runs need nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from momentumseg.errors import InputError
from momentumseg.io.atomic import atomic_path

RUN_FILE = "run.json"


def write_description(folder: Path, title: str, recipe: Mapping[str, Any], data: Path) -> None:
    """Write ``run.json``.

    Raises:
        OutputError: the file cannot be written.
    """
    table = {"title": title, "recipe": recipe, "data": str(data.resolve())}
    with atomic_path(folder / RUN_FILE) as temporary:
        temporary.write_text(json.dumps(table, indent=1), encoding="utf-8")


def read_description(folder: Path) -> dict[str, Any]:
    """What :func:`run_training` wrote about a run: ``title``, ``recipe`` and ``data``.

    Raises:
        InputError: the folder holds no run.
    """
    try:
        table = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
        return {"title": str(table["title"]), "recipe": dict(table["recipe"]), "data": Path(table["data"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"The folder {folder} holds no training run; choose a folder that has a {RUN_FILE}."
        ) from error
