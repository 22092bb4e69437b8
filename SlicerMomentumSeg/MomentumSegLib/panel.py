"""The panel: brings the widgets, the parameters of the scene and the controller together.

Each part of the panel is a section of its own; here is what concerns several of them.
"""

from __future__ import annotations

import logging
from typing import Any

import qt
import slicer

from MomentumSegLib.ahead import Ahead
from MomentumSegLib.automatic_section import AutomaticSection, no_model, no_model_sentence
from MomentumSegLib.chosen_request import ChosenModel, chosen_request
from MomentumSegLib.device_section import AUTOMATIC as AUTOMATIC_DEVICE
from MomentumSegLib.device_section import DeviceSection, readable
from MomentumSegLib.drawing_section import DrawingSection
from MomentumSegLib.editor_section import EditorSection, segment_editor_node
from MomentumSegLib.errors import UserError
from MomentumSegLib.installation_dialog import ensure_installed, is_installed
from MomentumSegLib.iterates_section import IteratesSection
from MomentumSegLib.method_section import AUTOMATIC, FEW_SHOT, PROMPTS, Method, MethodSection, method_named
from MomentumSegLib.model_section import ModelSection
from MomentumSegLib.output_choice import OutputChoice
from MomentumSegLib.phase import Phase
from MomentumSegLib.prompt_panel import PromptPanel, Surroundings
from MomentumSegLib.region_section import RegionSection, clamped_range
from MomentumSegLib.results_section import ResultsSection
from MomentumSegLib.run_controller import RunController
from MomentumSegLib.run_outcome import Outcome
from MomentumSegLib.run_request import RunRequest
from MomentumSegLib.run_section import RunSection
from MomentumSegLib.scene_parameters import SceneParameters
from MomentumSegLib.sequences import volume_sequence
from MomentumSegLib.shortcuts import Shortcuts
from MomentumSegLib.slice_geometry import SliceGeometry
from MomentumSegLib.ticks import QtTicks
from MomentumSegLib.translation import tr as _
from MomentumSegLib.volume_data import read_volume_geometry
from MomentumSegLib.worker_pump import WorkerPump
from MomentumSegLib.worker_session import shared_client, stop_shared_client

# A stroke changes the segmentation many times; the panel looks at it when this has passed without a change.
_REFRESH_MILLISECONDS = 150


