"""The host's side of the worker: jobs with callbacks, which never block the main thread.

>>> client = WorkerClient(local_launch())  # doctest: +SKIP
>>> job = client.request("segment", {...}, {"mask": mask}, on_result=show)
>>> client.poll()  # from a timer: calls show(values, arrays) on the main thread
"""

from __future__ import annotations

import queue
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from MomentumSegLib.engine import add_engine_to_path
from MomentumSegLib.worker_connection import Event, WorkerConnection

add_engine_to_path()

from momentumseg import __version__  # noqa: E402  (its folder is known only now)
from momentumseg.worker import protocol  # noqa: E402

OnProgress = Callable[[float, str, "float | None"], None]
OnArrays = Callable[[dict[str, Any], dict[str, np.ndarray]], None]

_LET_IN_SECONDS = 0.004  # at each poll while the threads may have something to do
_LET_IN_IDLE_SECONDS = 0.0005


class Launch(Protocol):
    """How a worker is started; see `worker_launch`."""

    is_remote: bool

    def start(self) -> subprocess.Popen:
        """The process, with unbuffered pipes for its standard input and output."""

    def last_words(self) -> str:
        """The end of what the process wrote to its standard error."""

    @property
    def log(self) -> str:
        """The file of its standard error."""


@dataclass(frozen=True)
class WorkerFailure:
    """Why a job has no result.

    Attributes:
        kind: "cancelled"; "user" (the worker refused, in words); "crashed" (the worker ended); "start" (it could not
            start); "protocol" (it answered rubbish).
        sentence: for the user.
        log: file with the details, on the worker's computer; or empty.
        reason: of a "start": "missing packages", "broken packages", "version", or empty.
        error: class name of the worker's error of a "user" failure.
    """

    kind: str
    sentence: str
    log: str = ""
    reason: str = ""
    error: str = ""


@dataclass(eq=False)
class Job:
    """A request and what has become of it.

    Attributes:
        state: "queued", "running", "cancelling", "done", "failed" or "cancelled".
    """

    id: int
    method: str
    _client: WorkerClient = field(repr=False)
    _on_progress: OnProgress | None = field(default=None, repr=False)
    _on_partial: OnArrays | None = field(default=None, repr=False)
    _on_result: OnArrays | None = field(default=None, repr=False)
    _on_error: Callable[[WorkerFailure], None] | None = field(default=None, repr=False)
    state: str = "queued"
    _cancel_number: int = field(default=0, repr=False)
    _cancel_read: float = field(default=0.0, repr=False)

    @property
    def is_active(self) -> bool:
        return self.state in ("queued", "running", "cancelling")

    def cancel(self) -> None:
        """Ask the worker to end this job; `on_error` is called with kind "cancelled" by a later poll."""
        self._client._cancel(self)

    def _report(self, callback: Callable[..., None] | None, *arguments: Any) -> None:
        if callback is not None:
            callback(*arguments)

    def _end(self, failure: WorkerFailure) -> None:
        if self.is_active:
            self.state = "cancelled" if failure.kind == "cancelled" else "failed"
            self._report(self._on_error, failure)


CANCELLED = WorkerFailure("cancelled", "Cancelled; nothing was changed.")


