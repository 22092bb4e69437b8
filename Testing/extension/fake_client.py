"""A worker's client without a worker: the test answers its requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class FakeFailure:
    kind: str
    sentence: str
    log: str = ""
    reason: str = ""


@dataclass(eq=False)
class FakeJob:
    """One request; the test calls what the worker would answer."""

    method: str
    parameters: dict[str, Any]
    arrays: dict[str, np.ndarray]
    on_progress: Callable[..., None] | None = None
    on_partial: Callable[..., None] | None = None
    on_result: Callable[..., None] | None = None
    on_error: Callable[..., None] | None = None
    state: str = "queued"

    @property
    def is_active(self) -> bool:
        return self.state in ("queued", "running", "cancelling")

    def cancel(self) -> None:
        if self.state in ("queued", "running"):
            self.state = "cancelling"

    def progress(self, fraction: float, seconds: float | None = None) -> None:
        self.state = "running"
        if self.on_progress:
            self.on_progress(fraction, "", seconds)

    def partial(self, values: Mapping[str, Any], **arrays: np.ndarray) -> None:
        if self.state != "cancelling" and self.on_partial:
            self.on_partial(values, arrays)

    def result(self, values: Mapping[str, Any] | None = None, **arrays: np.ndarray) -> None:
        if self.state == "cancelling":
            self.fail("cancelled", "Cancelled; nothing was changed.")
            return
        self.state = "done"
        if self.on_result:
            self.on_result(dict(values or {}), arrays)

    def fail(self, kind: str, sentence: str, reason: str = "") -> None:
        self.state = "cancelled" if kind == "cancelled" else "failed"
        if self.on_error:
            self.on_error(FakeFailure(kind, sentence, reason=reason))


@dataclass(eq=False)
class FakeClient:
    """Keeps the requests for the test to answer."""

    state: str = "ready"
    generation: int = 1
    jobs: list[FakeJob] = field(default_factory=list)
    listeners: list[Callable[[], None]] = field(default_factory=list)
    hello: dict[str, Any] | None = field(
        default_factory=lambda: {"devices": [{"id": "cpu", "name": "CPU", "total_bytes": 8, "free_bytes": 4}]}
    )

    def start(self) -> None:
        if self.state == "stopped":
            self.generation += 1
            self.state = "starting"

    def request(self, method, parameters=None, arrays=None, **callbacks) -> FakeJob:
        self.start()
        job = FakeJob(method, dict(parameters or {}), dict(arrays or {}), **callbacks)
        self.jobs.append(job)
        return job

    def stop(self, wait_seconds: float = 0.0) -> None:
        self.state = "stopped"
        for job in self.jobs:
            if job.is_active:
                job.state = "cancelled"

    def die(self) -> None:
        """As a killed worker: every active job fails, volumes are forgotten."""
        self.end("The worker ended unexpectedly; nothing was changed, and the next step starts it again.")

    def end(self, sentence: str) -> None:
        self.state = "stopped"
        for job in [job for job in self.jobs if job.is_active]:
            job.fail("cancelled" if job.state == "cancelling" else "crashed", sentence)

    def all(self, method: str) -> list[FakeJob]:
        return [job for job in self.jobs if job.method == method]

    def last(self, method: str) -> FakeJob:
        return self.all(method)[-1]
