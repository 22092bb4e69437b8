"""Gives the chosen cases of the scene to the training worker, one after the other, which writes them as files.

From then on the training does not need the scene: it may be changed or closed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from MomentumSegLib.errors import UserError
from MomentumSegLib.interfaces import Client, Failure, Job, Problem
from MomentumSegLib.training_case_voxels import labelmap_of
from MomentumSegLib.training_cases import SceneCase, case_names
from MomentumSegLib.volume_data import read_volume_geometry
from MomentumSegLib.volume_sender import VolumeSender


class CaseTransfer:
    """Sends cases into a run folder.

    Args:
        scene: the MRML scene.
        client: of the training worker.
        sender: of volumes to that worker.
        cases: those to send.
        names: label numbers to names, for all cases.
        run_folder: on the worker's computer; made there.
        on_progress: called with (cases done, cases in all, name of the one under way).
        on_done: called when all are written.
        on_failed: called with why not; nothing more is sent then.
    """

    def __init__(
        self,
        scene: Any,
        client: Client,
        sender: VolumeSender,
        cases: Sequence[SceneCase],
        names: Mapping[int, str],
        run_folder: str,
        *,
        on_progress: Callable[[int, int, str], None],
        on_done: Callable[[], None],
        on_failed: Callable[[Failure], None],
    ) -> None:
        self._scene, self._client, self._sender = scene, client, sender
        self._cases, self._names, self._run_folder = list(cases), dict(names), run_folder
        self._files = case_names(scene, self._cases)
        self._on_progress, self._on_done, self._on_failed = on_progress, on_done, on_failed
        self._job: Job | None = None
        self._next = 0
        self._is_active = False

    def start(self) -> None:
        """Begin with the first case."""
        self._is_active = True
        self._step()

    def cancel(self) -> None:
        """Stop after the case that is under way, without a word."""
        self._is_active = False
        if self._job is not None:
            self._job.cancel()

    def _step(self) -> None:
        if not self._is_active:
            return
        if self._next == len(self._cases):
            self._is_active = False
            self._on_done()
            return
        case, name = self._cases[self._next], self._files[self._next]
        self._on_progress(self._next, len(self._cases), name)
        try:
            read_volume_geometry(self._scene.GetNodeByID(case.volume_id))
            self._sender.ensure(case.volume_id, lambda warnings: self._send(case, name), self._fail)
        except UserError as error:
            self._fail(Problem(str(error)))

    def _send(self, case: SceneCase, name: str) -> None:
        """The volume is on its way: the labels follow it."""
        if not self._is_active:
            return
        try:
            arrays = {}
            if case.segmentation_id:
                geometry = read_volume_geometry(self._scene.GetNodeByID(case.volume_id))
                arrays["labelmap"] = labelmap_of(self._scene, case, geometry, self._names)
        except UserError as error:
            self._sender.forget(case.volume_id)
            self._fail(Problem(str(error)))
            return
        parameters = {
            "run_folder": self._run_folder,
            "name": name,
            "patient": case.patient,
            "volume": case.volume_id,
            "labels": self._names if arrays else None,
            "has_labels": bool(arrays),
        }
        self._job = self._client.request(
            "add_training_case",
            parameters,
            arrays,
            on_result=lambda values, arrays: self._written(case),
            on_error=self._fail,
        )

    def _written(self, case: SceneCase) -> None:
        self._sender.forget(case.volume_id)  # the worker's memory is for the training
        self._next += 1
        self._step()

    def _fail(self, failure: Failure) -> None:
        if self._is_active:
            self._is_active = False
            self._on_failed(failure)
