"""Gives volumes of the scene to the worker, once each, without holding the main thread."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from MomentumSegLib.errors import UserError
from MomentumSegLib.interfaces import Client, Failure, Job, Problem
from MomentumSegLib.ticks import Ticks
from MomentumSegLib.volume_data import VolumeData, copy_in_pieces, volume_fingerprint

OnSent = Callable[[Sequence[str]], None]
OnProblem = Callable[[Failure], None]


@dataclass
class _Sending:
    """A volume on its way: being copied, or being written to the worker."""

    fingerprint: tuple
    generation: int
    waiting: list[tuple[OnSent, OnProblem]] = field(default_factory=list)
    job: Job | None = None


class VolumeSender:
    """Knows which volumes the worker has, by content, and sends those that it lacks.

    Args:
        scene: the MRML scene.
        client: the worker's. A new worker has none of the volumes.
        ticks: between whose steps the voxels are copied.
    """

    def __init__(self, scene: Any, client: Client, ticks: Ticks) -> None:
        self._scene = scene
        self._client = client
        self._ticks = ticks
        self._known: dict[str, tuple[int, tuple]] = {}
        self._sending: dict[str, _Sending] = {}

    def has(self, node_id: str) -> bool:
        """Whether the worker has this volume as it is now."""
        node = self._scene.GetNodeByID(node_id)
        return node is not None and self._known.get(node_id) == (self._client.generation, volume_fingerprint(node))

    def ensure(self, node_id: str, on_sent: OnSent, on_problem: OnProblem) -> None:
        """Have the worker know a volume, then call ``on_sent(warnings)``, or ``on_problem(failure)``.

        A request that ``on_sent`` makes reaches the worker after the volume. Raises `UserError` for a volume that
        cannot be used.
        """
        self._client.start()  # a new worker has a new generation
        node = self._scene.GetNodeByID(node_id)
        fingerprint = volume_fingerprint(node)
        if self._known.get(node_id) == (self._client.generation, fingerprint):
            on_sent(())
            return
        sending = self._sending.get(node_id)
        if sending is not None and (sending.generation, sending.fingerprint) == (self._client.generation, fingerprint):
            sending.waiting.append((on_sent, on_problem))
            return
        self._sending[node_id] = sending = _Sending(fingerprint, self._client.generation, [(on_sent, on_problem)])
        self._step(node_id, sending, copy_in_pieces(node))

    def send(self, volume: VolumeData, on_sent: OnSent, on_problem: OnProblem) -> None:
        """Give the worker a volume that was read elsewhere, under its ``node_id``; see `ensure`."""
        self._client.start()
        self._send(
            volume.node_id, _Sending(volume.fingerprint, self._client.generation, [(on_sent, on_problem)]), volume
        )

    def forget(self, node_id: str) -> None:
        """The volume left the scene: the worker may forget it too."""
        self._sending.pop(node_id, None)
        if self._known.pop(node_id, (0, ()))[0] == self._client.generation and self._client.state != "stopped":
            self._client.request("forget_volume", {"volume": node_id})

    def forget_all(self) -> None:
        """The scene closes."""
        for node_id in {*self._known, *self._sending}:
            self.forget(node_id)

    def close(self) -> None:
        """Stop copying; what was sent is left to the worker, which ends with the module."""
        self._sending.clear()
        self._known.clear()

    def _step(self, node_id: str, sending: _Sending, pieces: Iterator[VolumeData | None]) -> None:
        """Copy one piece; after the last one the volume is handed to the client's thread."""
        if self._sending.get(node_id) is not sending:
            return
        try:
            volume = next(pieces)
        except UserError as error:
            self._end(node_id, sending, str(error))
            return
        if volume is None:
            self._ticks.later(lambda: self._step(node_id, sending, pieces))
            return
        self._send(node_id, sending, volume)

    def _send(self, node_id: str, sending: _Sending, volume: VolumeData) -> None:
        self._client.start()
        sending.generation, sending.fingerprint = self._client.generation, volume.fingerprint
        self._known[node_id] = (sending.generation, sending.fingerprint)
        sending.job = self._client.request(
            "set_volume",
            {"volume": node_id, "name": volume.name, "ijk_to_ras": volume.ijk_to_ras.tolist()},
            {"voxels": volume.voxels},
            on_result=lambda values, arrays: self._sent(node_id, values),
            on_error=lambda failure: self._refused(node_id, sending, failure),
        )
        # The worker answers requests in order, so those who wait may ask at once.
        self._sending.pop(node_id, None)
        for on_sent, _on_problem in sending.waiting:
            on_sent(volume.warnings)

    def _sent(self, node_id: str, values: Any) -> None:
        for warning in values.get("warnings", ()):
            logging.info("Volume %s: %s", node_id, warning)

    def _refused(self, node_id: str, sending: _Sending, failure: Failure) -> None:
        if self._known.get(node_id) == (sending.generation, sending.fingerprint):
            del self._known[node_id]
        if failure.kind != "cancelled":
            for _on_sent, on_problem in sending.waiting:
                on_problem(failure)

    def _end(self, node_id: str, sending: _Sending, sentence: str) -> None:
        self._sending.pop(node_id, None)
        for _on_sent, on_problem in sending.waiting:
            on_problem(Problem(sentence))
