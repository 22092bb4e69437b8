"""The result: surface, uncertainty, measurements."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import qt
import slicer

from MomentumSegLib.errors import UserError
from MomentumSegLib.first_look import FirstLook
from MomentumSegLib.outline_only import OutlineOnly
from MomentumSegLib.results_table import ResultRow, export_results, find_results_table, rows_of
from MomentumSegLib.run_controller import RunController
from MomentumSegLib.run_outcome import Outcome
from MomentumSegLib.run_request import RunRequest
from MomentumSegLib.slice_geometry import SliceGeometry
from MomentumSegLib.ticks import QtTicks
from MomentumSegLib.translation import tr as _
from MomentumSegLib.uncertainty_overlay import UncertaintyOverlay
from MomentumSegLib.volume_data import read_volume_geometry

_DONE = object()


class ResultsSection:
    """Shows the last result of the chosen segmentation, also one that was saved with the scene.

    Args:
        ui: widgets of the panel.
        controller: has the results of this session.
        on_problem: called with a sentence.
    """

    def __init__(self, ui: Any, controller: RunController, *, on_problem: Callable[[str], None]) -> None:
        self.ui = ui
        self._controller = controller
        self._on_problem = on_problem
        self._rows: tuple[ResultRow, ...] = ()
        self._overlay: UncertaintyOverlay | None = None
        self._overlay_volume_id = ""
        self._outline = OutlineOnly(slicer.mrmlScene)
        self._is_shown = False
        self._shown_outcome: Outcome | None = None
        self._opacity = 0.0
        self._ticks = QtTicks()
        self._first_look = FirstLook(slicer.mrmlScene, self._ticks)
        table = ui.resultsTable
        table.setColumnCount(4)
        table.setHorizontalHeaderLabels([_("Segment"), _("Volume (ml)"), _("Uncertainty"), _("Drawn")])
        table.verticalHeader().hide()
        table.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.Stretch)
        for column in (1, 2, 3):
            table.horizontalHeader().setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
        ui.exportTableButton.connect("clicked(bool)", lambda checked: self._export())

    def take(self, outcome: Outcome) -> None:
        """A run was finished: open the section, and show a first result in all views."""
        self.ui.resultsCollapsibleButton.collapsed = False
        volume_node = slicer.mrmlScene.GetNodeByID(outcome.request.volume_id)
        try:
            slices = SliceGeometry.of(read_volume_geometry(volume_node), outcome.request.plane)
            drawn = self._controller.drawn(outcome.request).supports
        except UserError:  # changed in this very moment
            return
        self._first_look.take(outcome.request.segmentation_id, slices, drawn)

    def show(
        self, request: RunRequest | None, slices: SliceGeometry | None, *, uncertainty: bool, opacity: float
    ) -> None:
        """Show the result of a request's segmentation.

        Args:
            request: None without volume or segmentation.
            slices: of the volume; None: it cannot be used.
            uncertainty: whether to show the overlay.
            opacity: of the overlay, 0 to 1.
        """
        node = slicer.mrmlScene.GetNodeByID(request.segmentation_id) if request else None
        self.ui.show3DButton.setSegmentationNode(node)
        self.ui.show3DButton.enabled = node is not None
        table = find_results_table(node) if node is not None else None
        self._show_rows(rows_of(table) if table is not None else ())
        self._show_uncertainty(request, slices, uncertainty, opacity)

    def forget(self) -> None:
        """The scene was closed or loaded."""
        self._first_look.forget()
        self._overlay, self._overlay_volume_id, self._shown_outcome, self._is_shown = None, "", None, False

    def _show_rows(self, rows: tuple[ResultRow, ...]) -> None:
        if rows == self._rows:
            return
        self._rows = rows
        table = self.ui.resultsTable
        table.setRowCount(len(rows))
        for position, row in enumerate(rows):
            uncertainty = "" if row.mean_uncertainty is None else f"{row.mean_uncertainty:.2f}"
            texts = (row.segment, f"{row.volume_ml:.1f}", uncertainty, str(row.drawn_slices))
            for column, text in enumerate(texts):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(text)
                table.setItem(position, column, item)
        self.ui.exportTableButton.enabled = bool(rows)

    def _show_uncertainty(
        self, request: RunRequest | None, slices: SliceGeometry | None, visible: bool, opacity: float
    ) -> None:
        volume_id = request.volume_id if request else ""
        if volume_id != self._overlay_volume_id:
            if self._overlay is not None and self._is_shown:
                self._overlay.hide()
            self._outline.restore()
            self._is_shown = False
            self._overlay = UncertaintyOverlay(slicer.mrmlScene, volume_id) if volume_id else None
            self._overlay_volume_id = volume_id
        outcome = self._controller.outcome(request.segmentation_id) if request else None
        has_any = outcome is not None or (self._overlay is not None and self._overlay.node is not None)
        self.ui.showUncertaintyCheckBox.enabled = has_any
        self.ui.uncertaintyOpacitySlider.enabled = has_any and visible
        if has_any:
            self.ui.showUncertaintyCheckBox.toolTip = _(
                "Overlay: transparent where the method is sure, bright where it is not"
            )
        else:
            self.ui.showUncertaintyCheckBox.toolTip = _("Press Apply first: there is no result yet.")
        if self._overlay is None:
            return
        if not visible:
            if self._is_shown or self._overlay.is_visible:
                self._overlay.hide()
            self._outline.restore()
            self._is_shown = False
            return
        self._is_shown, self._opacity = True, opacity
        # A large overlay takes a moment, so it is made only for those who look at it.
        if outcome is not None and outcome is not self._shown_outcome and slices is not None:
            self._shown_outcome = outcome
            overlay = self._overlay
            pieces = overlay.update_in_pieces(slices.volume, outcome.uncertainty, outcome.uncertainty_origin)
            self._ticks.later(lambda: self._update_overlay(overlay, outcome, pieces))
            return
        self._show_overlay(request, opacity)

    def _update_overlay(self, overlay: UncertaintyOverlay, outcome: Outcome, pieces: Iterator[None]) -> None:
        """Go one step further, as long as this overlay is still the one to show."""
        if self._overlay is not overlay or self._shown_outcome is not outcome:
            return
        if slicer.mrmlScene.GetNodeByID(outcome.request.volume_id) is None:
            return
        if next(pieces, _DONE) is not _DONE:
            self._ticks.later(lambda: self._update_overlay(overlay, outcome, pieces))
        elif self._is_shown:
            self._show_overlay(outcome.request, self._opacity)

    def _show_overlay(self, request: RunRequest | None, opacity: float) -> None:
        if self._overlay is None or self._overlay.node is None:
            return
        if self._overlay.opacity != opacity or not self._overlay.is_visible:
            self._overlay.opacity = opacity
            self._overlay.show()
        if request is not None and self._overlay.is_visible:
            self._outline.show(request.segmentation_id)

    def _export(self) -> None:
        path = qt.QFileDialog.getSaveFileName(
            self.ui.exportTableButton.window(), _("Export measurements"), "", _("Tables (*.csv)")
        )
        path = str(path[0] if isinstance(path, tuple) else path)  # Qt for Python returns the chosen filter too
        if not path:
            return
        path = path if path.lower().endswith(".csv") else f"{path}.csv"
        try:
            export_results(path, self._rows)
            self._on_problem(_("The measurements are in {path}.").format(path=path))
        except UserError as error:
            self._on_problem(str(error))
            slicer.util.errorDisplay(str(error), windowTitle=_("MomentumSeg"))
