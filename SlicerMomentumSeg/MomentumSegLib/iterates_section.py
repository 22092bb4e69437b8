"""How the method got there: the stages of its refinement on the slice that is on screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer

from MomentumSegLib.errors import UserError
from MomentumSegLib.interfaces import Client, Failure, Job
from MomentumSegLib.iterates_view import IteratesView
from MomentumSegLib.outline_only import OutlineOnly
from MomentumSegLib.run_controller import RunController
from MomentumSegLib.run_outcome import Outcome
from MomentumSegLib.run_request import RunRequest
from MomentumSegLib.slice_geometry import SliceGeometry
from MomentumSegLib.translation import tr as _

# While the stages are shown, the slice on screen is looked up this often.
_FOLLOW_MILLISECONDS = 400


class IteratesSection:
    """Shows mask, noise and entropy of each stage for a segment of the last run.

    Args:
        ui: widgets of the panel.
        controller: has the results of this session.
        client: the worker's; it keeps the stages of its last run.
        slice_on_screen: returns the slice of the volume that a slice view shows, or None.
        before_showing: called before the slice views show stages, to take another overlay off them.
        on_problem: called with a sentence.
    """

    def __init__(
        self,
        ui: Any,
        controller: RunController,
        client: Client,
        *,
        slice_on_screen: Callable[[], int | None],
        before_showing: Callable[[], None],
        on_problem: Callable[[str], None],
    ) -> None:
        self.ui = ui
        self._controller = controller
        self._client = client
        self._slice_on_screen = slice_on_screen
        self._before_showing = before_showing
        self._on_problem = on_problem
        self._view = IteratesView(slicer.mrmlScene)
        self._outcome: Outcome | None = None
        self._slices: SliceGeometry | None = None
        self._asked: tuple[Outcome, int, int] | None = None
        self._job: Job | None = None
        self._outline = OutlineOnly(slicer.mrmlScene)
        self._timer = qt.QTimer()
        self._timer.setInterval(_FOLLOW_MILLISECONDS)
        self._timer.connect("timeout()", self._follow)
        for kind, title in (
            ("foreground", _("Mask: how likely each pixel is")),
            ("noise", _("Noise: what was taken for noise")),
            ("entropy", _("Entropy: how unsure the stage was")),
        ):
            ui.iteratesKindComboBox.addItem(title, kind)
        ui.iteratesKindComboBox.connect("activated(int)", lambda position: self._show_kind())
        ui.iteratesSegmentComboBox.connect("activated(int)", lambda position: self._follow())
        ui.stageSlider.connect("valueChanged(double)", lambda stage: self._view.show_stage(round(stage)))
        ui.showIteratesButton.connect("toggled(bool)", self._toggled)

    def show(self, request: RunRequest | None, slices: SliceGeometry | None) -> None:
        """Offer the stages of the request's last run in this session."""
        outcome = self._controller.outcome(request.segmentation_id) if request else None
        self._slices = slices
        if outcome is not self._outcome:
            self._outcome = outcome
            self._fill_segments()
        enabled = outcome is not None and outcome.has_stages and slices is not None
        for widget in (self.ui.iteratesSegmentComboBox, self.ui.iteratesKindComboBox, self.ui.showIteratesButton):
            widget.enabled = enabled
        if enabled:
            self.ui.showIteratesButton.toolTip = _("Show the stages of the slice on screen; press again to hide them")
        else:
            self.ui.showIteratesButton.toolTip = _("Press Apply first: the stages are those of the last run.")
            self.ui.showIteratesButton.checked = False
        self.ui.stageSlider.enabled = self._view.stage_count > 1

    def stop(self) -> None:
        """Take the stages off the slice views."""
        self.ui.showIteratesButton.checked = False

    def _fill_segments(self) -> None:
        combo = self.ui.iteratesSegmentComboBox
        was_blocked = combo.blockSignals(True)
        combo.clear()
        if self._outcome is not None:
            for segment_id, label in self._outcome.labels.items():
                combo.addItem(self._outcome.names[segment_id], label)
        combo.blockSignals(was_blocked)

    def _toggled(self, checked: bool) -> None:
        self._asked = None
        if checked:
            self._before_showing()
            self._timer.start()
            self._follow()
            return
        self._timer.stop()
        if self._job is not None and self._job.is_active:
            self._job.cancel()
        self._view.remove()
        self.ui.stageSlider.enabled = False
        self._outline.restore()

    def _follow(self) -> None:
        """Ask for the stages of the slice that is on screen now, once."""
        index, label = self._slice_on_screen(), self.ui.iteratesSegmentComboBox.currentData
        if not self.ui.showIteratesButton.checked or self._outcome is None or index is None or label is None:
            return
        asked = (self._outcome, index, int(label))
        if asked == self._asked or self._controller.phase.is_busy:
            return
        self._asked = asked
        self._job = self._client.request(
            "iterates",
            {"volume": self._outcome.request.volume_id, "label": int(label), "slice_index": index},
            on_result=lambda values, arrays: self._arrived(asked, arrays),
            on_error=lambda failure: self._failed(asked, failure),
        )

    def _arrived(self, asked: tuple[Outcome, int, int], arrays: Any) -> None:
        if asked != self._asked or self._slices is None:
            return
        stage = self._view.stage
        try:
            self._view.set_stages(self._slices, asked[1], arrays)
        except UserError as error:
            self._on_problem(str(error))
            return
        slider = self.ui.stageSlider
        was_blocked = slider.blockSignals(True)
        slider.minimum, slider.maximum = 1, max(self._view.stage_count, 2)
        slider.value = stage or self._view.stage_count
        slider.blockSignals(was_blocked)
        slider.enabled = self._view.stage_count > 1
        self._view.show_stage(round(slider.value))
        self._outline.show(asked[0].request.segmentation_id)
        self._show_kind()

    def _failed(self, asked: tuple[Outcome, int, int], failure: Failure) -> None:
        if asked == self._asked and failure.kind != "cancelled":
            self.ui.showIteratesButton.checked = False
            self._on_problem(failure.sentence)

    def _show_kind(self) -> None:
        if self.ui.showIteratesButton.checked and self._view.stage_count:
            self._view.show_over_image(self.ui.iteratesKindComboBox.currentData)
