"""What a training run would need and how long it would take, found out before it begins."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from momentumseg.errors import Cancelled, InputError
from momentumseg.io.datasets import Case, discover_cases, patients_of, select_cases
from momentumseg.training.assembly import RunData
from momentumseg.training.available_memory import available_bytes
from momentumseg.training.data_settings import DataSettings
from momentumseg.training.memory_estimate import estimate_for_recipe
from momentumseg.training.memory_proposal import MemoryProposal, propose
from momentumseg.training.run import RunOptions, assemble_run, prepare_run
from momentumseg.training.settings import TrainingSettings
from momentumseg.training.trainer import Trainer

_FEW_PATIENTS = 5
_TIMED = 2  # iterations after the first, which sets up memory
_LONGEST_TIMING = 30.0  # seconds
_MIB = 1 << 20


@dataclass(frozen=True)
class RunCheck:
    """What is known about a run before it begins.

    Attributes:
        cases, labelled, unlabelled, patients: numbers of the data folder.
        labels: names of the structures.
        iterations: of the recipe.
        problems: sentences that forbid the run.
        warnings: sentences that do not.
        memory_bytes: of the run as the recipe says; None when it could not be estimated.
        memory_by_mode: the same for each way to differentiate, where the network has several.
        available_bytes: free on the device; None where the system does not tell.
        fits: whether the estimate is within that.
        proposal: changes of the recipe that make it fit, with a sentence; None if it fits.
        seconds_per_iteration: measured here; None when it was not.
    """

    cases: int = 0
    labelled: int = 0
    unlabelled: int = 0
    patients: int = 0
    labels: tuple[str, ...] = ()
    iterations: int = 0
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    memory_bytes: int | None = None
    memory_by_mode: Mapping[str, int] = field(default_factory=dict)
    available_bytes: int | None = None
    fits: bool = True
    proposal: MemoryProposal | None = None
    seconds_per_iteration: float | None = None

    @property
    def estimated_seconds(self) -> float | None:
        """Of all iterations, without validation."""
        each = self.seconds_per_iteration
        return None if each is None else each * self.iterations

    def to_mapping(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {**asdict(self), "estimated_seconds": self.estimated_seconds}

    def sentences(self) -> list[str]:
        """What a person reads."""
        lines = [
            f"{self.cases} cases of {self.patients} patients, {self.labelled} labelled and {self.unlabelled} not"
            + (f": {', '.join(self.labels)}." if self.labels else "."),
            *(f"Problem: {sentence}" for sentence in self.problems),
            *(f"Note: {sentence}" for sentence in self.warnings),
        ]
        if self.memory_bytes is not None:
            free = "" if self.available_bytes is None else f", {self.available_bytes / _MIB:.0f} MiB are free"
            lines.append(f"About {self.memory_bytes / _MIB:.0f} MiB of memory{free}.")
        if self.proposal is not None:
            settings = f" ({' '.join(self.proposal.settings)})" if self.proposal.settings else ""
            lines.append(f"{self.proposal.sentence}{settings}")
        if self.estimated_seconds is not None:
            lines.append(f"About {self.estimated_seconds / 60:.0f} minutes for {self.iterations} iterations.")
        return lines


def check_training(recipe: Mapping[str, Any], options: RunOptions, timed: bool = True) -> RunCheck:
    """Look at the data, estimate the memory and time some iterations; nothing is kept but prepared cases.

    Args:
        recipe: complete.
        options: of the run; its folder is not touched unless it is also the cache's.
        timed: whether to time iterations, which needs the memory of the run for some seconds.

    Raises:
        Cancelled: the user stopped.
    """
    found = RunCheck(iterations=TrainingSettings.of(recipe).iterations)
    try:
        table = DataSettings.of(recipe)
        cases = select_cases(discover_cases(options.data), list(options.cases) if options.cases else None)
        found = _counted(found, cases, table, options.data)
        with tempfile.TemporaryDirectory(prefix="momentumseg-check-") as folder:
            cache = options.cache_folder or options.folder / "prepared"
            apart = replace(options, folder=Path(folder), cache_folder=cache)
            return _measured(found, recipe, apart, timed)
    except InputError as error:
        return replace(found, problems=(*found.problems, str(error)))


def _counted(found: RunCheck, cases: list[Case], table: DataSettings, folder: Path) -> RunCheck:
    labelled = [case for case in cases if case.label is not None]
    patients = patients_of(cases, folder, table.patient)
    with_labels = {patients[case.name] for case in labelled}
    warnings = []
    if labelled and len(with_labels) < _FEW_PATIENTS:
        warnings.append(
            f"Only {len(with_labels)} patients have labels: the model may know these patients and no others."
        )
    return replace(
        found,
        cases=len(cases),
        labelled=len(labelled),
        unlabelled=len(cases) - len(labelled),
        patients=len(set(patients.values())),
        warnings=tuple(warnings),
    )


def _measured(found: RunCheck, recipe: Mapping[str, Any], options: RunOptions, timed: bool) -> RunCheck:
    data = prepare_run(recipe, options)
    found = replace(found, labels=data.statistics.labels.names)
    assembly = assemble_run(recipe, data)
    found = _with_memory(found, recipe, data)
    if not timed or not found.fits:
        return found
    trainer = Trainer(
        assembly.strategy, assembly.recipe, options.folder, lambda network, path, metrics: None, options.device
    )
    return replace(found, seconds_per_iteration=_seconds_per_iteration(trainer, options.cancelled))


def _with_memory(found: RunCheck, recipe: Mapping[str, Any], data: RunData) -> RunCheck:
    statistics, free = data.statistics, available_bytes(data.options.device)
    estimate = estimate_for_recipe(recipe, statistics.in_channels, statistics.classes, data.options.devices)
    if estimate is None:
        return replace(found, available_bytes=free)
    proposal = None
    if free is not None and estimate.total > free:
        proposal = propose(recipe, statistics.in_channels, statistics.classes, free, estimate)
    return replace(
        found,
        memory_bytes=estimate.total,
        memory_by_mode=dict(estimate.by_mode),
        available_bytes=free,
        fits=proposal is None,
        proposal=proposal,
    )


def _seconds_per_iteration(trainer: Trainer, stopped: Callable[[], bool]) -> float:
    """Mean of some iterations after the first, or of the first alone when that takes long."""
    marks: list[float] = []

    def cancelled() -> bool:  # asked before every iteration
        marks.append(time.perf_counter())
        return stopped() or len(marks) > _TIMED + 1 or marks[-1] - marks[0] > _LONGEST_TIMING

    with suppress(Cancelled):
        trainer.run(None, cancelled)
    if stopped():
        raise Cancelled("Cancelled; nothing was changed.")
    marks = marks if len(marks) > 1 else [*marks, time.perf_counter()]
    first = 1 if len(marks) > 2 else 0  # the first iteration sets up memory
    return (marks[-1] - marks[first]) / (len(marks) - 1 - first)
