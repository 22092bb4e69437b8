"""Runs trainings: gives the worker its cases, starts, pauses, resumes, keeps. It knows no widgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from MomentumSegLib.errors import UserError
from MomentumSegLib.interfaces import Client, Failure, Job, Problem
from MomentumSegLib.ticks import Ticks
from MomentumSegLib.training_case_voxels import label_names, missing_sentences
from MomentumSegLib.training_cases import SceneCase, cases_problem, segmentation_stamp
from MomentumSegLib.training_phase import TrainingPhase
from MomentumSegLib.training_request import TrainingRequest, TrainingRun, new_run_folder
from MomentumSegLib.training_transfer import CaseTransfer
from MomentumSegLib.translation import tr as _
from MomentumSegLib.volume_data import volume_fingerprint
from MomentumSegLib.volume_sender import VolumeSender


class TrainingView(Protocol):
    """Who is told; the panel."""

    def phase_changed(self, phase: TrainingPhase) -> None: ...

    def said(self, sentence: str) -> None: ...

    def preparing(self, fraction: float, sentence: str) -> None: ...

    def checked(self, report: Mapping[str, Any]) -> None: ...

    def confirms(self, question: str) -> bool: ...

    def training_began(self, run: TrainingRun) -> None: ...

    def progressed(self, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None: ...

    def finished(self, run: TrainingRun, values: Mapping[str, Any]) -> None: ...

    def failed(self, sentence: str, reason: str) -> None: ...


@dataclass(frozen=True)
class _Draft:
    """A run folder in which no training has begun: the worker has put cases there, written or prepared."""

    key: tuple
    folder: str


class TrainingController:
    """See the module.

    Args:
        scene: the MRML scene.
        client: of the training worker.
        ticks: between whose steps volumes are copied.
        view: is told what happens.
        runs_folder: returns the folder of trainings, on the worker's computer.
    """

    def __init__(
        self, scene: Any, client: Client, ticks: Ticks, view: TrainingView, *, runs_folder: Callable[[], str]
    ) -> None:
        self._scene, self._client, self._view = scene, client, view
        self._runs_folder = runs_folder
        self._sender = VolumeSender(scene, client, ticks)
        self._transfer: CaseTransfer | None = None
        self._job: Job | None = None
        self._draft: _Draft | None = None
        self._drafts: list[str] = []
        self._warnings: list[str] = []
        self.phase = TrainingPhase.IDLE
        self.run: TrainingRun | None = None
        self._before = TrainingPhase.IDLE
        self._keeps = False

    # What the user does

    def check(self, request: TrainingRequest) -> None:
        """Have the worker look at the cases and say what the training takes. Raises `UserError`."""
        self._prepare(request, then_train=False)

    def start(self, request: TrainingRequest) -> None:
        """Check, and train if nothing is wrong. Raises `UserError` for what can be seen on this side."""
        self._prepare(request, then_train=True)

    def pause(self) -> None:
        """Stop after this iteration; the checkpoint is written. A check is given up."""
        if self.phase is TrainingPhase.CHECKING:
            self._give_up()
        elif self.phase is TrainingPhase.TRAINING:
            self._enter(TrainingPhase.PAUSING)
            if self._job is not None:
                self._job.cancel()

    def resume(self, run: TrainingRun | None = None, device: str = "auto") -> None:
        """Go on with a paused training, by default the present one."""
        run = run or self.run
        if run is None or self.phase.is_busy:
            return
        self._train(run, device)

    def keep(self, run: TrainingRun | None = None) -> None:
        """Make the best so far the model: of the present training, which is paused first, or of another one."""
        if self.phase is TrainingPhase.TRAINING:
            self._keeps = True
            self.pause()
            return
        run = run or self.run
        if run is None or self.phase.is_busy:
            return
        self.run = run
        self._keeps = False
        self._enter(TrainingPhase.KEEPING)
        self._view.said(_("The best state of the training becomes a model ..."))
        self._job = self._client.request(
            "finish_training",
            {"run_folder": run.folder},
            on_result=lambda values, arrays: self._finished(run, values),
            on_error=self._stopped,
        )

    def show(self, run: TrainingRun) -> None:
        """Take up a training of the list without starting anything: a paused one can go on, a finished be saved."""
        if not self.phase.is_busy:
            self.run = run
            self._enter(TrainingPhase.FINISHED if run.state == "finished" else TrainingPhase.PAUSED)

    def set_aside(self) -> None:
        """Begin anew; the paused training stays in the list of earlier ones."""
        if not self.phase.is_busy:
            self.run = None
            self._enter(TrainingPhase.IDLE)

    def close(self) -> None:
        """The module goes; the worker is ended by whoever made it."""
        if self._transfer is not None:
            self._transfer.cancel()
        self._sender.close()
        self._job = None

    @property
    def draft_folders(self) -> tuple[str, ...]:
        """Folders with cases in which no training was begun: of no use when the module goes."""
        return tuple(self._drafts)

    # Cases, check

    def _prepare(self, request: TrainingRequest, *, then_train: bool) -> None:
        if self.phase.is_busy:
            return
        names = self._names(request)
        self._before = self.phase
        self._enter(TrainingPhase.CHECKING)
        used = tuple(case for case in request.cases if case.is_used)
        key = self._key_of(used) if used else (request.folder,)
        if self._draft is not None and self._draft.key == key:
            self._check(request, self._draft, then_train)
            return
        draft = _Draft(key, new_run_folder(self._runs_folder(), request.title, self._drafts))
        self._draft = None
        self._drafts.append(draft.folder)
        if used:
            self._send(used, names, draft, lambda: self._check(request, draft, then_train))
        else:
            self._check(request, draft, then_train)

    def _send(
        self, cases: tuple[SceneCase, ...], names: Mapping[int, str], draft: _Draft, on_done: Callable[[], None]
    ) -> None:
        self._warnings = missing_sentences(self._scene, cases, names)
        self._transfer = CaseTransfer(
            self._scene,
            self._client,
            self._sender,
            cases,
            names,
            draft.folder,
            on_progress=self._case_begun,
            on_done=on_done,
            on_failed=self._stopped,
        )
        self._transfer.start()

    def _names(self, request: TrainingRequest) -> dict[int, str]:
        """Label numbers of the scene's structures. Raises `UserError` for a request that cannot be tried."""
        if not request.recipe:
            raise UserError(_("Choose a recipe first."))
        if not request.cases:
            if not request.folder.strip():
                raise UserError(_("Choose the folder of the cases first."))
            self._warnings = []
            return {}
        problem = cases_problem(self._scene, request.cases)
        if problem:
            raise UserError(problem)
        return label_names(self._scene, [case for case in request.cases if case.is_used])

    def _key_of(self, cases: tuple[SceneCase, ...]) -> tuple:
        """Changes whenever the worker would have to write the cases again."""
        contents = []
        for case in cases:
            node = self._scene.GetNodeByID(case.segmentation_id) if case.segmentation_id else None
            stamp = segmentation_stamp(node) if node is not None else ()
            contents.append((case.patient, volume_fingerprint(self._scene.GetNodeByID(case.volume_id)), stamp))
        return tuple(contents)

    def _case_begun(self, done: int, count: int, name: str) -> None:
        sentence = _("Taking case {number} of {count} from the scene: {name} ...")
        self._view.preparing(done / count, sentence.format(number=done + 1, count=count, name=name))

    def _check(self, request: TrainingRequest, draft: _Draft, then_train: bool) -> None:
        self._draft, self._transfer = draft, None
        self._view.preparing(-1, _("Looking at the cases and measuring what the training takes ..."))
        data = _data_of(draft.folder) if request.cases else request.folder
        parameters = {
            "recipe": request.recipe,
            "settings": list(request.settings),
            "data": data,
            "run_folder": draft.folder,
            "device": request.device,
        }
        self._job = self._client.request(
            "check_training",
            parameters,
            on_progress=lambda fraction, message, seconds: self._view.preparing(fraction, message),
            on_result=lambda values, arrays: self._checked(request, data, values, then_train),
            on_error=self._stopped,
        )

    def _checked(self, request: TrainingRequest, data: str, values: Mapping[str, Any], then_train: bool) -> None:
        self._job = None
        self._view.checked({**values, "warnings": [*self._warnings, *(values.get("warnings") or ())]})
        problems = list(values.get("problems") or ())
        if then_train and not problems and self._may_start(values.get("memory") or {}):
            self._begin(request, data)
            return
        self._enter(self._before)
        if problems:
            self._view.failed(str(problems[0]), "")
        elif then_train:
            self._view.said(_("Not started: the memory is too small for these settings; see what it takes."))
        else:
            self._view.said(_("Nothing stands in the way: press Start training."))

    def _may_start(self, memory: Mapping[str, Any]) -> bool:
        question = _("The training will probably need more memory than is free, and may fail. Start it nevertheless?")
        return bool(memory.get("fits", True)) or self._view.confirms(question)

    def _begin(self, request: TrainingRequest, data: str) -> None:
        """The draft becomes a run; the next training with these cases has a folder of its own."""
        if self._draft is None:
            return
        folder, self._draft = self._draft.folder, None
        self._drafts.remove(folder)
        self._train(TrainingRun(folder, data, request.recipe, request.title, request.settings), request.device)

    # Training

    def _train(self, run: TrainingRun, device: str) -> None:
        self.run = run
        self._keeps = False
        self._enter(TrainingPhase.TRAINING)
        self._view.training_began(run)
        parameters = {
            "recipe": run.recipe,
            "settings": list(run.settings),
            "data": run.data,
            "run_folder": run.folder,
            "device": device,
            "title": run.title,
        }
        self._job = self._client.request(
            "train",
            parameters,
            on_progress=lambda fraction, message, seconds: self._view.preparing(fraction, message),
            on_partial=self._progressed,
            on_result=lambda values, arrays: self._finished(run, values),
            on_error=self._stopped,
        )

    def _progressed(self, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        if self.run is not None:
            iteration, iterations = int(values.get("iteration") or 0), int(values.get("iterations") or 0)
            self.run = replace(self.run, iteration=iteration, iterations=iterations)
        self._view.progressed(values, arrays)

    def _finished(self, run: TrainingRun, values: Mapping[str, Any]) -> None:
        self._job = None
        score = values.get("score")
        known = self.run or run
        self.run = replace(known, state="finished", score=known.score if score is None else float(score))
        self._enter(TrainingPhase.FINISHED)
        self._view.finished(self.run, values)

    def _stopped(self, failure: Failure) -> None:
        """A job has ended without result: paused by the user, refused in words, or the worker is gone."""
        phase, self._job, self._transfer = self.phase, None, None
        if phase is TrainingPhase.CHECKING:
            self._enter(self._before)
            self._say_failure(failure)
            return
        self._enter(TrainingPhase.PAUSED)
        if failure.kind == "cancelled":
            if self._keeps:
                self.keep()
                return
            self._view.said(self._paused_sentence())
            return
        self._keeps = False
        if failure.kind == "crashed":
            sentence = _(
                "The training worker ended unexpectedly: press Resume, and it goes on from the last checkpoint."
            )
            self._say_failure(Problem(sentence, failure.kind, failure.log, failure.reason))
            return
        self._say_failure(failure)

    def _paused_sentence(self) -> str:
        run = self.run
        if run is None or not run.iterations:
            return _("Paused. Resume goes on from here, also after the application was closed.")
        text = _("Paused at iteration {iteration} of {iterations}. Resume goes on from here, also after a restart.")
        return text.format(iteration=run.iteration, iterations=run.iterations)

    def _say_failure(self, failure: Failure) -> None:
        if failure.kind == "cancelled":
            self._view.said(_("Given up; nothing was started."))
        else:
            self._view.failed(failure.sentence, failure.reason)

    def _give_up(self) -> None:
        """End a check."""
        if self._transfer is not None:
            self._transfer.cancel()
            self._transfer = None
        if self._job is not None:
            self._job.cancel()
        else:
            self._stopped(Problem("", "cancelled"))

    def _enter(self, phase: TrainingPhase) -> None:
        if phase is not self.phase:
            self.phase = phase
            self._view.phase_changed(phase)


def _data_of(run_folder: str) -> str:
    """Where the worker writes cases of the scene."""
    return f"{run_folder}/data"
