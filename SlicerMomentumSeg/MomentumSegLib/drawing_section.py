"""The drawn slices: their table, going to them, removing them, the suggestion of the next one, other volumes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer

from MomentumSegLib.drawn_slices import CORRECTED, DRAWN, KEPT_EMPTY, Collected
from MomentumSegLib.errors import UserError
from MomentumSegLib.run_controller import RunController
from MomentumSegLib.run_request import RunRequest
from MomentumSegLib.slice_geometry import SliceGeometry, nodes_of_class
from MomentumSegLib.supports_table import SupportRow, SupportsTable
from MomentumSegLib.translation import tr as _

# Names of the two ends of the patient's axes.
_ENDS = (("R", "L"), ("A", "P"), ("S", "I"))
_PATIENT_AXIS = {"sagittal": 0, "coronal": 1, "axial": 2}


class DrawingSection:
    """Shows what is drawn and takes the user there.

    Args:
        ui: widgets of the panel.
        controller: knows what is drawn.
        on_changed: called when the drawn slices changed here.
        on_problem: called with a sentence.
    """

    def __init__(
        self,
        ui: Any,
        controller: RunController,
        *,
        on_changed: Callable[[], None],
        on_problem: Callable[[str], None],
    ) -> None:
        self.ui = ui
        self._controller = controller
        self._on_changed = on_changed
        self._on_problem = on_problem
        self._request: RunRequest | None = None
        self._slices: SliceGeometry | None = None
        self._collected: Collected | None = None
        self._problem = ""
        self._table = SupportsTable(ui, on_go_to=self.go_to, on_remove=self._remove)
        ui.suggestSliceButton.connect("clicked(bool)", lambda checked: self.go_to_suggested())

    def show(self, request: RunRequest | None, slices: SliceGeometry | None) -> None:
        """Show the slices drawn in a request's segmentation."""
        self._request, self._slices = request, slices
        self._collected, self._problem = None, ""
        if request is not None and slices is not None:
            try:
                self._collected = self._controller.drawn(request)
            except UserError as error:
                self._problem = str(error)
        rows = self._collected.rows if self._collected else ()
        self._table.show(
            [
                SupportRow(
                    row.slice_index, position_text(slices, row.slice_index), row.segment_names, _state_text(row.state)
                )
                for row in rows
            ]
        )
        self._show_suggestion()

    def problem(self, request: RunRequest | None) -> str:
        """Return why the drawn slices do not suffice, in one sentence; empty: they do."""
        if self._problem:
            return self._problem
        if self._collected is not None and self._collected.supports:
            return ""
        if request is not None and request.support_volume_id and request.support_segmentation_id:
            return ""
        return _("Nothing is drawn yet: draw a structure on at least one {plane} slice.").format(
            plane=self._slices.plane if self._slices else ""
        )

    @property
    def row_count(self) -> int:
        """Slices in the table."""
        return len(self._collected.rows) if self._collected else 0

    def set_running(self, running: bool) -> None:
        self._table.set_editable(not running)

    def go_to(self, slice_index: int) -> None:
        """Show a slice of the volume in the slice views, at what is drawn on it."""
        if self._slices is None:
            return
        masks = [s.mask for s in self._collected.supports if s.slice_index == slice_index] if self._collected else []
        try:
            self._slices.show(slicer.mrmlScene, slice_index, masks[0] if masks else None)
        except UserError as error:
            self._on_problem(str(error))

    def go_to_suggested(self) -> None:
        """Go to the slice whose drawing helps most, and say so."""
        outcome = self._controller.outcome(self._request.segmentation_id) if self._request else None
        if outcome is None or outcome.next_slice is None or self._slices is None:
            return
        self.go_to(outcome.next_slice)
        text = _("Slice {index} ({position}) is where the result is least certain: correct it here and apply again.")
        self._on_problem(
            text.format(index=outcome.next_slice, position=position_text(self._slices, outcome.next_slice))
        )

    def slice_on_screen(self) -> int | None:
        """Return the slice of the volume that a slice view shows; None where none shows its slices."""
        if self._slices is None:
            return None
        for node in nodes_of_class(slicer.mrmlScene, "vtkMRMLSliceNode"):
            index = self._slices.index_in_view(node)
            if index is not None:
                return index
        return None

    def _show_suggestion(self) -> None:
        outcome = self._controller.outcome(self._request.segmentation_id) if self._request else None
        button = self.ui.suggestSliceButton
        button.enabled = outcome is not None and outcome.next_slice is not None
        if button.enabled:
            button.toolTip = _("Go to the slice where the result is least certain: drawing it helps most (Ctrl+J)")
        elif outcome is None:
            button.toolTip = _("Press Apply first: the suggestion comes from the result.")
        else:
            button.toolTip = _("There is no slice left to suggest: all are drawn or certain.")

    def _remove(self, slice_index: int) -> None:
        if self._request is None:
            return
        try:
            self._controller.remove_drawn(self._request, slice_index)
        except UserError as error:
            self._on_problem(str(error))
        self._on_changed()


def position_text(slices: SliceGeometry | None, slice_index: int) -> str:
    """Return where a slice lies as the slice views say it: ``"S 34.0 mm"``; empty for oblique volumes."""
    if slices is None:
        return ""
    axis = _PATIENT_AXIS[slices.plane]
    if abs(slices.normal[axis]) < 0.999:
        return ""
    position = slices.ras_of(slice_index)[axis]
    return f"{_ENDS[axis][0] if position >= 0 else _ENDS[axis][1]} {abs(position):.1f} mm"


def _state_text(state: str) -> str:
    return {DRAWN: _("drawn"), CORRECTED: _("corrected"), KEPT_EMPTY: _("kept empty")}.get(state, state)
