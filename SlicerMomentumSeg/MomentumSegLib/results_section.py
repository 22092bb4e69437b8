"""The result: surface, uncertainty, measurements, and how the method got there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from MomentumSegLib.few_shot_controller import FewShotController
from MomentumSegLib.few_shot_outcome import Outcome
from MomentumSegLib.few_shot_request import FewShotRequest
from MomentumSegLib.interfaces import Client
from MomentumSegLib.slice_geometry import SliceGeometry


class ResultsSection:
    """Shows the last result of the chosen segmentation."""

    def __init__(
        self, ui: Any, controller: FewShotController, client: Client, *, on_problem: Callable[[str], None]
    ) -> None:
        self.ui = ui
        self._controller = controller
        self._client = client
        self._on_problem = on_problem

    def show(self, request: FewShotRequest | None, slices: SliceGeometry | None) -> None:
        pass

    def take(self, outcome: Outcome) -> None:
        pass

    def forget(self) -> None:
        pass
