"""The methods that a worker offers, and what a method is given.

A new method is a function in a file of its own, which `momentumseg.worker.methods` imports:

>>> @method("count_voxels")  # doctest: +SKIP
... def count_voxels(call: Call) -> Values:
...     return {"voxels": call.volume().array.size}
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from momentumseg.errors import Cancelled, InputError
from momentumseg.volumes.volume import Volume
from momentumseg.worker.state import WorkerState

Values = dict[str, Any]
Arrays = Mapping[str, np.ndarray]

_LARGEST_RATE = 0.05  # seconds between two reports of progress
_FIRST_ESTIMATE = 1.0  # seconds before a remaining time is guessed


@dataclass(frozen=True)
class Reply:
    """A result with arrays; a method without arrays returns its values alone."""

    values: Values
    arrays: Arrays = field(default_factory=dict)


class Interrupted(Exception):
    """Raised by a background method that gave way to a later request; it is started again when nothing else waits.

    Args:
        values: its result, should it not be started again because a later one took its place.
    """

    def __init__(self, values: Values) -> None:
        super().__init__("gave way to a later request")
        self.values = values


class Channel(Protocol):
    """Where a running method reports to, and where it learns that it is to end."""

    def send(self, header: Mapping[str, Any], arrays: Arrays | None = None) -> None: ...

    def is_cancelled(self) -> bool: ...

    def is_interrupted(self) -> bool: ...


class Call:
    """One request, as its method sees it.

    Attributes:
        method: name.
        parameters: as the client gave them: check what you use.
        arrays: by name.
        state: volumes, and what is kept between requests.
    """

    def __init__(
        self, identity: int, method: str, parameters: Mapping[str, Any], arrays: Arrays, state: WorkerState, to: Channel
    ) -> None:
        self.method = method
        self.parameters = parameters
        self.arrays = arrays
        self.state = state
        self._id = identity
        self._channel = to
        self._began = time.monotonic()
        self._reported = -np.inf

    def progress(self, fraction: float, message: str = "") -> None:
        """Tell how far it is (0 .. 1); may be called as often as convenient."""
        now = time.monotonic()
        if now - self._reported < _LARGEST_RATE and fraction < 1.0:
            return
        self._reported = now
        seconds = now - self._began
        known = fraction > 0.0 and seconds >= _FIRST_ESTIMATE
        self._channel.send(
            {
                "kind": "progress",
                "id": self._id,
                "fraction": min(max(float(fraction), 0.0), 1.0),
                "message": message,
                "remaining_seconds": seconds * (1.0 - fraction) / fraction if known else None,
            }
        )

    def partial(self, values: Values, arrays: Arrays | None = None) -> None:
        """Send a part of the result ahead."""
        self._channel.send({"kind": "partial", "id": self._id, "values": values}, arrays)

    def is_cancelled(self) -> bool:
        """Whether the user cancelled this request; ask between slices."""
        return self._channel.is_cancelled()

    def is_interrupted(self) -> bool:
        """Whether it is cancelled, or is a background method and something else waits."""
        return self._channel.is_interrupted()

    def check(self) -> None:
        """Raise `Cancelled` when the user cancelled this request."""
        if self.is_cancelled():
            raise Cancelled("Cancelled; nothing was changed.")

    # Parameters

    def text(self, name: str, default: str | None = None) -> str:
        """A parameter that is a text. Raises `InputError`; so do the others."""
        return self._checked(name, str, default, "a text")

    def whole(self, name: str) -> int:
        """A parameter that is a whole number."""
        return self._checked(name, int, None, "a whole number")

    def optional_whole(self, name: str) -> int | None:
        """A parameter that is a whole number, or None when it is absent."""
        return None if self.parameters.get(name) is None else self.whole(name)

    def volume(self, name: str = "volume") -> Volume:
        """The volume whose id is a parameter."""
        return self.state.volume(self.text(name))

    def array(self, name: str) -> np.ndarray:
        """An array of the request."""
        if name not in self.arrays:
            raise InputError(f"The request '{self.method}' has no array '{name}'.")
        return self.arrays[name]

    def _checked(self, name: str, kind: type, default: Any, wanted: str) -> Any:
        value = self.parameters.get(name, default)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise InputError(f"The request '{self.method}' has {name} = {str(value)[:80]!r}; it must be {wanted}.")
        return value


Handler = Callable[[Call], "Values | Reply"]


@dataclass(frozen=True)
class Method:
    """A handler, and whether it gives way to every later request."""

    handler: Handler
    background: bool = False


METHODS: dict[str, Method] = {}


def method(name: str, *, background: bool = False) -> Callable[[Handler], Handler]:
    """Decorator that offers a function to clients under a name.

    Args:
        name: of the request.
        background: it runs only while nothing else waits, and ends by `Interrupted` when `is_interrupted`.
    """

    def register(handler: Handler) -> Handler:
        if name in METHODS:
            raise ValueError(f"the worker has a method '{name}' already")
        METHODS[name] = Method(handler, background)
        return handler

    return register
