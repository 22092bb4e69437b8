"""The panel of the training module: brings the widgets, the parameters of the scene and the controller together."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import qt
import slicer

from MomentumSegLib.errors import UserError
from MomentumSegLib.installation_dialog import ensure_installed, is_installed
from MomentumSegLib.interfaces import Client, Failure
from MomentumSegLib.ticks import QtTicks
from MomentumSegLib.training_cases import SceneCase
from MomentumSegLib.training_check_section import CheckSection
from MomentumSegLib.training_choices import TrainingChoices
from MomentumSegLib.training_close_question import CloseQuestion
from MomentumSegLib.training_controller import TrainingController
from MomentumSegLib.training_curves import TrainingCurves
from MomentumSegLib.training_log import read_log
from MomentumSegLib.training_metrics import dices_of
from MomentumSegLib.training_model_section import TrainingModelSection
from MomentumSegLib.training_phase import TrainingPhase
from MomentumSegLib.training_plot_layout import PlotLayout
from MomentumSegLib.training_request import TrainingRequest, TrainingRun, run_of
from MomentumSegLib.training_run_section import TrainingRunSection
from MomentumSegLib.training_runs_section import TrainingRunsSection
from MomentumSegLib.training_session import TrainingSession, is_local, local_path, runs_folder
from MomentumSegLib.training_use import use_model
from MomentumSegLib.translation import tr as _
from MomentumSegLib.worker_pump import WorkerPump

_REFRESH_MILLISECONDS = 150


class TrainingPanel:
    """What the module's widget shows.

    Args:
        ui: widgets of the .ui file by name.
        logic: of the module; gives the parameter node.
        widget: the panel itself.
        client: of the training worker; None: a worker of its own, started as the settings say.
    """

    def __init__(self, ui: Any, logic: Any, widget: Any, client: Client | None = None) -> None:
        self.ui, self._logic, self._widget = ui, logic, widget
        self._session = TrainingSession() if client is None else None
        self._client: Any = client or self._session.client
        self._pump = WorkerPump(self._client) if client is None else None
        self._ticks = QtTicks()
        self._is_gone = self._is_shown = False
        self._parameters: Any = None
        self._observers: list[tuple[Any, int]] = []
        self._checked_request: TrainingRequest | None = None
        self._news = ""
        self._shown_run = ""
        self._lists: Any = None
        self._refresh_timer = qt.QTimer()
        self._refresh_timer.setSingleShot(True)
        self._refresh_timer.setInterval(_REFRESH_MILLISECONDS)
        self._refresh_timer.connect("timeout()", self.refresh)
        self._make_sections()
        self._client.listeners.append(self._worker_changed)
        self._question = CloseQuestion(lambda: self.controller.phase.trains)

    def _make_sections(self) -> None:
        ui, scene = self.ui, slicer.mrmlScene
        self.curves = TrainingCurves(scene)
        self.controller = TrainingController(scene, self._client, self._ticks, self, runs_folder=runs_folder)
        self.choices = TrainingChoices(ui, on_changed=self._choice_changed)
        self._check = CheckSection(ui, on_check=self.check, on_proposal=self._take_proposal)
        self._run = TrainingRunSection(
            ui,
            on_start=self.start,
            on_pause=self.controller.pause,
            on_resume=self.resume,
            on_keep=self.keep,
            on_new=self.set_aside,
        )
        self._layout = PlotLayout(ui.curvesButton, self.curves)
        self._model = TrainingModelSection(ui, self._client, on_said=self.said, on_use=use_model)
        self._runs = TrainingRunsSection(ui, on_take=self.take_up, on_refresh=self.ask_for_runs)

    # Life of the module

    def enter(self) -> None:
        """The module is shown. The worker is started, in the background, where it needs nothing from the user."""
        self._is_shown = True
        self._connect_parameters()
        self.refresh()
        if is_installed():
            self._ask_for_lists()

    def exit(self) -> None:
        """Another module is shown; a training goes on."""
        self._is_shown = False
        self._disconnect_parameters()

    def cleanup(self) -> None:
        """The module goes: reload, or the application ends. A training goes on from its last checkpoint, later."""
        self.exit()
        self._is_gone = True
        self._refresh_timer.stop()
        self._question.remove()
        drafts = self.controller.draft_folders if is_local() else ()
        self.controller.close()
        if self._worker_changed in self._client.listeners:
            self._client.listeners.remove(self._worker_changed)
        if self._pump is not None:
            self._pump.stop()
        self._client.stop()
        for draft in drafts:
            shutil.rmtree(local_path(draft), ignore_errors=True)

    def scene_about_to_change(self) -> None:
        """A scene begins to close or to load; a training has its cases in its folder and goes on."""
        if self.controller.phase is TrainingPhase.CHECKING:
            self.controller.pause()
        self._layout.forget()
        self._disconnect_parameters()

    def scene_changed(self) -> None:
        """A scene was closed or loaded."""
        self._ticks.later(self._take_scene)

    def _take_scene(self) -> None:
        if self._is_shown and not self._is_gone:
            self._connect_parameters()
            self.refresh()

    def _connect_parameters(self) -> None:
        if self._parameters is not None:
            return
        self._parameters = self._logic.getParameterNode()
        scene, node = slicer.mrmlScene, self._logic.getCasesNode()
        watched = ((scene, scene.NodeAddedEvent), (scene, scene.NodeRemovedEvent), (node, "ModifiedEvent"))
        self.choices.connect(self._parameters, node)
        self._observers = [(source, source.AddObserver(event, self._something_changed)) for source, event in watched]

    def _disconnect_parameters(self) -> None:
        for source, tag in self._observers:
            source.RemoveObserver(tag)
        self._observers = []
        self._parameters = None
        self.choices.connect(None, None)

    def _something_changed(self, caller: Any = None, event: Any = None) -> None:
        self._refresh_timer.start()

    def _choice_changed(self) -> None:
        """The user has changed something: what was said before is old."""
        if not self.controller.phase.is_busy:
            self._news = ""
        self._refresh_timer.start()

    # What is shown

    def refresh(self) -> None:
        """Show the state of scene, choices and training."""
        if self._parameters is None or self._is_gone:
            return
        phase = self.controller.phase
        self.choices.show(editable=not phase.is_busy)
        if self._checked_request is not None and self._checked_request != self.choices.request_or_none():
            self._checked_request = None
            self._check.forget()
        self._show_phase(phase)

    def _show_phase(self, phase: TrainingPhase) -> None:
        problem = self.choices.problem()
        self._run.show(phase, problem)
        self.choices.set_editable(not phase.is_busy)
        self.ui.checkButton.enabled = not phase.is_busy
        self._runs.set_editable(not phase.is_busy)
        self.ui.curvesButton.enabled = bool(self.curves.losses) or self.ui.curvesButton.checked or phase.trains
        if phase is TrainingPhase.IDLE:
            self._run.say(self._news or problem or self._ready_sentence())
        elif self._news and not phase.is_busy:
            self._run.say(self._news)

    def _ready_sentence(self) -> str:
        unfinished = len(self._runs.unfinished)
        if unfinished:
            text = _('Ready. {count} earlier training can go on: see "Earlier trainings" below.')
            if unfinished > 1:
                text = _('Ready. {count} earlier trainings can go on: see "Earlier trainings" below.')
            return text.format(count=unfinished)
        return _("Ready. Press Start training.")

    def _take_proposal(self, settings: Sequence[str]) -> None:
        try:
            self.choices.add_settings(settings)
        except UserError as error:
            self.said(str(error))
            return
        self.refresh()
        self.check()

    # What the user does

    def check(self) -> None:
        """Say what the training takes."""
        self._begin(self.controller.check)

    def start(self) -> None:
        """Train; the first time, what the worker needs is offered for installation."""
        self._begin(self.controller.start)

    def _begin(self, step: Any) -> None:
        self.refresh()
        self._news = ""
        if not self._is_set_up():
            return
        problem = self.choices.problem()
        try:
            if problem:
                raise UserError(problem)
            self._checked_request = request = self.choices.request()
            if request.cases:
                self.choices.keep_cases(request.cases)
            step(request)
        except UserError as error:
            self.said(str(error))

    def _is_set_up(self) -> bool:
        if not ensure_installed(self._widget.window()):
            self.said(_("Packages are missing: press Check to install them."))
            return False
        if self._session is not None:
            self._session.read_settings()
        if not self.choices.recipe.recipes:
            self._ask_for_lists()
        return True

    def resume(self) -> None:
        """Go on with the paused training."""
        self._news = ""
        if self._is_set_up():
            self.controller.resume(device=self.choices.device)

    def keep(self) -> None:
        """End the training and make a model of its best state."""
        self._news = ""
        self.controller.keep()

    def set_aside(self) -> None:
        """Leave the paused or finished training where it is, and begin another."""
        self._news = ""
        self.controller.set_aside()
        self._model.show(None)
        self._run.forget_picture()
        self.refresh()
        self.ask_for_runs()

    def take_up(self, run: TrainingRun) -> None:
        """Show an earlier training: its curves, and what can be done with it."""
        self._news = ""
        self.controller.show(run)
        self._show_curves_of(run)
        self._model.show(run if run.state == "finished" else None, {}, _data_text(run, ()))
        done = _("The training is finished: its model can be saved below.")
        paused = _("The training is paused: Resume goes on, Stop and keep makes a model of its best state.")
        self.said(done if run.state == "finished" else paused)
        self.refresh()

    # The worker

    def _worker_changed(self) -> None:
        hello = self._client.hello
        if hello is not None:
            self.choices.show_devices(hello["devices"])

    def _ask_for_lists(self) -> None:
        """Recipes and earlier trainings, once; both come after the worker has started."""
        if self.choices.recipe.recipes or (self._lists is not None and self._lists.is_active):
            return
        if self._session is not None:
            self._session.read_settings()
        self._lists = self._client.request(
            "list_recipes", {}, on_result=lambda values, arrays: self._recipes_known(values), on_error=self._not_listed
        )
        self.ask_for_runs()

    def _recipes_known(self, values: Mapping[str, Any]) -> None:
        self.choices.show_recipes(values["recipes"])
        self.refresh()

    def ask_for_runs(self) -> None:
        """Ask for the trainings in the folder of trainings, unless the worker is at something longer."""
        if self.controller.phase.is_busy or not is_installed():
            return
        self._client.request(
            "training_runs",
            {"folder": runs_folder()},
            on_result=lambda values, arrays: self._runs_known(values),
            on_error=lambda failure: self._runs.say(failure.sentence if failure.kind != "cancelled" else ""),
        )

    def _runs_known(self, values: Mapping[str, Any]) -> None:
        self._runs.show([run_of(entry) for entry in values["runs"]])
        self._runs.say(_("Folder: {folder}").format(folder=runs_folder()))
        self.refresh()

    def _not_listed(self, failure: Failure) -> None:
        if failure.kind != "cancelled":
            self.said(failure.sentence)

    # What the controller tells (TrainingView)

    def phase_changed(self, phase: TrainingPhase) -> None:
        self._show_phase(phase)
        self._refresh_timer.start()

    def said(self, sentence: str) -> None:
        self._news = sentence
        self._run.say(sentence)

    def preparing(self, fraction: float, sentence: str) -> None:
        self._run.show_preparing(fraction)
        if sentence:
            self._run.say(sentence)

    def checked(self, report: Mapping[str, Any]) -> None:
        self._check.show(report, *self.choices.device_used)

    def confirms(self, question: str) -> bool:
        return bool(slicer.util.confirmOkCancelDisplay(question, windowTitle=_("MomentumSeg Training")))

    def training_began(self, run: TrainingRun) -> None:
        self._news = ""
        self._model.show(None)
        self._show_curves_of(run)
        self._layout.show()

    def _show_curves_of(self, run: TrainingRun) -> None:
        """Begin the curves of a training, with what its log says where it has gone on before."""
        if run.folder == self._shown_run:
            return
        self._shown_run = run.folder
        self._run.forget_picture()
        self.curves.clear(run.title)
        for point in read_log(local_path(run.folder)) if is_local() else ():
            if point.loss is not None:
                self.curves.add_loss(point.iteration, point.loss)
            if point.score is not None:
                self.curves.add_dice(point.iteration, point.dices, point.score)
        self.curves.update()

    def progressed(self, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        iteration, losses = int(values.get("iteration") or 0), values.get("losses") or {}
        if "loss" in losses:
            self.curves.add_loss(iteration, float(losses["loss"]))
        by_name, mean = dices_of(values)
        if mean is not None:
            self.curves.add_dice(iteration, by_name, mean)
        self.curves.update()
        self._run.show_progress(values)
        self._run.show_picture(values, arrays)

    def finished(self, run: TrainingRun, values: Mapping[str, Any]) -> None:
        self._model.show(run, values, _data_text(run, self.choices.cases()))
        warnings = [str(text) for text in values.get("warnings") or ()]
        self.said(" ".join((_("Finished. The model can be saved below."), *warnings)))
        self.ask_for_runs()

    def failed(self, sentence: str, reason: str) -> None:
        """The user asked for it, so it is said in a window too."""
        logging.error("MomentumSeg Training: %s", sentence)
        self.said(sentence)
        slicer.util.errorDisplay(sentence, windowTitle=_("MomentumSeg Training"))


def _data_text(run: TrainingRun, cases: Sequence[SceneCase]) -> str:
    """A first text of what a model was trained on; the user knows better."""
    if not run.data.startswith(run.folder):
        return _("Cases of {folder}").format(folder=run.data.replace("\\", "/").rstrip("/").rpartition("/")[2])
    names = [slicer.mrmlScene.GetNodeByID(case.volume_id) for case in cases if case.is_used]
    text = ", ".join(node.GetName() for node in names if node is not None)
    return _("Own scans: {names}").format(names=text) if text else _("Own scans")
