"""Segmentation from a script, without the panel: blocks until the result is in the scene."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from MomentumSegLib.automatic_request import AutomaticRequest
from MomentumSegLib.errors import UserError
from MomentumSegLib.few_shot_request import FewShotRequest
from MomentumSegLib.interfaces import Client
from MomentumSegLib.method_section import AUTOMATIC, FEW_SHOT
from MomentumSegLib.phase import Phase
from MomentumSegLib.run_controller import RunController
from MomentumSegLib.run_outcome import Outcome
from MomentumSegLib.run_request import RunRequest
from MomentumSegLib.ticks import QueuedTicks

DEFAULT_MODEL = "lmsnet-general"
OnProgress = Callable[[float], None]


class _Listener:
    """Keeps how a run ended."""

    def __init__(self, on_progress: OnProgress | None) -> None:
        self._on_progress = on_progress
        self.outcome: Outcome | None = None
        self.problem = ""
        self.last_sentence = ""

    def phase_changed(self, phase: Phase) -> None:
        """A script waits for the end only."""

    def progressed(self, fraction: float, remaining_seconds: float | None) -> None:
        if self._on_progress is not None:
            self._on_progress(max(fraction, 0.0))

    def said(self, sentence: str) -> None:
        self.last_sentence = sentence

    def finished(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def failed(self, kind: str, sentence: str, reason: str) -> None:
        self.problem = sentence


def segment(
    volumeNode: Any,
    segmentationNode: Any,
    *,
    method: str = FEW_SHOT,
    model: str = "",
    plane: str = "axial",
    device: str = "auto",
    sliceRange: tuple[int, int] | None = None,
    regionNode: Any = None,
    supportVolumeNode: Any = None,
    supportSegmentationNode: Any = None,
    mirror: bool = False,
    onProgress: OnProgress | None = None,
    client: Client | None = None,
) -> Outcome:
    """Segment a volume, from drawn slices or with a trained model, and write the result into a segmentation.

    Few-shot: the segmentation's segments are the structures; each must be drawn on at least one slice of ``plane``, or
    be in ``supportSegmentationNode``. Automatic: each structure that the model finds becomes a segment.

    The call returns when the result is in the scene. Window events are not processed meanwhile, so it suits batch
    scripts; the panel does the same without blocking.

    Args:
        volumeNode: scalar volume to segment.
        segmentationNode: drawn in; receives the result.
        method: "few-shot" or "automatic".
        model: name or file, for example "lmsnet-general", which is the default of few-shot.
        plane: of the drawn slices: "axial", "coronal" or "sagittal".
        device: "auto", "cpu", "cuda:0", ...
        sliceRange: first slice and the one behind the last; None: all.
        regionNode: markups ROI; None: the whole volume.
        supportVolumeNode, supportSegmentationNode: another, already segmented volume as example.
        mirror: automatic only: average the results of mirrored volumes.
        onProgress: called with the finished fraction.
        client: of the worker; None: the application's.

    Returns:
        measurements, the next slice to draw and its sentence.

    Raises:
        UserError: nothing is drawn, a node cannot be used, or the worker failed; one sentence says why.
    """
    if volumeNode is None or segmentationNode is None:
        raise UserError("Give a volume node and a segmentation node in which at least one slice is drawn.")
    if client is None:
        from MomentumSegLib.worker_session import shared_client

        client = shared_client()
    common: dict[str, Any] = {
        "volume_id": volumeNode.GetID(),
        "segmentation_id": segmentationNode.GetID(),
        "plane": plane,
        "device": device,
        "slice_range": sliceRange,
        "region_id": _id_of(regionNode),
    }
    request: RunRequest
    if method == AUTOMATIC:
        if not model:
            raise UserError("Give the name of an automatic model: there is none that suits every volume.")
        request = AutomaticRequest(**common, model=model, mirror=mirror)
    elif method == FEW_SHOT:
        request = FewShotRequest(
            **common,
            model=model or DEFAULT_MODEL,
            support_volume_id=_id_of(supportVolumeNode),
            support_segmentation_id=_id_of(supportSegmentationNode),
        )
    else:
        raise UserError(f"There is no method '{method}' for scripts: give 'few-shot' or 'automatic'.")
    return _run_to_the_end(volumeNode.GetScene(), client, request, _Listener(onProgress))


def _id_of(node: Any) -> str:
    return "" if node is None else str(node.GetID())


def _run_to_the_end(scene: Any, client: Any, request: RunRequest, listener: _Listener) -> Outcome:
    ticks = QueuedTicks()
    controller = RunController(scene, client, ticks, listener)
    try:
        controller.apply(request)
        while controller.phase.is_busy:
            ticks.run()
            if not client.poll():
                time.sleep(0.002)
        ticks.run()
    finally:
        controller.close()
    if listener.outcome is None:
        raise UserError(listener.problem or listener.last_sentence or "The segmentation did not finish.")
    return listener.outcome
