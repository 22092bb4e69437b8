"""The timer that takes a worker's messages out on the main thread."""

from __future__ import annotations

import qt

from MomentumSegLib.worker_client import WorkerClient

_BUSY_MILLISECONDS = 20
_IDLE_MILLISECONDS = 250


class WorkerPump:
    """Calls `WorkerClient.poll` often while jobs are active, and seldom else.

    Args:
        client: whose callbacks are called. `stop` ends the pump, not the client.
    """

    def __init__(self, client: WorkerClient) -> None:
        self._client = client
        self._interval = 0
        self._timer = qt.QTimer()
        self._timer.connect("timeout()", self._poll)
        client.listeners.append(self._adapt)
        self._adapt()

    def stop(self) -> None:
        """Stop polling, for good."""
        if self._adapt in self._client.listeners:
            self._client.listeners.remove(self._adapt)
        self._timer.stop()
        self._timer.disconnect("timeout()", self._poll)

    def _poll(self) -> None:
        self._client.poll()
        self._adapt()

    def _adapt(self) -> None:
        interval = _BUSY_MILLISECONDS if self._client.is_busy else _IDLE_MILLISECONDS
        if interval != self._interval:
            self._interval = interval
            self._timer.start(interval)
