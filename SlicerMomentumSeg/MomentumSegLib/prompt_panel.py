"""The method "prompts" in the panel: brings its widgets, its controller and the panel's choices together."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import qt
import slicer
import vtk

from MomentumSegLib import prompt_section
from MomentumSegLib.displayed_window import displayed_window
from MomentumSegLib.editor_section import segment_editor_node
from MomentumSegLib.errors import UserError
from MomentumSegLib.interfaces import Client, Failure
from MomentumSegLib.phase import Phase
from MomentumSegLib.prompt_controller import PromptController
from MomentumSegLib.prompt_encoding import PromptEncoding
from MomentumSegLib.prompt_nodes import (
    BOX,
    NEGATIVE,
    POSITIVE,
    begin_placing,
    end_placing,
    kind_of,
    placed_node,
    unplaced_sentence,
)
from MomentumSegLib.prompt_patience import Patience
from MomentumSegLib.prompt_request import Answer, Followed, PromptRequest
from MomentumSegLib.prompt_scribbles import is_inside, owner_of, scribble_segment
from MomentumSegLib.prompt_section import Actions, PromptSection
from MomentumSegLib.prompt_writing import OnFollowed
from MomentumSegLib.run_request import RunRequest
from MomentumSegLib.run_section import RunSection
from MomentumSegLib.scene_watch import weakly
from MomentumSegLib.shortcuts import Shortcuts
from MomentumSegLib.slice_geometry import nodes_of_class
from MomentumSegLib.ticks import Ticks
from MomentumSegLib.translation import tr as _
from MomentumSegLib.volume_sender import VolumeSender

# While the user scrolls, slices are not encoded; this long after the last one they are.
_SCROLLED_MILLISECONDS = 200

_TOOL_OF_KIND = {POSITIVE: prompt_section.INSIDE, NEGATIVE: prompt_section.OUTSIDE, BOX: prompt_section.BOX}
_KIND_OF_TOOL = {tool: kind for kind, tool in _TOOL_OF_KIND.items()}


@dataclass(frozen=True)
class Surroundings:
    """What the rest of the panel does for this method.

    Attributes:
        run: the button, the progress bar and the status line.
        slice_on_screen: returns the slice that a slice view shows, or None.
        go_to: shows a slice.
        said: keeps a sentence as the latest news.
        refresh_soon: has the panel look at everything.
        phase_changed: a run began or ended.
        is_installed: returns whether the worker can start without asking the user anything.
        install: offers what is missing; returns whether it is there now.
        on_followed: is told what was written into a segment that was followed.
    """

    run: RunSection
    slice_on_screen: Callable[[], int | None]
    go_to: Callable[[int], None]
    said: Callable[[str], None]
    refresh_soon: Callable[[], None]
    phase_changed: Callable[[Phase], None]
    is_installed: Callable[[], bool]
    install: Callable[[], bool]
    on_followed: OnFollowed | None = None


class PromptPanel:
    """Shown instead of the drawn slices when the method is chosen.

    Args:
        ui: widgets of the panel.
        widget: the panel itself.
        client: the worker's.
        ticks: between whose steps the window stays alive.
        sender: gives volumes to the worker.
        around: the rest of the panel.
    """

    def __init__(
        self, ui: Any, widget: Any, client: Client, ticks: Ticks, sender: VolumeSender, around: Surroundings
    ) -> None:
        self.ui = ui
        self._around = around
        self._is_shown = False
        self._is_installed = False
        self._request: PromptRequest | None = None
        self._problem = ""
        self._next_slice: int | None = None
        self._placed = POSITIVE
        self._patience = Patience(self._mask_overdue)
        self._encoding = PromptEncoding(client, sender, on_progress=self._encoded, on_failed=self._worker_failed)
        self.controller = PromptController(
            slicer.mrmlScene,
            client,
            ticks,
            self,
            sender,
            undo=ui.segmentEditorWidget,
            editor_node=lambda: segment_editor_node(slicer.mrmlScene),
            on_followed=around.on_followed,
        )
        actions = Actions(
            tool=self.use_tool,
            accept=self.accept,
            other_mask=self.controller.next_mask,
            take_back=self.controller.take_back,
            clear=self.controller.clear,
            next_segment=self.next_segment,
        )
        self._section = PromptSection(ui, widget, actions)
        self._section.set_visible(False)
        keys = {
            "Ctrl+T": self.toggle_sign,
            "Ctrl+Backspace": self.controller.take_back,
            "Ctrl+L": self.controller.next_mask,
        }
        self._shortcuts = Shortcuts(slicer.util.mainWindow() or widget, keys)
        self._scrolled = qt.QTimer()
        self._scrolled.setSingleShot(True)
        self._scrolled.setInterval(_SCROLLED_MILLISECONDS)
        self._scrolled.connect("timeout()", self._prepare)
        self._observed: list[tuple[Any, int]] = []

    # Life

    def enter(self, shown: bool) -> None:
        """The method was chosen, or another one; also called when the module is shown and hidden."""
        if shown == self._is_shown:
            return
        self._is_shown = shown
        self._shortcuts.enable(shown)
        if shown:
            self._observe_views()
            return
        self._stop_observing()
        self._scrolled.stop()
        self._encoding.want(None, None)
        self.end_tool()

    def set_visible(self, visible: bool) -> None:
        """Show the widgets of this method instead of those for drawn slices."""
        self._section.set_visible(visible)
        if not visible:
            self.controller.update(None)
            self.controller.nodes.show_only("", "")

    def scene_about_to_change(self) -> None:
        """A scene begins to close or to load."""
        self._stop_observing()
        self._encoding.stop()
        self._request = None

    def cleanup(self) -> None:
        """The module goes."""
        self.enter(False)
        self._shortcuts.remove()
        self._encoding.stop()
        self.controller.close()

    def _observe_views(self) -> None:
        self._stop_observing()
        scene, moved, tool = slicer.mrmlScene, weakly(self._view_moved), weakly(self._mouse_mode_changed)
        for node in nodes_of_class(scene, "vtkMRMLSliceNode"):
            self._observed.append((node, node.AddObserver(vtk.vtkCommand.ModifiedEvent, moved)))
        for node_id in ("vtkMRMLInteractionNodeSingleton", "vtkMRMLSelectionNodeSingleton"):
            node = scene.GetNodeByID(node_id)
            if node is not None:
                self._observed.append((node, node.AddObserver(vtk.vtkCommand.ModifiedEvent, tool)))

    def _stop_observing(self) -> None:
        for node, tag in self._observed:
            node.RemoveObserver(tag)
        self._observed = []

    def _view_moved(self, caller: Any, event: str) -> None:
        self._scrolled.start()

    # What is shown

    def show(self, request: RunRequest | None, problem: str, *, refine: bool) -> None:
        """Show the prompts of the segment that is chosen in the segment editor.

        Args:
            request: volume, segmentation, model, device and region as chosen in the panel.
            problem: why nothing can be asked, in one sentence; empty: it can.
            refine: whether what the segment holds is to be refined.
        """
        if self._is_shown and not self._observed:
            self._observe_views()
        self._request = self._of(request, refine)
        self._problem = problem or ("" if self._request is not None else _("Add a segment first."))
        self._is_installed = self._around.is_installed()  # asked once a refresh: it reads many small files
        usable = self._request if not self._problem and self._is_installed else None
        self.controller.update(usable, self._around.slice_on_screen())
        self._show_section()
        self._show_tool()
        self._prepare()

    def _of(self, request: RunRequest | None, refine: bool) -> PromptRequest | None:
        segmentation = None if request is None else slicer.mrmlScene.GetNodeByID(request.segmentation_id)
        if request is None or segmentation is None:
            return None
        chosen = self.ui.segmentEditorWidget.currentSegmentID()
        segment_id = owner_of(segmentation, chosen) if chosen else ""
        if segmentation.GetSegmentation().GetSegment(segment_id) is None:
            return None
        return PromptRequest(
            volume_id=request.volume_id,
            segmentation_id=request.segmentation_id,
            segment_id=segment_id,
            plane=request.plane,
            model=request.model,
            device=request.device,
            model_title=request.model_title,
            device_name=request.device_name,
            refine=refine,
            slice_range=request.slice_range,
            region_id=request.region_id,
            window=displayed_window(slicer.mrmlScene.GetNodeByID(request.volume_id)),
        )

    def _show_section(self) -> None:
        controller, index = self.controller, self._around.slice_on_screen()
        self._patience.watch(controller.question)
        answer = controller.answer_near(index)
        slices = controller.prompts.slices
        prompts = slices.get(answer.slice_index if answer is not None else index)
        self._section.show_segment(self._segment_name())
        self._section.show(
            prompts,
            answer,
            is_asking=controller.is_asking,
            is_usable=not self._problem and not controller.phase.is_busy,
            has_prompts=bool(slices),
        )

    def _segment_name(self) -> str:
        request = self._request
        node = None if request is None else slicer.mrmlScene.GetNodeByID(request.segmentation_id)
        segment = None if node is None else node.GetSegmentation().GetSegment(request.segment_id)
        return "" if segment is None else str(segment.GetName())

    def show_run(self, news: str) -> None:
        """Show what can be done next: the button follows the segment through the volume."""
        phase = self.controller.phase
        if self._patience.is_overdue:
            self._around.run.show(Phase.RUNNING, "", has_result=False)
            self._around.run.show_progress(-1.0, None)
            return
        problem = self._problem
        if not problem and not self.controller.prompts.slices and not (self._request and self._request.refine):
            problem = unplaced_sentence()
        self._around.run.show(
            phase,
            problem,
            has_result=False,
            action=_("Follow through the volume"),
            tip=_("Follow the segment from its prompts to the slices above and below; the result is one undo step"),
        )
        if phase is Phase.IDLE:
            ready = _("Accept the mask, click again to correct it, or follow it through the volume.")
            self._around.run.say(news or problem or ready)

    def _prepare(self) -> None:
        """Have the slices around the one in view encoded; those with prompts are asked for anyway."""
        if not self._is_shown or self._problem or self.controller.phase.is_busy or not self._is_installed:
            return
        self._encoding.want(self._request, self._around.slice_on_screen())
        self._show_section()

    def _encoded(self, fraction: float | None) -> None:
        """Slices are encoded quietly: whoever clicks before notices nothing but a short wait."""

    def _worker_failed(self, failure: Failure) -> None:
        logging.error("MomentumSeg: %s", failure.sentence)
        self._around.said(failure.sentence)

    # Tools

    def use_tool(self, tool: str, on: bool) -> None:
        """Begin or end to place points, boxes or scribbles."""
        request = self._request
        if on and not self._around.install():
            self._around.said(_("Packages are missing: press the button again to install them."))
            on = False
        segmentation = None if request is None else slicer.mrmlScene.GetNodeByID(request.segmentation_id)
        if not on or request is None or segmentation is None:
            self.end_tool()
            return
        editor = self.ui.segmentEditorWidget
        if tool in (prompt_section.SCRIBBLE_INSIDE, prompt_section.SCRIBBLE_OUTSIDE):
            end_placing(slicer.mrmlScene)
            inside = tool == prompt_section.SCRIBBLE_INSIDE
            editor.setCurrentSegmentID(scribble_segment(segmentation, request.segment_id, inside=inside))
            editor.setActiveEffectByName("Paint")
        else:
            self._end_scribble()
            self._place(segmentation, request.segment_id, _KIND_OF_TOOL[tool])
        self._show_tool()
        self._around.refresh_soon()

    def _place(self, segmentation: Any, segment_id: str, kind: str) -> None:
        nodes = self.controller.nodes
        if kind == BOX:
            begin_placing(slicer.mrmlScene, nodes.new_box(segmentation, segment_id), persistent=False)
            return
        self._placed = kind
        begin_placing(slicer.mrmlScene, nodes.points_node(segmentation, segment_id, kind), persistent=True)

    def end_tool(self) -> None:
        """Clicks into the views are no prompts any more."""
        if placed_node(slicer.mrmlScene) is not None:
            end_placing(slicer.mrmlScene)
        self._end_scribble()
        self._show_tool()

    def _end_scribble(self) -> None:
        editor = self.ui.segmentEditorWidget
        chosen, segmentation = editor.currentSegmentID(), editor.segmentationNode()
        owner = owner_of(segmentation, chosen) if chosen and segmentation is not None else chosen
        if owner != chosen:
            editor.setActiveEffectByName("")
            editor.setCurrentSegmentID(owner)

    def toggle_sign(self) -> None:
        """The next click means the opposite: outside instead of inside, or the other way round."""
        node = placed_node(slicer.mrmlScene)
        if node is not None and kind_of(node) in (POSITIVE, NEGATIVE):
            self._placed = NEGATIVE if kind_of(node) == POSITIVE else POSITIVE
        self.use_tool(_TOOL_OF_KIND[self._placed], True)

    def _show_tool(self) -> None:
        node = placed_node(slicer.mrmlScene)
        tool = _TOOL_OF_KIND.get(kind_of(node), "") if node is not None else ""
        editor = self.ui.segmentEditorWidget
        chosen, segmentation = editor.currentSegmentID(), editor.segmentationNode()
        if not tool and chosen and segmentation is not None and owner_of(segmentation, chosen) != chosen:
            inside = is_inside(segmentation, chosen)
            tool = prompt_section.SCRIBBLE_INSIDE if inside else prompt_section.SCRIBBLE_OUTSIDE
        self._section.show_tool(tool)

    def _mouse_mode_changed(self, caller: Any, event: str) -> None:
        self._show_tool()

    # What the user does

    def accept(self) -> None:
        """Put the masks that are shown into the segment."""
        if not self._problem:
            self.controller.accept()
            self._show_section()

    def next_segment(self) -> None:
        """Accept what is shown, and go on with a new segment."""
        request = self._request
        segmentation = None if request is None else slicer.mrmlScene.GetNodeByID(request.segmentation_id)
        if segmentation is None or self.controller.phase.is_busy:
            return
        if self.controller.is_asking:
            self._around.said(_("The mask is being computed: press again when it is shown."))
            return
        if self.controller.waiting:
            self.controller.accept()
        node = placed_node(slicer.mrmlScene)
        kind = kind_of(node) if node is not None else ""
        self.end_tool()
        number = segmentation.GetSegmentation().GetNumberOfSegments() + 1
        segment_id = segmentation.GetSegmentation().AddEmptySegment("", _("Structure {number}").format(number=number))
        self.ui.segmentEditorWidget.setCurrentSegmentID(segment_id)
        if kind in (POSITIVE, NEGATIVE):
            self._place(segmentation, segment_id, POSITIVE)
        self._around.refresh_soon()

    def follow(self) -> None:
        """Follow the segment through the volume. Raises `UserError`."""
        if self._request is None:
            raise UserError(self._problem or unplaced_sentence())
        self.end_tool()
        self.controller.follow(self._request)

    def cancel(self) -> None:
        """Stop following, or end a worker that does not answer."""
        if self._patience.is_overdue:
            self.controller.give_up()
            self._around.phase_changed(self.controller.phase)
        else:
            self.controller.cancel()

    def _mask_overdue(self, seconds: int) -> None:
        question = self.controller.question
        if question is None:
            return
        text = _("Slice {index}: no mask for {seconds} s. Wait, or press Cancel, which starts the worker anew.")
        self._around.said(text.format(index=question.slice_index, seconds=seconds))
        self.show_run("")

    def go_to_least_sure(self) -> None:
        """Show the slice where the model was least sure when it followed the segment."""
        if self._next_slice is not None:
            self._around.go_to(self._next_slice)

    # What the controller tells (PromptView)

    def phase_changed(self, phase: Phase) -> None:
        self._around.phase_changed(phase)
        self._show_section()

    def progressed(self, fraction: float, remaining_seconds: float | None) -> None:
        self._around.run.show_progress(fraction, remaining_seconds)

    def said(self, sentence: str) -> None:
        self._around.said(sentence)

    def prompts_changed(self) -> None:
        self._show_section()
        if self._is_shown and not self.controller.phase.is_busy:
            self._around.refresh_soon()

    def answered(self, answer: Answer) -> None:
        self._around.said("")
        self._show_section()
        self.show_run("")

    def followed(self, followed: Followed) -> None:
        self._next_slice = followed.next_slice
        self._around.refresh_soon()

    def failed(self, kind: str, sentence: str, reason: str) -> None:
        logging.error("MomentumSeg: %s", sentence)
        slicer.util.errorDisplay(sentence, windowTitle=_("MomentumSeg"))
