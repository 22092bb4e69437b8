"""Masks that are not accepted yet, in the colour of the segment that they will be part of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from MomentumSegLib.prompt_request import LABEL, Answer, PromptRequest
from MomentumSegLib.result_preview import ResultPreview
from MomentumSegLib.run_request import Target
from MomentumSegLib.slice_geometry import SliceGeometry


class PromptPreview:
    """A preview segmentation that exists while there is something to show.

    Args:
        scene: the MRML scene.
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._preview: ResultPreview | None = None
        self._place: tuple | None = None
        self._shown: dict[int, object] = {}

    def show(self, request: PromptRequest, slices: SliceGeometry, answers: Mapping[int, Answer]) -> None:
        """Show these answers and nothing else."""
        if not answers:
            self.remove()
            return
        preview = self._preview_of(request, slices)
        if preview is None:
            return
        for index in [index for index in self._shown if index not in answers]:
            preview.show_slice(index)
            del self._shown[index]
        for index, answer in answers.items():
            if self._shown.get(index) is not answer:
                preview.show_slice(index, answer.origin, answer.mask * np.uint8(LABEL))
                self._shown[index] = answer

    def show_slice(
        self,
        request: PromptRequest,
        slices: SliceGeometry,
        index: int,
        origin: tuple[int, int],
        mask: np.ndarray | None,
    ) -> None:
        """Show the (rows, columns) mask of one slice beside what is shown; None: nothing was found there."""
        preview = self._preview_of(request, slices)
        if preview is not None:
            preview.show_slice(index, origin, None if mask is None else (mask != 0).astype(np.uint8) * np.uint8(LABEL))
            self._shown[index] = None

    def remove(self) -> None:
        """Show nothing."""
        if self._preview is not None:
            self._preview.remove()
        self._preview, self._place, self._shown = None, None, {}

    def _preview_of(self, request: PromptRequest, slices: SliceGeometry) -> ResultPreview | None:
        """The preview of a segment; None when the segment is gone."""
        node = self._scene.GetNodeByID(request.segmentation_id)
        segment = node.GetSegmentation().GetSegment(request.segment_id) if node is not None else None
        if segment is None:
            self.remove()
            return None
        color = tuple(segment.GetColor())
        place = (request.segmentation_id, request.segment_id, request.plane, slices.volume.node_id, color)
        place += (slices.volume.shape, slices.volume.ijk_to_ras.tobytes())
        if self._preview is None or self._preview.node is None or place != self._place:
            self.remove()
            target = Target(request.segment_id, segment.GetName(), color)
            self._preview, self._place = ResultPreview(self._scene, node, slices, {LABEL: target}), place
        return self._preview
