"""The worker process: one thread reads requests, the main thread works on them one after the other."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import Any

import numpy as np

from momentumseg.errors import Cancelled, InputError
from momentumseg.worker.failures import described
from momentumseg.worker.job_queue import Job, JobQueue
from momentumseg.worker.pipes import Pipes
from momentumseg.worker.protocol import TO_WORKER, Frame, ProtocolError, read_frame
from momentumseg.worker.registry import METHODS, Arrays, Call, Interrupted, Reply
from momentumseg.worker.state import WorkerState

_log = logging.getLogger(__name__)
_LAST_SECONDS = 5.0  # for a job to notice that the client is gone


class Server:
    """Answers the requests of one client until its pipe closes.

    Args:
        pipes: to the client.
        log: path of the log file, for messages.
        idle_seconds: without a request, after which models and features are given back; 0 for never.
        cache_bytes: see :class:`WorkerState`.
    """

    def __init__(self, pipes: Pipes, log: str, *, idle_seconds: float, cache_bytes: int | None = None) -> None:
        self._pipes = pipes
        self._log = log
        self._idle_seconds = idle_seconds
        self._queue = JobQueue()
        self._state = WorkerState(cache_bytes)
        self._working = threading.Event()

    # Reading thread

    def start_reading(self) -> None:
        """Take requests in from now on; they are queued."""
        threading.Thread(target=self._read, name="momentumseg-requests", daemon=True).start()

    def client_is_gone(self) -> None:
        """End after the present job, which is cancelled; and in any case in a few seconds."""
        if not self._queue.is_closed:
            self._queue.close()
            last = threading.Timer(_LAST_SECONDS, os._exit, (0,))
            last.daemon = True
            last.start()

    def _read(self) -> None:
        try:
            while (frame := read_frame(self._pipes.readinto, TO_WORKER, partial(np.empty, dtype=np.uint8))) is not None:
                self._take(frame)
        except ProtocolError as error:
            _log.error("the client sent something that is no message: %s", error)
        self.client_is_gone()

    def _take(self, frame: Frame) -> None:
        if frame.kind == "cancel":
            waiting = self._queue.cancel(frame.header["id"])
            if waiting is not None:
                self._pipes.send({"kind": "cancelled", "id": waiting.id})
            return
        self._working.wait()  # while the methods are being imported nobody knows which ones run in the background
        method = METHODS.get(frame.header["method"])
        self._queue.put(Job(frame.header["id"], frame, method is not None and method.background))

    # Working thread

    def work(self) -> None:
        """Answer requests until the client is gone."""
        self._working.set()
        idle_since_freed = False
        while not self._queue.is_closed:
            job = self._queue.next(None if idle_since_freed else self._idle_seconds or None)
            if job is not None:
                self._run(job)
            elif not self._queue.is_closed:
                _log.info("idle: models and features are given back")
                self._state.free()
            idle_since_freed = job is None
        self._state.free()

    def _run(self, job: Job) -> None:
        channel = _JobChannel(job, self._queue, self._pipes)
        header = job.frame.header
        answering = _Answering(self, job)
        with answering:
            self._pipes.send({"kind": "started", "id": job.id})
            if header["method"] not in METHODS:
                raise InputError(f"The worker has no method '{header['method'][:80]}': install one version everywhere.")
            call = Call(job.id, header["method"], header["parameters"], _arrays(job.frame), self._state, channel)
            reply = METHODS[header["method"]].handler(call)
            values, arrays = (reply.values, reply.arrays) if isinstance(reply, Reply) else (reply, {})
            self._pipes.send({"kind": "result", "id": job.id, "values": values}, _in_order(arrays))
        if answering.frees_memory:
            self._state.free()

    def answer_error(self, job: Job, error: Exception) -> bool:
        """Tell the client, in words, why there is no result; returns whether memory should be given back."""
        if isinstance(error, Interrupted):
            if not self._queue.put_back(job):
                self._pipes.send({"kind": "result", "id": job.id, "values": error.values})
            return False
        if isinstance(error, Cancelled) and job.cancelled.is_set():
            self._pipes.send({"kind": "cancelled", "id": job.id})
            return False
        failure = described(error)
        words = {"error": failure.name, "sentence": failure.sentence, "log": self._log}
        self._pipes.send({"kind": "error", "id": job.id, **words})
        return failure.frees_memory


class _JobChannel:
    """What a call sees of the server."""

    def __init__(self, job: Job, queue: JobQueue, pipes: Pipes) -> None:
        self._job = job
        self._queue = queue
        self._pipes = pipes

    def send(self, header: Mapping[str, Any], arrays: Arrays | None = None) -> None:
        self._pipes.send(header, _in_order(arrays or {}))

    def is_cancelled(self) -> bool:
        return self._job.cancelled.is_set()

    def is_interrupted(self) -> bool:
        return self._job.cancelled.is_set() or self._queue.must_give_way(self._job)


class _Answering:
    """Context in which every error of a job becomes its answer: one bad request must not end the worker.

    ``frees_memory`` says afterwards whether memory was used up. It is given back only then: as long as an error is
    handled, its traceback holds on to everything that was being computed.
    """

    def __init__(self, server: Server, job: Job) -> None:
        self._server = server
        self._job = job
        self.frees_memory = False

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        if not isinstance(error, Exception):
            return False  # none, or the end of the process
        self.frees_memory = self._server.answer_error(self._job, error)
        return True


def _arrays(frame: Frame) -> dict[str, np.ndarray]:
    return {
        view.name: np.frombuffer(view.data, dtype=np.dtype(view.dtype).newbyteorder("<")).reshape(view.shape)
        for view in frame.arrays
    }


def _in_order(arrays: Arrays) -> dict[str, np.ndarray]:
    return {
        name: np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(array.shape)
        for name, array in arrays.items()
    }
