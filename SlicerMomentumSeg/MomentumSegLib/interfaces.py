"""What the panel and the controller ask of their collaborators, so that tests can give their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

OnProgress = Callable[[float, str, "float | None"], None]
OnArrays = Callable[[Mapping[str, Any], Mapping[str, np.ndarray]], None]


class Failure(Protocol):
    """Why a job did not succeed: kind is "cancelled", "user", "crashed", "start" or "protocol"."""

    @property
    def kind(self) -> str: ...

    @property
    def sentence(self) -> str: ...

    @property
    def log(self) -> str: ...

    @property
    def reason(self) -> str: ...


@dataclass(frozen=True)
class Problem:
    """A :class:`Failure` that is found on this side, before the worker is asked."""

    sentence: str
    kind: str = "user"
    log: str = ""
    reason: str = ""


class Job(Protocol):
    """One request on its way."""

    @property
    def is_active(self) -> bool: ...

    def cancel(self) -> None: ...


class Client(Protocol):
    """The worker's client, as :class:`MomentumSegLib.worker_client.WorkerClient` is one."""

    @property
    def generation(self) -> int: ...

    @property
    def state(self) -> str: ...

    @property
    def hello(self) -> Any: ...

    def start(self) -> None: ...

    def request(
        self,
        method: str,
        parameters: Mapping[str, Any] | None = None,
        arrays: Mapping[str, np.ndarray] | None = None,
        *,
        on_progress: OnProgress | None = None,
        on_partial: OnArrays | None = None,
        on_result: OnArrays | None = None,
        on_error: Callable[[Any], None] | None = None,
    ) -> Job: ...

    def stop(self) -> None: ...

    def end(self, sentence: str) -> None: ...


class UndoStack(Protocol):
    """The segment editor widget, as far as it keeps undo states."""

    def saveStateForUndo(self) -> None: ...
