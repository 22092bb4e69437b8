"""The table of drawn slices: which slices serve as examples, for which segments, where they came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import qt

from MomentumSegLib.translation import tr as _


@dataclass(frozen=True)
class SupportRow:
    """One drawn slice as it is shown.

    Attributes:
        slice_index: in the volume's own indexing along the slice axis.
        position_mm: where the slice lies, as the slice views say it; for example ``"S 34.0 mm"``.
        labels: names of the segments drawn on it.
        state: "drawn", "corrected", "kept empty", or the name of another volume.
        is_here: whether it lies in the input volume (else one cannot go there or remove it).
    """

    slice_index: int
    position_mm: str
    labels: tuple[str, ...]
    state: str
    is_here: bool = True


class SupportsTable:
    """Shows the rows and says which one the user means.

    Args:
        ui: widgets of the panel.
        on_go_to: called with a slice index.
        on_remove: called with a slice index.
    """

    def __init__(self, ui: Any, *, on_go_to: Callable[[int], None], on_remove: Callable[[int], None]) -> None:
        self.ui = ui
        self._on_go_to = on_go_to
        self._on_remove = on_remove
        self._rows: tuple[SupportRow, ...] = ()
        self._editable = True
        table = ui.supportsTable
        table.setColumnCount(3)
        table.setHorizontalHeaderLabels([_("Slice"), _("Segments"), _("State")])
        table.verticalHeader().hide()
        header = table.horizontalHeader()
        header.setSectionResizeMode(0, qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(1, qt.QHeaderView.Stretch)
        header.setSectionResizeMode(2, qt.QHeaderView.ResizeToContents)
        table.connect("itemSelectionChanged()", self._update_buttons)
        table.connect("cellDoubleClicked(int,int)", lambda row, column: self._go_to())
        ui.goToSliceButton.connect("clicked(bool)", lambda checked: self._go_to())
        ui.removeSliceButton.connect("clicked(bool)", lambda checked: self._remove())
        self._update_buttons()

    @property
    def rows(self) -> tuple[SupportRow, ...]:
        return self._rows

    def show(self, rows: Sequence[SupportRow]) -> None:
        """Show these rows; a selected slice stays selected while it is there."""
        rows = tuple(rows)
        if rows == self._rows:
            return
        selected = self._selected()
        self._rows = rows
        table = self.ui.supportsTable
        was_blocked = table.blockSignals(True)
        table.setRowCount(len(rows))
        for position, row in enumerate(rows):
            where = f"{row.slice_index}  ({row.position_mm})" if row.position_mm else str(row.slice_index)
            for column, text in enumerate((where, ", ".join(row.labels), row.state)):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(text)
                table.setItem(position, column, item)
        table.clearSelection()
        table.blockSignals(was_blocked)
        if selected in rows:
            table.selectRow(rows.index(selected))
        self._update_buttons()

    def set_editable(self, editable: bool) -> None:
        """Allow or forbid removing; it is forbidden while a run uses the rows."""
        self._editable = editable
        self._update_buttons()

    def _selected(self) -> SupportRow | None:
        row = self.ui.supportsTable.currentRow()
        chosen = self.ui.supportsTable.selectedItems()
        return self._rows[row] if chosen and 0 <= row < len(self._rows) else None

    def _update_buttons(self) -> None:
        row = self._selected()
        here = row is not None and row.is_here
        self.ui.goToSliceButton.enabled = here
        self.ui.removeSliceButton.enabled = here and self._editable

    def _go_to(self) -> None:
        row = self._selected()
        if row is not None and row.is_here:
            self._on_go_to(row.slice_index)

    def _remove(self) -> None:
        row = self._selected()
        if row is not None and row.is_here and self._editable:
            self._on_remove(row.slice_index)