class WorkerClient:
    """One worker process, started by the first request and again after it ended. For the main thread only.

    Args:
        launch: starts the process: a :class:`Launch`, or a function that returns the process.
        grace_seconds: a cancelled job that has not ended after this time is ended with its worker.
        hello_seconds, ready_seconds: a worker that has not said hello, or is not ready so long after it, is ended.

    Attributes:
        generation: grows with each start. A worker that ended has forgotten its volumes: send them again.
        hello: what the worker told of itself: "version", "pid", "python", "devices", "capabilities"; None until ready.
        listeners: called without arguments whenever `state` changed or a request was made.
    """

    def __init__(
        self,
        launch: Launch | Callable[[], subprocess.Popen],
        *,
        grace_seconds: float = 8.0,
        hello_seconds: float = 60.0,
        ready_seconds: float = 180.0,
    ) -> None:
        self._launch = launch
        self._grace_seconds = grace_seconds
        self._hello_seconds = hello_seconds
        self._ready_seconds = ready_seconds
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._connection: WorkerConnection | None = None
        self._greeting: dict[str, Any] | None = None
        self._phase_began = 0.0
        self._jobs: dict[int, Job] = {}
        self._pending: list[tuple[Job, WorkerFailure]] = []
        self._last_id = 0
        self._polling = False
        self.state = "stopped"
        self.generation = 0
        self.hello: dict[str, Any] | None = None
        self.listeners: list[Callable[[], None]] = []

    # Requests

    def request(
        self,
        method: str,
        parameters: Mapping[str, Any] | None = None,
        arrays: Mapping[str, np.ndarray] | None = None,
        *,
        on_progress: OnProgress | None = None,
        on_partial: OnArrays | None = None,
        on_result: OnArrays | None = None,
        on_error: Callable[[WorkerFailure], None] | None = None,
    ) -> Job:
        """Ask the worker for something; returns at once. The callbacks are called by `poll`.

        Args:
            method: one of the worker's capabilities.
            parameters: what JSON can hold; keys that are numbers are allowed.
            arrays: by name. They are not copied: leave them unchanged until the job has ended.
            on_progress: (fraction, message, remaining seconds or None).
            on_partial: (values, arrays); a part of the result, as soon as it is there.
            on_result: (values, arrays).
            on_error: why there is no result. Exactly one of the last two is called, unless `stop` came first.
        """
        self._last_id += 1
        job = Job(self._last_id, method, self, on_progress, on_partial, on_result, on_error)
        self.start()
        self._jobs[job.id] = job
        header = {"kind": "request", "id": job.id, "method": method, "parameters": dict(parameters or {})}
        self._connection.send(header, arrays)
        self._tell()
        return job

    def start(self) -> None:
        """Start the worker, so that it is ready when the first request comes; nothing happens when it runs."""
        if self._connection is not None:
            return
        launch = self._launch if callable(self._launch) else self._launch.start
        self.generation += 1
        self._greeting = None
        self._connection = WorkerConnection(launch, self._events)
        self._enter("starting")

    def stop(self, wait_seconds: float = 0.0) -> None:
        """End the worker. Jobs become "cancelled" and no callback is called any more.

        Args:
            wait_seconds: time that it has to end by itself; then it is killed.
        """
        connection = self._connection
        for job in self._jobs.values():
            job.state = "cancelled"
        self._jobs.clear()
        self._pending.clear()
        self._let_go()
        if connection is None:
            return
        connection.close()
        if not connection.wait(wait_seconds or 0.02) and (wait_seconds or connection.has_unwritten):
            connection.kill()

    def end(self, sentence: str) -> None:
        """End a worker that does not answer, at once. Active jobs fail with this sentence; a request starts another."""
        if self._connection is not None:
            self._fail(WorkerFailure("crashed", sentence, self._log))

    @property
    def is_busy(self) -> bool:
        """Whether a job is active or the worker is starting: poll often."""
        return bool(self._jobs or self._pending) or self.state == "starting"

    @property
    def jobs(self) -> list[Job]:
        """The active jobs, oldest first."""
        return list(self._jobs.values())

    # Polling

    def poll(self, budget_seconds: float = 0.01) -> int:
        """Deliver what has arrived, for at most about this time; returns the number of delivered messages.

        A little of the time is given to the threads that move bytes. A poll inside a callback does nothing.
        """
        if self._polling:
            return 0
        self._polling = True
        try:
            return self._poll(budget_seconds)
        finally:
            self._polling = False

    def _poll(self, budget_seconds: float) -> int:
        end = time.monotonic() + budget_seconds
        delivered = self._deliver_pending()
        while (event := self._next_event(end, wait=not delivered)) is not None:
            delivered += 1
            self._handle(event)
            if time.monotonic() >= end:
                break
        self._watch_the_clock()
        return delivered

    def _deliver_pending(self) -> int:
        count = 0
        while self._pending:  # one at a time: a callback may raise, or make further requests
            job, failure = self._pending.pop(0)
            job._end(failure)
            count += 1
        return count

    def _next_event(self, end: float, wait: bool) -> Event | None:
        if not self._events.empty():
            return self._events.get_nowait()
        if not wait or self._connection is None:
            return None
        seconds = _LET_IN_SECONDS if self.is_busy else _LET_IN_IDLE_SECONDS
        if self._connection.is_moving_bytes:
            seconds = end - time.monotonic()
        try:
            return self._events.get(timeout=max(seconds, _LET_IN_IDLE_SECONDS))
        except queue.Empty:
            return None

    def _handle(self, event: Event) -> None:
        if event.connection is not self._connection:
            return  # of a worker that was stopped
        if event.frame is not None:
            self._handle_frame(event.frame)
        elif event.kind == "unlaunched":
            self._fail(WorkerFailure("start", event.sentence))
        elif event.kind == "rubbish":
            self._fail(self._rubbish(event.sentence))
        else:
            self._fail(self._ended())

    def _handle_frame(self, frame: protocol.Frame) -> None:
        header = frame.header
        if frame.kind == "hello":
            self._greet(header)
        elif frame.kind == "ready":
            self.hello = {
                **(self._greeting or {}),
                "devices": header["devices"],
                "capabilities": header["capabilities"],
            }
            self._enter("ready")
        elif frame.kind == "failed":
            self._fail(WorkerFailure("start", header["sentence"], header["log"], header["reason"]))
        elif (job := self._jobs.get(header["id"])) is not None:
            self._handle_job(job, frame)

    def _handle_job(self, job: Job, frame: protocol.Frame) -> None:
        header = frame.header
        if frame.kind in ("result", "error", "cancelled"):
            del self._jobs[job.id]
            if job.state == "cancelling" or frame.kind == "cancelled":
                job._end(CANCELLED)
            elif frame.kind == "result":
                job.state = "done"
                job._report(job._on_result, header["values"], arrays_of(frame))
            else:
                job._end(WorkerFailure("user", header["sentence"], header["log"], error=header["error"]))
        elif job.state == "cancelling":
            return
        elif frame.kind == "progress":
            job.state = "running"
            job._report(job._on_progress, header["fraction"], header["message"], header["remaining_seconds"])
        elif frame.kind == "partial":
            job.state = "running"
            job._report(job._on_partial, header["values"], arrays_of(frame))
        else:
            job.state = "running"

    # Beginning and end of the worker

    def _greet(self, header: dict[str, Any]) -> None:
        if (header["protocol"], header["version"]) != (protocol.VERSION, __version__):
            sentence = (
                f"The worker is MomentumSeg {header['version']} but this module is {__version__}: "
                "install the same version in both places."
            )
            self._fail(WorkerFailure("start", sentence, self._log, "version"))
            return
        self._greeting = {key: header[key] for key in ("protocol", "version", "pid", "python")}
        if not getattr(self._launch, "is_remote", False):
            self._connection.worker_pid = header["pid"]
        self._phase_began = time.monotonic()

    def _watch_the_clock(self) -> None:
        """End a worker that does not start, or does not end a cancelled job."""
        now = time.monotonic()
        if self.state == "starting":
            allowed = self._hello_seconds if self._greeting is None else self._ready_seconds
            if now - self._phase_began > allowed:
                words = f"The worker did not start within {allowed:.0f} s; try again. {self._words}".strip()
                self._fail(WorkerFailure("start", words, self._log))
        elif any(self._is_overdue(job, now) for job in self._jobs.values()):
            words = "The worker had to be ended because a cancelled step did not stop; start this step again."
            self._fail(WorkerFailure("crashed", words, self._log))

    def _is_overdue(self, job: Job, now: float) -> bool:
        """The grace period begins when the worker can read the wish, which may wait behind a large volume."""
        if job.state != "cancelling":
            return False
        if not self._connection.is_written(job._cancel_number):
            job._cancel_read = max(job._cancel_read, self._connection.last_write)
        elif job._cancel_number:
            job._cancel_number, job._cancel_read = 0, now
        return now - job._cancel_read > self._grace_seconds

    def _ended(self) -> WorkerFailure:
        """What to say of a process that closed its output."""
        code = self._connection.exit_code
        how = "" if code is None else f" (signal {-code})" if code < 0 else f" (exit code {code})"
        if self._greeting is None:
            return WorkerFailure("start", f"The worker could not start{how}. {self._words}".strip(), self._log)
        sentence = f"The worker ended unexpectedly{how}; nothing was changed, and the next step starts it again."
        if code in (-9, 137):
            sentence += " If this happens again, the computer's memory may be too small for this volume."
        return WorkerFailure("crashed", sentence, self._log)

    def _rubbish(self, sentence: str) -> WorkerFailure:
        return WorkerFailure(
            "protocol", f"The worker answered something that is no message, so it was ended: {sentence}", self._log
        )

    @property
    def _log(self) -> str:
        return str(getattr(self._launch, "log", ""))

    @property
    def _words(self) -> str:
        words = getattr(self._launch, "last_words", lambda: "")()
        return f"Its last words were: {words}" if words else ""

    def _fail(self, failure: WorkerFailure) -> None:
        """End the worker; every active job fails with this failure, and those that were to be cancelled are."""
        connection, jobs = self._connection, list(self._jobs.values())
        self._jobs.clear()
        connection.kill()
        self._let_go()
        self._pending += [(job, CANCELLED if job.state == "cancelling" else failure) for job in jobs]
        self._deliver_pending()

    def _let_go(self) -> None:
        self._connection = None
        self._greeting = self.hello = None
        self._enter("stopped")

    def _enter(self, state: str) -> None:
        self._phase_began = time.monotonic()
        if state != self.state:
            self.state = state
            self._tell()

    def _tell(self) -> None:
        for listener in list(self.listeners):
            listener()

    def _cancel(self, job: Job) -> None:
        if self._jobs.get(job.id) is not job or job.state == "cancelling":
            return
        job._cancel_number = self._connection.send({"kind": "cancel", "id": job.id})
        job._cancel_read = time.monotonic()
        if self.state == "starting":  # nothing has begun: no need to wait for an answer
            del self._jobs[job.id]
            self._pending.append((job, CANCELLED))
        job.state = "cancelling"


def arrays_of(frame: protocol.Frame) -> dict[str, np.ndarray]:
    """The arrays of a frame by name; they share its memory."""
    return {
        view.name: np.frombuffer(view.data, dtype=np.dtype(view.dtype).newbyteorder("<")).reshape(view.shape)
        for view in frame.arrays
    }
