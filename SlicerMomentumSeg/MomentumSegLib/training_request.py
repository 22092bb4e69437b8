"""What the user wants to be trained, and what the worker calls a training that was begun."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from MomentumSegLib.errors import UserError
from MomentumSegLib.training_cases import SceneCase
from MomentumSegLib.translation import tr as _


@dataclass(frozen=True)
class TrainingRequest:
    """A training as it was chosen.

    Attributes:
        recipe: its name.
        cases: of the scene; empty: those of the folder.
        folder: of cases, where they do not come from the scene.
        settings: "table.key=value", beyond the recipe.
        device: of the worker, or "auto".
        title: for people.
    """

    recipe: str
    cases: tuple[SceneCase, ...] = ()
    folder: str = ""
    settings: tuple[str, ...] = ()
    device: str = "auto"
    title: str = ""


@dataclass(frozen=True)
class TrainingRun:
    """A training that has a folder.

    Attributes:
        folder: of the run, on the worker's computer.
        data: folder of its cases.
        recipe, title: as chosen.
        settings: as chosen; a training that goes on has kept its own.
        iteration, iterations: how far it is; 0 where that is not known.
        score: of the last validation, 0 to 1; None: none yet.
        state: "paused" or "finished", as the worker says.
    """

    folder: str
    data: str
    recipe: str
    title: str
    settings: tuple[str, ...] = ()
    iteration: int = 0
    iterations: int = 0
    score: float | None = None
    state: str = "paused"


def run_of(values: Mapping[str, Any]) -> TrainingRun:
    """One entry of the worker's ``training_runs``."""
    score = values.get("score")
    return TrainingRun(
        folder=str(values["run_folder"]),
        data=str(values.get("data") or ""),
        recipe=str(values.get("recipe") or ""),
        title=str(values.get("title") or ""),
        iteration=int(values.get("iteration") or 0),
        iterations=int(values.get("iterations") or 0),
        score=None if score is None else float(score),
        state=str(values.get("state") or "paused"),
    )


def split_settings(text: str) -> tuple[str, ...]:
    """Settings from a line of text: "training.batch=2 data.spacing=median".

    Raises:
        UserError: something is no setting.
    """
    try:
        words = shlex.split(text)
    except ValueError:
        raise UserError(_("The further settings have a quotation mark too few: {text}").format(text=text)) from None
    for word in words:
        if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+=.+", word):
            raise UserError(
                _('"{word}" is no setting: write table.key=value, for example training.batch=2.').format(word=word)
            )
    return tuple(words)


def new_run_folder(runs_folder: str, title: str, taken: Sequence[str] = (), now: datetime | None = None) -> str:
    """Folder for a new training: time and title, a name that none of ``taken`` has.

    Joined with "/", which Windows takes, too: the folder may be on another computer than this one.
    """
    moment = (now or datetime.now()).strftime("%Y-%m-%d_%H%M%S")
    words = re.sub(r"[^A-Za-z0-9]+", "-", title).strip("-").lower()[:40] or "training"
    path, number = f"{runs_folder.rstrip('/')}/{moment}-{words}", 2
    while path in taken:
        path, number = f"{runs_folder.rstrip('/')}/{moment}-{words}-{number}", number + 1
    return path
