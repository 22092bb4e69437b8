"""What the worker does before Apply is pressed: it tells its devices and models, and encodes the chosen volume."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from MomentumSegLib.background_encoding import BackgroundEncoding, EncodingRequest
from MomentumSegLib.device_section import DeviceSection
from MomentumSegLib.installation_dialog import is_installed
from MomentumSegLib.interfaces import Failure
from MomentumSegLib.method_section import FEW_SHOT, PROMPTS
from MomentumSegLib.model_section import ModelSection
from MomentumSegLib.run_request import RunRequest
from MomentumSegLib.volume_sender import VolumeSender


class Ahead:
    """Has the worker prepare for a run, where it can start without asking the user anything.

    Args:
        client: the worker's.
        sender: gives volumes to the worker.
        model, device: sections of the panel that show what the worker has.
        on_progress: called when `preparing` changed.
        on_problem: called with a sentence when the worker cannot start.

    Attributes:
        preparing: fraction of the volume that is encoded; None: nothing is being encoded.
    """

    def __init__(
        self,
        client: Any,
        sender: VolumeSender,
        model: ModelSection,
        device: DeviceSection,
        *,
        on_progress: Callable[[], None],
        on_problem: Callable[[str], None],
    ) -> None:
        self._client = client
        self._model = model
        self._device = device
        self._on_progress = on_progress
        self._on_problem = on_problem
        self.preparing: float | None = None
        self._encoding = BackgroundEncoding(client, sender, on_progress=self._encoded, on_failed=self._failed)
        client.listeners.append(self._worker_changed)

    def list_models(self) -> None:
        """Ask a worker that runs for its models, unless they are known."""
        if self._client.state == "ready" and not self._model.is_listed:
            self._model.refresh()

    def prepare(self, method: str, request: RunRequest | None, slice_on_screen: int | None) -> None:
        """Prepare for a run.

        Args:
            method: the chosen one; prompts have an encoding of their own.
            request: the run that Apply would start; None: it would start none, or one is on its way.
            slice_on_screen: that is encoded first.
        """
        # Before a model is known to be on this computer, encoding with it could download it unasked.
        if method != FEW_SHOT or not self._model.is_ready:
            self.stop()
        if method == PROMPTS or (method == FEW_SHOT and request is None):
            return
        if not self._model.is_listed:
            if is_installed():
                self._model.refresh()
            return
        if method != FEW_SHOT or not self._model.is_ready or not is_installed():
            return
        wanted = EncodingRequest(request.volume_id, request.plane, request.model, request.device)
        self._encoding.want(wanted, slice_on_screen)

    def stop(self) -> None:
        """Stop encoding; what is encoded stays with the worker."""
        self._encoding.stop()
        self.preparing = None

    def close(self) -> None:
        """The module goes."""
        self._encoding.stop()
        if self._worker_changed in self._client.listeners:
            self._client.listeners.remove(self._worker_changed)

    def _worker_changed(self) -> None:
        hello = self._client.hello
        if hello is not None:
            self._device.show_devices(hello["devices"])
        self.list_models()

    def _encoded(self, fraction: float | None) -> None:
        self.preparing = fraction
        self._on_progress()

    def _failed(self, failure: Failure) -> None:
        logging.error("MomentumSeg: %s", failure.sentence)
        self._on_problem(failure.sentence)
