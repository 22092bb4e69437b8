"""The order in which slices are encoded ahead: always the one nearest to where the user is now."""

from __future__ import annotations

import threading
from collections.abc import Iterator


class NearestFirst(Iterator[int]):
    """Slices around a place that may move while they are handed out; each comes once. Safe from several threads.

    Args:
        count: slices of the volume.
        origin: where the user is.
        reach: slices on both sides of the origin.
    """

    def __init__(self, count: int, origin: int, reach: int) -> None:
        self.reach = reach
        self._origin = origin
        self._left = set(range(count))
        self._lock = threading.Lock()
        self._is_over = False

    def move(self, origin: int, reach: int) -> bool:
        """Go on from another place; False when everything was handed out already, so that nobody listens."""
        with self._lock:
            self._origin, self.reach = origin, reach
            return not self._is_over

    def __next__(self) -> int:
        with self._lock:
            near = range(self._origin - self.reach, self._origin + self.reach + 1)
            left = [s for s in near if s in self._left]
            if not left:
                self._is_over = True
                raise StopIteration
            nearest = min(left, key=lambda s: (abs(s - self._origin), s))
            self._left.discard(nearest)
            return nearest
