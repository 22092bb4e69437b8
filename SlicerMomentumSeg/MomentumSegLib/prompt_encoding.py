"""Has the worker encode the slices around the one in view, so that a prompt there is answered at once."""

from __future__ import annotations

import logging
from collections.abc import Callable

from MomentumSegLib.errors import UserError
from MomentumSegLib.interfaces import Client, Failure, Job
from MomentumSegLib.prompt_request import PromptRequest
from MomentumSegLib.volume_sender import VolumeSender

# Slices on both sides of the one in view: what a user soon scrolls to.
REACH = 24


class PromptEncoding:
    """Keeps one encoding on its way, at lowest priority.

    It is never cancelled: a later request makes it give way at the next slice, and what is encoded stays encoded.

    Args:
        client: the worker's.
        sender: gives the volume to the worker.
        on_progress: called with the encoded fraction, and with None when nothing is encoded any more.
        on_failed: called when the worker cannot start; other problems are told when a prompt is given.
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
        self._wanted: tuple | None = None
        self._job: Job | None = None

    def want(self, request: PromptRequest | None, slice_index: int | None) -> None:
        """Encode the slices around this one; None: nothing more than what is on its way."""
        if request is None:
            self._wanted = None
            return
        if self._client.state == "stopped":
            self._wanted = None
        wanted = (request.common, slice_index, self._client.generation)
        if wanted == self._wanted:
            return
        self._wanted = wanted
        try:
            self._sender.ensure(request.volume_id, lambda warnings: self._sent(request, slice_index), self._not_sent)
        except UserError as error:
            logging.info("MomentumSeg: slices not encoded ahead: %s", error)

    def stop(self) -> None:
        """Ask for nothing any more."""
        self._wanted = None
        self._job = None

    def _sent(self, request: PromptRequest, slice_index: int | None) -> None:
        if self._wanted is None or self._wanted[:2] != (request.common, slice_index):
            return
        self._wanted = (request.common, slice_index, self._client.generation)
        job = self._client.request(
            "prompt_encode_ahead",
            {**request.common, "first_slice": slice_index, "reach": REACH},
            on_progress=lambda fraction, message, seconds: self._progress(job, fraction),
            on_result=lambda values, arrays: self._done(job),
            on_error=lambda failure: self._failed(job, failure),
        )
        self._job = job

    def _progress(self, job: Job, fraction: float) -> None:
        if self._job is job:
            self._on_progress(fraction)

    def _not_sent(self, failure: Failure) -> None:
        logging.info("MomentumSeg: slices not encoded ahead: %s", failure.sentence)
        if failure.kind == "start":
            self._on_failed(failure)

    def _done(self, job: Job) -> None:
        if self._job is job:
            self._job = None
            self._on_progress(None)

    def _failed(self, job: Job, failure: Failure) -> None:
        if self._job is not job:
            return
        self._job = None
        self._on_progress(None)
        if failure.kind == "start":
            self._on_failed(failure)
        elif failure.kind != "cancelled":
            logging.info("MomentumSeg: slices not encoded ahead: %s", failure.sentence)
