"""Encodes the chosen volume while the user draws, so that the first Apply is fast."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from MomentumSegLib.errors import UserError
from MomentumSegLib.interfaces import Client, Failure, Job
from MomentumSegLib.volume_sender import VolumeSender


@dataclass(frozen=True)
class EncodingRequest:
    """What to encode; see :class:`MomentumSegLib.run_request.RunRequest`."""

    volume_id: str
    plane: str
    model: str
    device: str


class BackgroundEncoding:
    """Keeps one encoding on its way: that of the volume that the user has chosen last.

    Args:
        client: the worker's. Any other request makes the encoding wait.
        sender: gives the volume to the worker.
        on_progress: called with the encoded fraction, and with None when nothing is encoded any more.
        on_failed: called when the worker cannot start; other problems are told again by Apply.
    """

    def __init__(
        self,
        client: Client,
        sender: VolumeSender,
        *,
        on_progress: Callable[[float | None], None],
        on_failed: Callable[[Failure], None],
    ) -> None:
        self._client = client
        self._sender = sender
        self._on_progress = on_progress
        self._on_failed = on_failed
        self._wanted: EncodingRequest | None = None
        self._generation = 0
        self._job: Job | None = None

    def want(self, request: EncodingRequest | None, first_slice: int | None = None) -> None:
        """Encode this volume, starting at the slice that is on screen; None: nothing."""
        if request == self._wanted and (request is None or self._generation == self._client.generation):
            return
        self.stop()
        self._wanted = request
        if request is None:
            return
        try:
            self._sender.ensure(
                request.volume_id,
                lambda warnings: self._sent(request, first_slice),
                self._not_sent,
            )
        except UserError as error:
            logging.info("MomentumSeg: volume not encoded ahead: %s", error)
        self._generation = self._client.generation

    def stop(self) -> None:
        """Stop encoding; what is encoded stays with the worker."""
        if self._job is not None and self._job.is_active:
            self._job.cancel()
        self._job = None
        self._wanted = None

    def _sent(self, request: EncodingRequest, first_slice: int | None) -> None:
        if self._wanted != request:
            return
        self._generation = self._client.generation
        parameters: dict[str, Any] = {
            "volume": request.volume_id,
            "model": request.model,
            "device": request.device,
            "plane": request.plane,
            "first_slice": first_slice,
        }
        job = self._client.request(
            "encode",
            parameters,
            on_progress=lambda fraction, message, seconds: self._progress(job, fraction),
            on_result=lambda values, arrays: self._done(job, bool(values.get("interrupted"))),
            on_error=lambda failure: self._failed(job, failure),
        )
        self._job = job

    def _progress(self, job: Job, fraction: float | None) -> None:
        if self._job is job:
            self._on_progress(fraction)

    def _not_sent(self, failure: Failure) -> None:
        logging.info("MomentumSeg: volume not encoded ahead: %s", failure.sentence)
        if failure.kind == "start":
            self._on_failed(failure)

    def _done(self, job: Job, interrupted: bool) -> None:
        """An interrupted encoding is asked for again by the next `want`."""
        if self._job is job:
            self._job = None
            if interrupted:
                self._wanted = None
            self._on_progress(None)

    def _failed(self, job: Job, failure: Failure) -> None:
        if self._job is not job:
            return
        self._job = None
        self._wanted = None
        self._on_progress(None)
        if failure.kind == "start":
            self._on_failed(failure)
        elif failure.kind != "cancelled":
            logging.info("MomentumSeg: volume not encoded ahead: %s", failure.sentence)
