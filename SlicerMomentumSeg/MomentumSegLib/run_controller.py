"""A run over a volume, from the scene to the worker and its result back into the scene. No widget is touched here.

What is particular to a method is in its request and the plan that it makes (see `run_request`). The controller is a
state machine (see `phase`). It knows nodes by their IDs, because they may vanish at any time, and
works in short steps on the main thread; the work is done by the worker.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from MomentumSegLib.drawn_slices import Collected, DrawnSlices
from MomentumSegLib.errors import UserError
from MomentumSegLib.frames_run import FramesRun
from MomentumSegLib.interfaces import Client, Failure, Job, UndoStack
from MomentumSegLib.phase import Phase
from MomentumSegLib.result_preview import ResultPreview
from MomentumSegLib.run_outcome import Outcome, OutcomeWriter, WrittenResult
from MomentumSegLib.run_region import region_to_segment
from MomentumSegLib.run_request import Answer, RunPlan, RunRequest
from MomentumSegLib.scene_watch import SceneWatch
from MomentumSegLib.segmentation_output import Region, Written
from MomentumSegLib.sequences import volume_sequence
from MomentumSegLib.slice_geometry import SliceGeometry
from MomentumSegLib.ticks import Ticks
from MomentumSegLib.translation import tr as _
from MomentumSegLib.volume_data import read_volume_geometry
from MomentumSegLib.volume_sender import VolumeSender

_ANY_DEVICE = "auto"


class RunView(Protocol):
    """Whom the controller tells what happens; the panel is one."""

    def phase_changed(self, phase: Phase) -> None: ...

    def progressed(self, fraction: float, remaining_seconds: float | None) -> None: ...

    def said(self, sentence: str) -> None: ...

    def finished(self, outcome: Outcome) -> None: ...

    def failed(self, kind: str, sentence: str, reason: str) -> None: ...


@dataclass(eq=False)
class _Run:
    """One run on its way."""

    request: RunRequest
    slices: SliceGeometry
    region: Region | None
    plan: RunPlan
    frames: FramesRun | None = None
    preview: ResultPreview | None = None
    job: Job | None = None
    why_cancelled: str = ""
    warnings: list[str] = field(default_factory=list)


class RunController:
    """Runs one request at a time.

    Args:
        scene: the MRML scene.
        client: the worker's.
        ticks: between whose steps the window stays alive.
        view: is told what happens.
        undo: keeps the undo state before a result is written; None: nothing to undo.
        editor_node: returns the vtkMRMLSegmentEditorNode whose masking is obeyed, or None.
    """

    def __init__(
        self,
        scene: Any,
        client: Client,
        ticks: Ticks,
        view: RunView,
        *,
        undo: UndoStack | None = None,
        editor_node: Callable[[], Any] = lambda: None,
    ) -> None:
        self._scene = scene
        self._client = client
        self._ticks = ticks
        self._view = view
        self._sender = VolumeSender(scene, client, ticks)
        self._writer = OutcomeWriter(scene, undo, editor_node)
        self._watch = SceneWatch(scene, on_removed=self._node_removed, on_close=self._scene_closes)
        self._trackers: dict[str, DrawnSlices] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._run: _Run | None = None
        self._phase = Phase.IDLE

    @property
    def phase(self) -> Phase:
        return self._phase

    @property
    def request(self) -> RunRequest | None:
        """The request that runs."""
        return self._run.request if self._run else None

    @property
    def sender(self) -> VolumeSender:
        return self._sender

    def outcome(self, segmentation_id: str) -> Outcome | None:
        """Return the last result that was written into a segmentation in this session."""
        return self._outcomes.get(segmentation_id)

    # What is drawn

    def drawn(self, request: RunRequest) -> Collected:
        """Return the slices drawn in a request's segmentation. Raises `UserError` for nodes that cannot be used."""
        volume = read_volume_geometry(self._scene.GetNodeByID(request.volume_id))
        return self._tracker(request.segmentation_id).collect(volume, request.plane)

    def remove_drawn(self, request: RunRequest, slice_index: int) -> None:
        """Let a slice count as drawn no longer. Raises `UserError`."""
        volume = read_volume_geometry(self._scene.GetNodeByID(request.volume_id))
        self._tracker(request.segmentation_id).remove(volume, request.plane, slice_index)

    def remember_result(self, request: Any, slices: SliceGeometry, written: Written) -> None:
        """Count what another method wrote as a result, not as drawn. Raises `UserError`."""
        tracker = self._tracker(request.segmentation_id)
        tracker.remember_result(slices.volume, written.before, written.after, request.plane)

    def _tracker(self, segmentation_id: str) -> DrawnSlices:
        node = self._scene.GetNodeByID(segmentation_id)
        if node is None:
            raise UserError(_("The output segmentation is not in the scene any more: choose or create another."))
        if segmentation_id not in self._trackers:
            self._trackers[segmentation_id] = DrawnSlices(node)
        return self._trackers[segmentation_id]

    # The run

    def apply(self, request: RunRequest) -> None:
        """Start a run.

        Raises:
            UserError: another run is on its way, nothing is drawn, or a node cannot be used.
        """
        if self._phase.is_busy:
            raise UserError(_("A segmentation is running: cancel it or wait until it is done."))
        run = self._prepared(request)
        self._run = run
        self._watch.watch(filter(None, (request.volume_id, request.segmentation_id)))
        known = self._client.state == "ready" and self._sender.has(request.volume_id)
        self._enter(Phase.STARTING)
        self._view.progressed(-1.0, None)
        if self._client.state == "ready":
            self._view.said(_("Starting ...") if known else _("Sending the volume to the worker ..."))
        else:
            self._view.said(_("Starting the worker ..."))
        self._send_volumes(run, [request.volume_id, *run.plan.other_volumes])

    def cancel(self, why: str = "") -> None:
        """Stop the run; segmentation and scene stay as they were before it."""
        run = self._run
        if run is None or not self._phase.can_cancel:
            return
        run.why_cancelled = why or _("Cancelled; nothing was changed.")
        self._drop_preview(run)
        if run.job is None:
            self._end(run, run.why_cancelled)
            return
        self._enter(Phase.CANCELLING)
        self._view.said(_("Cancelling ..."))
        run.job.cancel()

    def close(self) -> None:
        """Stop everything and let go of the scene."""
        run, self._run = self._run, None
        if run is not None:
            self._drop_preview(run)
            if run.job is not None:
                run.job.cancel()
        self._watch.stop()
        self._sender.close()
        self._phase = Phase.IDLE

    def _prepared(self, request: RunRequest) -> _Run:
        """Read all that the run needs from the scene. Raises `UserError`."""
        volume = read_volume_geometry(self._scene.GetNodeByID(request.volume_id))
        slices = SliceGeometry.of(volume, request.plane)
        roi = self._scene.GetNodeByID(request.region_id) if request.region_id else None
        region = region_to_segment(roi, slices, request.slice_range)
        collected = self._tracker(request.segmentation_id).collect(volume, request.plane)
        plan = request.plan(self._scene, slices, region, collected)
        sequence = volume_sequence(self._scene.GetNodeByID(request.volume_id)) if request.all_frames else None
        frames = FramesRun.of(sequence) if sequence is not None else None
        return _Run(request, slices, region, plan, frames, warnings=list(collected.warnings))

    def _send_volumes(self, run: _Run, volume_ids: list[str]) -> None:
        """Have the worker know the volumes one after the other, then ask for the segmentation."""
        if self._run is not run:
            return
        if not volume_ids:
            self._ask(run, run.request.volume_id)
            return

        def sent(warnings: Sequence[str]) -> None:
            run.warnings.extend(warnings)
            self._send_volumes(run, volume_ids[1:])

        try:
            self._sender.ensure(volume_ids[0], sent, lambda failure: self._failure(run, failure))
        except UserError as error:
            self._fail(run, "user", str(error))

    def _ask(self, run: _Run, volume_id: str) -> None:
        request = run.request
        parameters = {"volume": volume_id, "model": request.model, "device": request.device}
        run.job = self._client.request(
            run.plan.method,
            {**parameters, **run.plan.parameters(volume_id)},
            run.plan.arrays,
            on_progress=lambda fraction, message, seconds: self._progress(run, fraction, seconds),
            on_partial=lambda values, arrays: self._partial(run, (values, arrays)),
            on_result=lambda values, arrays: self._result(run, (values, arrays)),
            on_error=lambda failure: self._failure(run, failure),
        )

    def _progress(self, run: _Run, fraction: float, seconds: float | None) -> None:
        if self._run is not run or not self._phase.can_cancel:
            return
        self._running(run)
        if run.frames is not None:
            fraction, seconds = run.frames.fraction(fraction), None
        self._view.progressed(fraction, seconds)

    def _running(self, run: _Run) -> None:
        if self._phase is Phase.STARTING:
            request = run.request
            self._enter(Phase.RUNNING)
            on_device = _("Segmenting on {device} with {model} ...")
            # Before the first worker has said which devices there are, automatic is no device that one can name.
            text = _("Segmenting with {model} ...") if request.device == _ANY_DEVICE else on_device
            self._view.said(
                text.format(device=request.device_name or request.device, model=request.model_title or request.model)
            )

    def _partial(self, run: _Run, part: Answer) -> None:
        if self._run is not run or not self._phase.can_cancel:
            return
        self._running(run)
        if not run.plan.shown or (run.frames is not None and run.frames.answers):
            return  # of a frame that is not shown
        if run.preview is None:
            run.preview = self._new_preview(run)
        values, arrays = part
        run.preview.show_slice(int(values["slice_index"]), tuple(values.get("origin") or (0, 0)), arrays.get("labels"))

    def _new_preview(self, run: _Run) -> ResultPreview:
        segmentation = self._scene.GetNodeByID(run.request.segmentation_id)
        return ResultPreview(self._scene, segmentation, run.slices, run.plan.shown)

    def _result(self, run: _Run, answer: Answer) -> None:
        if self._run is not run:
            return
        if self._phase is Phase.CANCELLING:  # the result overtook the wish to cancel
            self._end(run, run.why_cancelled)
            return
        if run.frames is not None:
            frame = run.frames.take(answer)
            if frame is not None:
                self._ask_frame(run, run.frames, frame)
                return
        self._enter(Phase.WRITING)
        self._view.said(_("Writing the result ..."))
        answers = [answer] if run.frames is None else run.frames.in_order
        self._ticks.later(lambda: self._write(run, answers))

    def _ask_frame(self, run: _Run, frames: FramesRun, frame: int) -> None:
        """Have the worker segment another frame; it forgets it again afterwards."""
        self._drop_preview(run)
        done = _("Frame {done} of {count} is done.").format(done=len(frames.answers), count=frames.count)
        self._view.said(done)
        try:
            volume = frames.sequence.read_frame(frame)
        except UserError as error:
            self._fail(run, "user", str(error))
            return
        self._sender.send(volume, lambda warnings: None, lambda failure: self._failure(run, failure))
        self._ask(run, volume.node_id)
        self._sender.forget(volume.node_id)

    def _write(self, run: _Run, answers: Sequence[Answer]) -> None:
        """Write the first answer; of several it is that for the frame that is shown."""
        if self._run is not run:
            return
        self._drop_preview(run)
        written: WrittenResult | None = None
        problem = _("The result could not be written; the log says why.")
        try:
            if run.frames is not None:
                run.frames.check()
            tracker = self._tracker(run.request.segmentation_id)
            written = self._writer.write(run.request, run.slices, run.plan, run.region, tracker, answers)
        except UserError as error:
            problem = str(error)
        finally:
            if written is None:
                self._fail(run, "user", problem)
        if written is not None:
            self._ticks.later(lambda: self._remember(run, written, answers))

    def _remember(self, run: _Run, written: WrittenResult, answers: Sequence[Answer]) -> None:
        if self._run is not run:
            return
        try:
            tracker = self._tracker(run.request.segmentation_id)
            outcome = self._writer.remember(run.request, run.slices, run.plan, written, tracker, answers)
        except UserError as error:  # deleted in this very moment
            self._fail(run, "user", str(error))
            return
        self._outcomes[run.request.segmentation_id] = outcome
        self._write_frames(run, outcome, list(run.frames.waiting) if run.frames else [])

    def _write_frames(self, run: _Run, outcome: Outcome, frames: list[int]) -> None:
        """Write the frames that are not shown, one a step, then finish."""
        if self._run is not run:
            return
        if not frames or run.frames is None:
            self._ticks.later(lambda: self._finish(run, outcome))
            return
        request = run.request
        try:
            tracker, node = self._tracker(request.segmentation_id), self._scene.GetNodeByID(request.segmentation_id)
            segments = {label: segment_id for segment_id, label in outcome.labels.items()}
            run.frames.write(frames[0], node, run.slices, segments, run.region, tracker, request.plane)
        except UserError as error:
            run.warnings.append(str(error))
        self._ticks.later(lambda: self._write_frames(run, outcome, frames[1:]))

    def _finish(self, run: _Run, outcome: Outcome) -> None:
        """Measure; the segments are written already."""
        if self._run is not run:
            return
        self._run = None
        self._watch.watch(())
        self._writer.measure(outcome)
        self._ticks.later(lambda: self._writer.finish_surface(outcome))
        self._enter(Phase.IDLE)
        self._view.said(" ".join([outcome.sentence, *outcome.sentences, *run.warnings]))
        self._view.finished(outcome)

    # The end of a run

    def _failure(self, run: _Run, failure: Failure) -> None:
        if self._run is not run:
            return
        if failure.kind == "cancelled" or self._phase is Phase.CANCELLING:
            self._end(run, run.why_cancelled or failure.sentence)
            return
        if failure.log:
            logging.error("MomentumSeg: %s (log: %s)", failure.sentence, failure.log)
        self._fail(run, failure.kind, failure.sentence, failure.reason)

    def _fail(self, run: _Run, kind: str, sentence: str, reason: str = "") -> None:
        if self._run is not run:
            return
        if run.job is not None and run.job.is_active:
            run.job.cancel()
        self._end(run, sentence)
        self._view.failed(kind, sentence, reason)

    def _end(self, run: _Run, sentence: str) -> None:
        self._drop_preview(run)
        self._run = None
        self._watch.watch(())
        self._enter(Phase.IDLE)
        self._view.said(sentence)

    def _drop_preview(self, run: _Run) -> None:
        if run.preview is not None:
            run.preview.remove()
            run.preview = None

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._view.phase_changed(phase)

    # The scene

    def _node_removed(self, node_id: str) -> None:
        run = self._run
        if run is None:
            return
        if node_id == run.request.volume_id:
            self.cancel(_("The volume was deleted, so its segmentation was cancelled."))
        else:
            self.cancel(_("The output segmentation was deleted, so the run was cancelled."))

    def _scene_closes(self) -> None:
        self.cancel(_("The scene was closed, so the segmentation was cancelled."))
        self._trackers.clear()
        self._outcomes.clear()
        self._sender.forget_all()
