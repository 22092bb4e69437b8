"""Following a segment through the volume, from its prompts to the result in the scene. No widget is touched here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from MomentumSegLib.errors import UserError
from MomentumSegLib.interfaces import Client, Failure, Job
from MomentumSegLib.phase import Phase
from MomentumSegLib.prompt_preview import PromptPreview
from MomentumSegLib.prompt_reading import Box
from MomentumSegLib.prompt_request import LABEL, Followed, PromptRequest, SlicePrompts
from MomentumSegLib.prompt_view import PromptView
from MomentumSegLib.prompt_writing import PromptWriter
from MomentumSegLib.run_region import region_to_segment
from MomentumSegLib.segment_voxels import Crop
from MomentumSegLib.slice_geometry import SliceGeometry
from MomentumSegLib.ticks import Ticks
from MomentumSegLib.translation import tr as _
from MomentumSegLib.volume_sender import VolumeSender


@dataclass(eq=False)
class _Run:
    """One run on its way."""

    request: PromptRequest
    slices: SliceGeometry
    prompts: Mapping[int, SlicePrompts]
    boxes: list[Box] | None
    job: Job | None = None
    why_cancelled: str = ""
    warnings: list[str] = field(default_factory=list)


class PromptFollower:
    """Runs one request at a time: a state machine, see `phase`.

    Args:
        scene: the MRML scene.
        client: the worker's.
        ticks: between whose steps the window stays alive.
        view: is told what happens.
        sender: gives the volume to the worker.
        writer: writes the result.
        preview: shows slices as they arrive.
        on_end: called when a run has ended, however it did.
    """

    def __init__(
        self,
        scene: Any,
        client: Client,
        ticks: Ticks,
        view: PromptView,
        sender: VolumeSender,
        writer: PromptWriter,
        preview: PromptPreview,
        on_end: Callable[[], None],
    ) -> None:
        self._scene = scene
        self._client = client
        self._ticks = ticks
        self._view = view
        self._sender = sender
        self._writer = writer
        self._preview = preview
        self._on_end = on_end
        self._run: _Run | None = None
        self.phase = Phase.IDLE

    def start(
        self, request: PromptRequest, slices: SliceGeometry, prompts: Mapping[int, SlicePrompts], bounds: Sequence[Box]
    ) -> None:
        """Start a run from the prompts of some slices. Raises `UserError` for a region that leaves nothing."""
        roi = self._scene.GetNodeByID(request.region_id) if request.region_id else None
        region = region_to_segment(roi, slices, request.slice_range)
        run = _Run(request, slices, prompts, _boxes(bounds, region))
        self._run = run
        is_ready = self._client.state == "ready"
        self._enter(Phase.STARTING)
        self._view.progressed(-1.0, None)
        self._view.said(_("Starting ...") if is_ready else _("Starting the worker ..."))
        try:
            self._sender.ensure(
                request.volume_id,
                lambda warnings: self._sent(run, warnings),
                lambda failure: self._failure(run, failure),
            )
        except UserError as error:
            self._fail(run, "user", str(error))

    def cancel(self, why: str = "") -> None:
        """Stop the run; segmentation and scene stay as they were before it."""
        run = self._run
        if run is None or not self.phase.can_cancel:
            return
        run.why_cancelled = why or _("Cancelled; nothing was changed.")
        self._preview.remove()
        if run.job is None:
            self._end(run, run.why_cancelled)
            return
        self._enter(Phase.CANCELLING)
        self._view.said(_("Cancelling ..."))
        run.job.cancel()

    def close(self) -> None:
        """Stop at once, and tell nobody."""
        run, self._run = self._run, None
        if run is not None and run.job is not None:
            run.job.cancel()
        self.phase = Phase.IDLE

    def _sent(self, run: _Run, warnings: Sequence[str]) -> None:
        if self._run is not run:
            return
        run.warnings.extend(warnings)
        request, arrays, entries = run.request, {}, []
        for index, prompts in run.prompts.items():
            arrays.update(prompts.arrays)
            entries.append({"slice_index": index, "prompts": [dict(entry) for entry in prompts.entries]})
        parameters = {
            **request.common,
            "objects": [{"object": request.object_name, "label": LABEL, "slices": entries}],
            "slice_range": None if request.slice_range is None else list(request.slice_range),
            "roi": None if run.boxes is None else [[list(ends) for ends in box] for box in run.boxes],
        }
        run.job = self._client.request(
            "prompt_follow",
            parameters,
            arrays,
            on_progress=lambda fraction, message, seconds: self._progress(run, fraction, seconds),
            on_partial=lambda values, found: self._partial(run, values, found),
            on_result=lambda values, found: self._result(run, values, found),
            on_error=lambda failure: self._failure(run, failure),
        )

    def _progress(self, run: _Run, fraction: float, seconds: float | None) -> None:
        if self._run is not run or not self.phase.can_cancel:
            return
        if self.phase is Phase.STARTING:
            self._enter(Phase.RUNNING)
            text = _("Following through the volume on {device} with {model} ...")
            request = run.request
            device, model = request.device_name or request.device, request.model_title or request.model
            self._view.said(text.format(device=device, model=model))
        self._view.progressed(fraction, seconds)

    def _partial(self, run: _Run, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        if self._run is run and self.phase.can_cancel:
            row, column = values.get("origin") or (0, 0)
            index = int(values["slice_index"])
            self._preview.show_slice(run.request, run.slices, index, (int(row), int(column)), arrays.get("mask"))

    def _result(self, run: _Run, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        if self._run is not run:
            return
        if self.phase is Phase.CANCELLING:  # the result overtook the wish to cancel
            self._end(run, run.why_cancelled)
            return
        self._enter(Phase.WRITING)
        self._view.said(_("Writing the result ..."))
        self._ticks.later(lambda: self._write(run, values, arrays))

    def _write(self, run: _Run, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        if self._run is not run:
            return
        self._preview.remove()
        k, j, i = (int(value) for value in values["origin"])
        found = Crop((arrays["labelmap"] == LABEL).view(np.uint8), (k, j, i)).trimmed()
        written: Followed | None = None
        problem = _("The result could not be written; the log says why.")
        try:
            keys = {index: prompts.key for index, prompts in run.prompts.items()}
            self._writer.write_followed(run.request, run.slices, found, keys)
            written = _followed(found, run, values)
        except UserError as error:
            problem = str(error)
        finally:
            if written is None:
                self._fail(run, "user", problem)
        if written is not None:
            sentence = " ".join([written.sentence, *written.warnings])
            self._ticks.later(lambda: self._finish(run, sentence))
            self._end(run, sentence)
            self._view.followed(written)

    def _finish(self, run: _Run, sentence: str) -> None:
        """Bring the surface up to date; its change is no reason to forget what was said."""
        self._writer.finish_surface(run.request.segmentation_id)
        if self._run is None:
            self._view.said(sentence)

    def _failure(self, run: _Run, failure: Failure) -> None:
        if self._run is not run:
            return
        if failure.kind == "cancelled" or self.phase is Phase.CANCELLING:
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
        self._preview.remove()
        self._run = None
        self._enter(Phase.IDLE)
        self._on_end()
        self._view.said(sentence)

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self._view.phase_changed(phase)


def _boxes(bounds: Sequence[Box], region: Any) -> list[Box] | None:
    """The parts of the volume that following stays in, along I, J and K; None: the whole volume.

    Raises:
        UserError: deep boxes and the region of the panel have nothing in common.
    """
    if region is None:
        return list(bounds) or None
    k, j, i = region
    if not bounds:
        return [(i, j, k)]
    cut = []
    for box in bounds:
        ends = [(max(a0, b0), min(a1, b1)) for (a0, a1), (b0, b1) in zip(box, (i, j, k), strict=True)]
        if all(first < end for first, end in ends):
            cut.append((ends[0], ends[1], ends[2]))
    if not cut:
        raise UserError(_("The box and the region to segment have nothing in common: move one of them."))
    return cut


def _followed(found: Crop, run: _Run, values: Mapping[str, Any]) -> Followed:
    axis, seconds = run.slices.axis, float(values.get("seconds") or 0.0)
    if not found.voxels.size:
        text = _("Nothing was found: give another prompt.")
        return Followed(None, None, None, seconds, text, tuple(run.warnings))
    first, last = found.origin[axis], found.end[axis] - 1
    next_slice = values.get("next_slice")
    text = _("Followed through slices {first} to {last} in {seconds} s. Where it is wrong, click and follow again.")
    sentence = text.format(first=first, last=last, seconds=f"{seconds:.1f}" if seconds < 10 else round(seconds))
    if next_slice is not None:
        sentence += " " + _("The model was least sure on slice {index}.").format(index=int(next_slice))
    number = None if next_slice is None else int(next_slice)
    return Followed(first, last, number, seconds, sentence, tuple(run.warnings))
