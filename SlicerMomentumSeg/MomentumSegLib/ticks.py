"""Work that is cut into short steps, so that the window stays alive between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol


class Ticks(Protocol):
    """Calls functions later, on the main thread, in order."""

    def later(self, step: Callable[[], None]) -> None: ...


class QtTicks:
    """Calls each step from the event loop of the window."""

    def later(self, step: Callable[[], None]) -> None:
        import qt

        qt.QTimer.singleShot(0, step)


class QueuedTicks:
    """Keeps the steps until :meth:`run` is called: for scripts and tests, which have no event loop."""

    def __init__(self) -> None:
        self._steps: deque[Callable[[], None]] = deque()

    def later(self, step: Callable[[], None]) -> None:
        self._steps.append(step)

    def run(self) -> None:
        """Call all steps, also those that steps add."""
        while self._steps:
            self._steps.popleft()()
