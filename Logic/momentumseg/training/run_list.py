"""The training runs in a folder: what each is called and how far it is, without loading its checkpoints."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from momentumseg.errors import InputError
from momentumseg.io.folder_lock import is_locked
from momentumseg.training.run_description import RUN_FILE, read_description

RUNNING, PAUSED, FINISHED = "running", "paused", "finished"


@dataclass(frozen=True)
class RunSummary:
    """A run as a list shows it.

    Attributes:
        run_folder: of the run.
        title: of the model.
        recipe: title of its recipe.
        state: "running" (a process trains in it), "paused" (also one that was killed) or "finished" (there is a model).
        iteration, iterations: done at the last checkpoint, and all.
        score: the best validation's mean Dice; None before the first.
        data: folder of its cases.
        changed: time of the last checkpoint, seconds since 1970.
    """

    run_folder: str
    title: str
    recipe: str
    state: str
    iteration: int
    iterations: int
    score: float | None
    data: str
    changed: float

    def to_mapping(self) -> dict[str, Any]:
        """The same as JSON can keep it."""
        return asdict(self)


def list_runs(folder: Path) -> list[RunSummary]:
    """Runs in the folders within a folder, the latest first; none where there is no such folder."""
    if not folder.is_dir():
        return []
    found = [_summary(path.parent) for path in folder.glob(f"*/{RUN_FILE}")]
    return sorted((run for run in found if run is not None), key=lambda run: -run.changed)


def best_score(records: list[dict[str, Any]]) -> float | None:
    """The best validation of a log."""
    scores = [float(record["score"]) for record in records if "score" in record]
    return max(scores, default=None)


def read_log(run_folder: Path) -> list[dict[str, Any]]:
    """Records of a run's log up to its last checkpoint; none before the first, or where the log is damaged."""
    path = run_folder / "log.jsonl"
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):
        return []


def _summary(folder: Path) -> RunSummary | None:
    try:
        described = read_description(folder)
    except InputError:
        return None  # a folder that somebody else's program wrote
    recipe, log = described["recipe"], read_log(folder)
    newest = max((path for path in (folder / "log.jsonl", folder / RUN_FILE) if path.is_file()), key=_changed)
    return RunSummary(
        run_folder=str(folder),
        title=described["title"],
        recipe=str(recipe.get("title", "")),
        state=_state(folder),
        iteration=int(log[-1].get("iteration", 0)) if log else 0,
        iterations=int(recipe.get("training", {}).get("iterations", 0)),
        score=best_score(log),
        data=str(described["data"]),
        changed=_changed(newest),
    )


def _state(folder: Path) -> str:
    if is_locked(folder):
        return RUNNING
    return FINISHED if (folder / "model.safetensors").is_file() else PAUSED


def _changed(path: Path) -> float:
    return path.stat().st_mtime