class Panel:
    """What the module's widget shows.

    Args:
        ui: widgets of the .ui file by name.
        logic: of the module; gives the parameter node.
        widget: the panel itself.
    """

    def __init__(self, ui: Any, logic: Any, widget: Any) -> None:
        self.ui = ui
        self._widget = widget
        self._client = shared_client()
        self._ticks = QtTicks()
        self._is_gone = False
        self._pump = WorkerPump(self._client)
        self._scene_parameters = SceneParameters(ui, logic, self._user_changed)
        self._is_shown = False
        self._last_volume_id = ""
        self._news = ""
        self._method_shown = ""
        self._refresh_timer = qt.QTimer()
        self._refresh_timer.setSingleShot(True)
        self._refresh_timer.setInterval(_REFRESH_MILLISECONDS)
        self._refresh_timer.connect("timeout()", self.refresh)
        self._make_sections()

    def _make_sections(self) -> None:
        ui, scene = self.ui, slicer.mrmlScene
        self.controller = RunController(
            scene,
            self._client,
            self._ticks,
            self,
            undo=ui.segmentEditorWidget,
            editor_node=lambda: segment_editor_node(slicer.mrmlScene),
        )
        keep = self._scene_parameters.setter
        self._method = MethodSection(ui, on_chosen=keep("method"))
        self._model = ModelSection(
            ui, self._client, on_chosen=self._model_chosen, on_changed=self.refresh_soon, on_problem=self.said
        )
        self._device = DeviceSection(ui, on_chosen=keep("device"))
        self._ahead = Ahead(
            self._client,
            self.controller.sender,
            self._model,
            self._device,
            on_progress=self._show_run,
            on_problem=self.said,
        )
        self._editor = EditorSection(ui, on_segment_chosen=self._segment_chosen)
        self._output = OutputChoice(scene, on_changed=self._user_changed)
        self._drawing = DrawingSection(ui, self.controller, on_changed=self._user_changed, on_problem=self.said)
        self._region = RegionSection(ui, on_range=self._range_chosen)
        self._run = RunSection(ui, on_apply=self.apply, on_cancel=self._cancel)
        self._results = ResultsSection(ui, self.controller, on_problem=self.said)
        self._automatic = AutomaticSection(ui, self._widget, on_import=self._import_model)
        self._iterates = IteratesSection(
            ui,
            self.controller,
            self._client,
            slice_on_screen=self._drawing.slice_on_screen,
            before_showing=self._hide_uncertainty,
            on_problem=self.said,
        )
        self._prompts = self._new_prompts()
        window = slicer.util.mainWindow() or self._widget
        keys = {"Ctrl+Return": self._apply_by_key, "Ctrl+J": self._go_to_suggested}
        self._shortcuts = Shortcuts(window, keys)

    def _new_prompts(self) -> PromptPanel:
        around = Surroundings(
            run=self._run,
            slice_on_screen=self._drawing.slice_on_screen,
            go_to=self._drawing.go_to,
            said=self.said,
            refresh_soon=self.refresh_soon,
            phase_changed=self.phase_changed,
            is_installed=is_installed,
            install=lambda: ensure_installed(self._widget.window()),
            on_followed=self.controller.remember_result,
        )
        return PromptPanel(self.ui, self._widget, self._client, self._ticks, self.controller.sender, around)

    # Life of the module

    def enter(self) -> None:
        """The module is shown."""
        self._is_shown = True
        shared_client()  # reads the settings again
        self._editor.enter()
        self._scene_parameters.connect()
        self._model.list_again()
        self._shortcuts.enable(True)
        self._method_shown = ""
        self.refresh()

    def exit(self) -> None:
        """Another module is shown; a run goes on."""
        self._is_shown = False
        self._shortcuts.enable(False)
        self._prompts.enter(False)
        self._iterates.stop()
        self._editor.exit()
        self._scene_parameters.disconnect()

    def cleanup(self) -> None:
        """The module goes: reload, or the application ends. Nothing is left behind."""
        self.exit()
        self._is_gone = True
        self._refresh_timer.stop()
        self._shortcuts.remove()
        self._output.stop()
        self._model.stop()
        self._ahead.close()
        self._prompts.cleanup()
        self.controller.close()
        self._pump.stop()
        stop_shared_client()

    def scene_about_to_change(self) -> None:
        """A scene begins to close or to load: what the selectors do meanwhile is no choice of the user."""
        self._ahead.stop()
        self._prompts.scene_about_to_change()
        self._iterates.stop()
        self._scene_parameters.disconnect()

    def scene_changed(self) -> None:
        """A scene was closed or loaded. The selectors learn of its nodes from the same event, so they come first."""
        self._ticks.later(self._take_scene)

    def _take_scene(self) -> None:
        if self._is_gone:
            return
        self._editor.scene_changed()
        self._results.forget()
        if self._is_shown:
            self._scene_parameters.disconnect()
            self._scene_parameters.connect()
            self.refresh()

    @property
    def _parameters(self) -> Any:
        """Of the scene; None while the panel is not shown."""
        return self._scene_parameters.node

    def _user_changed(self) -> None:
        """Something was chosen or drawn: what was said before is old."""
        if not self._active.phase.is_busy:
            self._news = ""
        self.refresh_soon()

    @property
    def _chosen_method(self) -> Method:
        return method_named(self._parameters.method if self._parameters is not None else FEW_SHOT)

    @property
    def _uses_prompts(self) -> bool:
        return self._chosen_method.name == PROMPTS

    @property
    def _active(self) -> Any:
        """The controller of the chosen method, else the one that still works."""
        is_prompting = self._uses_prompts and not self.controller.phase.is_busy
        return self._prompts.controller if is_prompting or self._prompts.controller.phase.is_busy else self.controller

    def _segment_chosen(self) -> None:
        if self._uses_prompts:
            self.refresh_soon()

    def _model_chosen(self, name: str) -> None:
        self._scene_parameters.set(self._chosen_method.model_parameter, name)

    def _range_chosen(self, first: int, last: int) -> None:
        if self._parameters is not None:
            self._parameters.firstSlice, self._parameters.lastSlice = first, last

    # What is shown

    def refresh_soon(self) -> None:
        """Refresh when nothing has changed for a moment."""
        self._refresh_timer.start()

    def refresh(self) -> None:
        """Show the state of scene, worker and run."""
        if self._parameters is None:
            return
        parameters, news = self._parameters, self._news
        self._method.choose(parameters.method)
        method = self._chosen_method
        none_sentence = no_model() if method.name == AUTOMATIC else ""
        self._model.choose(self._model_name(), method.model_kind, none_sentence)
        self._ahead.list_models()
        self._device.choose(parameters.device)
        self._show_method()
        volume = parameters.inputVolume
        self._choose_output(volume)
        self._output.observe(parameters.outputSegmentation)
        self._editor.edit(parameters.outputSegmentation, volume)
        self._show_frames(volume)
        slices = self._slices()
        self._show_region(slices)
        request = self._request()
        self._drawing.show(request, slices)
        wanted = None if self.controller.phase.is_busy else request
        self._ahead.prepare(method.name, wanted, self._drawing.slice_on_screen())
        self._method.show_widgets(method, drawn_slices=self._drawing.row_count)
        self._show_automatic()
        if parameters.showUncertainty:
            self._iterates.stop()
        self._results.show(
            request, slices, uncertainty=parameters.showUncertainty, opacity=parameters.uncertaintyOpacity
        )
        self._iterates.show(request, slices)
        self._show_prompts(request)
        self._news = self._news or news  # what changed meanwhile was no choice of the user
        self._show_run()

    def _show_prompts(self, request: RunRequest | None) -> None:
        """Show what belongs to the chosen method, in place of what belongs to another one."""
        parameters = self._parameters
        if parameters.method != self._method_shown:
            self._method_shown = parameters.method
            self._prompts.enter(self._uses_prompts)
            self._prompts.set_visible(self._uses_prompts)
        if self._uses_prompts:
            self._prompts.show(request, self._problem(), refine=parameters.refine)

    def _model_name(self) -> str:
        return str(getattr(self._parameters, self._chosen_method.model_parameter))

    def _choose_output(self, volume: Any) -> None:
        """Give a newly chosen volume its own segmentation; a choice that the user makes afterwards stays."""
        parameters, is_new = self._parameters, _id_of(volume) != self._last_volume_id
        self._last_volume_id = _id_of(volume)
        if volume is None:
            return
        output = parameters.outputSegmentation
        if output is None or (is_new and self._output.belongs_to_another(output, volume)):
            parameters.outputSegmentation = self._output.segmentation_for(volume)

    def _slices(self) -> SliceGeometry | None:
        try:
            return SliceGeometry.of(read_volume_geometry(self._parameters.inputVolume), self._parameters.plane.value)
        except UserError:
            return None

    def _hide_uncertainty(self) -> None:
        """The slice views have room for one overlay."""
        if self._parameters is not None and self._parameters.showUncertainty:
            self._parameters.showUncertainty = False
            self.refresh()

    def _show_method(self) -> None:
        """The closed section says what is chosen."""
        device = readable(self._parameters.device, self._device.devices)
        title = self._model.title
        self._method.show_heading(self._chosen_method, title, "" if device == AUTOMATIC_DEVICE else device)

    def _show_automatic(self) -> None:
        is_chosen, is_busy = self._chosen_method.name == AUTOMATIC, self.controller.phase.is_busy
        text = self._model.description or self._problem() or _("The models are listed when the worker is installed.")
        text = no_model_sentence() if self._model.has_none else text
        self._automatic.show(is_chosen, description=text, is_busy=is_busy)

    def _show_frames(self, volume: Any) -> None:
        """Only a volume sequence has frames to choose from."""
        has_frames = volume is not None and volume_sequence(volume) is not None
        self.ui.framesLabel.visible = has_frames
        self.ui.framesComboBox.visible = has_frames

    def _show_region(self, slices: SliceGeometry | None) -> None:
        parameters, count = self._parameters, slices.count if slices else 0
        first, last = clamped_range(parameters.firstSlice, parameters.lastSlice, count)
        self._region.show(count, first, last, limited=parameters.limitSlices)

    def _request(self) -> RunRequest | None:
        """The run that Apply would start; None without volume or segmentation."""
        if self._parameters is None:
            return None
        model = ChosenModel(self._model_name(), self._model.title)
        return chosen_request(self._parameters, self._slices, model, self._device.devices)

    def _problem(self) -> str:
        """Why Apply cannot work, in one sentence; empty: it can."""
        if self._parameters is None or self._parameters.inputVolume is None:
            return _("Select a volume first.")
        try:
            read_volume_geometry(self._parameters.inputVolume)
        except UserError as error:
            return str(error)
        problem = self._model.problem()
        if self._model.is_listing and not self._model_name():
            problem = _("Looking for automatic models ...")
        if problem or self._chosen_method.name != FEW_SHOT:
            return problem
        return self._drawing.problem(self._request())

    def _show_run(self) -> None:
        """Show what Apply would do. The last news stay until the user changes something."""
        if self._parameters is None:
            return
        if self._active is self._prompts.controller:
            self._prompts.show_run(self._news)
            return
        request, problem, phase = self._request(), self._problem(), self.controller.phase
        outcome = self.controller.outcome(request.segmentation_id) if request is not None else None
        tip = "" if self._chosen_method.name == FEW_SHOT else _("Segment the volume with the model (Ctrl+Enter)")
        self._run.show(phase, problem, has_result=outcome is not None, tip=tip)
        if phase is not Phase.IDLE:
            return
        ready = outcome.sentence if outcome is not None else _("Ready. Press Apply.")
        text = self._news or problem or ready
        if self._ahead.preparing is not None and not self._news:
            percent = round(100 * self._ahead.preparing)
            text = _("{text} (The volume is being prepared: {percent} %)").format(text=text, percent=percent)
        self._run.say(text)

    # The run

    def apply(self) -> None:
        """Start a run; the first time, what the worker needs is offered for installation."""
        self.refresh()
        request, problem = self._request(), self._problem()
        if request is None or problem:
            self.said(problem)
            return
        if not ensure_installed(self._widget.window()):
            self.said(_("Packages are missing: press Apply again to install them."))
            return
        shared_client()
        if not request.model:  # the worker could not be asked before, without its packages
            self._model.refresh()
            self.refresh()
            return
        self._ahead.stop()
        try:
            if self._uses_prompts:
                self._prompts.follow()
            else:
                self.controller.apply(request)
        except UserError as error:
            self.said(str(error))
            slicer.util.errorDisplay(str(error), windowTitle=_("MomentumSeg"))

    def _cancel(self) -> None:
        if self._active is self._prompts.controller:
            self._prompts.cancel()
        else:
            self.controller.cancel()

    def _import_model(self) -> None:
        """Use a file of an automatic model; the worker copies it."""
        if ensure_installed(self._widget.window()):
            shared_client()
            self._model.import_own()

    def _apply_by_key(self) -> None:
        if self._uses_prompts:
            self._prompts.accept()
        elif not self.controller.phase.is_busy:
            self._run.press()

    def _go_to_suggested(self) -> None:
        if self._uses_prompts:
            self._prompts.go_to_least_sure()
        else:
            self._drawing.go_to_suggested()

    # What the controller tells (RunView)

    def phase_changed(self, phase: Phase) -> None:
        self._drawing.set_running(phase.is_busy)
        self.ui.methodComboBox.enabled = not phase.is_busy
        if self._parameters is not None:
            self._show_automatic()
            self._show_run()
        else:
            self._run.show(phase, "", has_result=False)

    def progressed(self, fraction: float, remaining_seconds: float | None) -> None:
        self._run.show_progress(fraction, remaining_seconds)

    def said(self, sentence: str) -> None:
        self._news = sentence
        self._run.say(sentence)

    def finished(self, outcome: Outcome) -> None:
        self._results.take(outcome)
        self.refresh()

    def failed(self, kind: str, sentence: str, reason: str) -> None:
        """A run could not be done: the user asked for it, so it is said in a window too."""
        logging.error("MomentumSeg: %s", sentence)
        slicer.util.errorDisplay(sentence, windowTitle=_("MomentumSeg"))


def _id_of(node: Any) -> str:
    return "" if node is None else node.GetID()
