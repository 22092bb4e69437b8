"""Requests that wait for the one thread that works: in order, background ones only when nothing else waits."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

from momentumseg.worker.protocol import Frame


@dataclass(eq=False)
class Job:
    """A request on its way through the worker."""

    id: int
    frame: Frame
    background: bool
    cancelled: threading.Event = field(default_factory=threading.Event)


class JobQueue:
    """Filled by the reading thread, emptied by the working one."""

    def __init__(self) -> None:
        self._waiting: deque[Job] = deque()
        self._background: deque[Job] = deque()
        self._running: Job | None = None
        self._closed = False
        self._changed = threading.Condition()

    def put(self, job: Job) -> None:
        """Queue a request."""
        with self._changed:
            (self._background if job.background else self._waiting).append(job)
            self._changed.notify_all()

    def put_back(self, job: Job) -> bool:
        """Queue a background request that gave way again; False when a later one has taken its place."""
        with self._changed:
            if self._background or self._closed:
                return False
            self._background.append(job)
            return True

    def next(self, seconds: float | None) -> Job | None:
        """The next request; None after so many seconds, or when the queue is closed."""
        with self._changed:
            self._running = None
            self._changed.wait_for(lambda: self._waiting or self._background or self._closed, seconds)
            if self._closed:
                return None
            queue = self._waiting or self._background
            self._running = queue.popleft() if queue else None
            return self._running

    def cancel(self, identity: int) -> Job | None:
        """Cancel a request; returned when it was still waiting, so that its end is to be told now."""
        with self._changed:
            if self._running is not None and self._running.id == identity:
                self._running.cancelled.set()
                return None
            for queue in (self._waiting, self._background):
                for job in queue:
                    if job.id == identity:
                        queue.remove(job)
                        return job
            return None

    def must_give_way(self, job: Job) -> bool:
        """Whether a running background request is to make room."""
        return job.background and bool(self._waiting or self._background)

    def close(self) -> None:
        """Nobody waits for results any more: forget what waits, and cancel what runs."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._background.clear()
            if self._running is not None:
                self._running.cancelled.set()
            self._changed.notify_all()

    @property
    def is_closed(self) -> bool:
        return self._closed
