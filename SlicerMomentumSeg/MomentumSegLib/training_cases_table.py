"""The table of cases: which scans take part, which segmentation belongs to each, whose scan it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import qt
import slicer

from MomentumSegLib.training_cases import SceneCase, segmentations_of
from MomentumSegLib.translation import tr as _

_VOLUME, _SEGMENTATION, _PATIENT = range(3)


class CasesTable:
    """Shows the cases and tells what the user changes.

    Args:
        table: the QTableWidget.
        on_changed: called with the cases as the user has made them.
    """

    def __init__(self, table: Any, *, on_changed: Callable[[tuple[SceneCase, ...]], None]) -> None:
        self._table = table
        self._on_changed = on_changed
        self._cases: tuple[SceneCase, ...] = ()
        self._shown: tuple = ()
        self._combos: list[Any] = []  # kept here: the table has them in C++ only
        table.setColumnCount(3)
        table.setHorizontalHeaderLabels([_("Scan"), _("Segmentation"), _("Patient")])
        table.verticalHeader().hide()
        header = table.horizontalHeader()
        header.setSectionResizeMode(_VOLUME, qt.QHeaderView.Stretch)
        header.setSectionResizeMode(_SEGMENTATION, qt.QHeaderView.Stretch)
        header.setSectionResizeMode(_PATIENT, qt.QHeaderView.ResizeToContents)
        table.connect("cellChanged(int,int)", self._cell_changed)

    def show(self, cases: Sequence[SceneCase], *, editable: bool) -> None:
        """Show cases. Cells are made anew only when something that they show has changed."""
        segmentations = [(node.GetID(), node.GetName()) for node in segmentations_of(slicer.mrmlScene)]
        names = [_name_of(case.volume_id) for case in cases]
        shown = (tuple(cases), tuple(segmentations), tuple(names), editable)
        if shown == self._shown:
            return
        same_rows = bool(self._shown) and shown[1:] == self._shown[1:] and len(cases) == len(self._cases)
        self._shown, self._cases = shown, tuple(cases)
        if same_rows and self._shows(cases):
            return
        was_blocked = self._table.blockSignals(True)
        self._table.setRowCount(0)
        self._combos = []
        self._table.setRowCount(len(cases))
        for row, (case, name) in enumerate(zip(cases, names, strict=True)):
            self._fill(row, case, name, segmentations, editable)
        self._table.blockSignals(was_blocked)

    def _shows(self, cases: Sequence[SceneCase]) -> bool:
        """Whether the cells already say this: after the user's own change they must stay as they are."""
        return all(self._case_of(row) == case for row, case in enumerate(cases))

    def _fill(self, row: int, case: SceneCase, name: str, segmentations: Sequence[Any], editable: bool) -> None:
        table = self._table
        volume = qt.QTableWidgetItem(name)
        volume.setToolTip(_("Tick to learn from {name}").format(name=name))
        volume.setFlags(_flags(qt.Qt.ItemIsUserCheckable if editable else None))
        volume.setCheckState(qt.Qt.Checked if case.is_used else qt.Qt.Unchecked)
        table.setItem(row, _VOLUME, volume)
        patient = qt.QTableWidgetItem(case.patient)
        patient.setToolTip(_("Whose scan this is; double-click to change it"))
        patient.setFlags(_flags(qt.Qt.ItemIsEditable if editable else None))
        table.setItem(row, _PATIENT, patient)
        combo = qt.QComboBox()
        combo.addItem(_("no labels"), "")
        for node_id, title in segmentations:
            combo.addItem(title, node_id)
        combo.setCurrentIndex(max(0, combo.findData(case.segmentation_id)))
        combo.toolTip = _("The segmentation of {name}; without one it serves recipes that learn from unlabelled scans")
        combo.toolTip = combo.toolTip.format(name=name)
        combo.accessibleName = _("Segmentation of {name}").format(name=name)
        combo.enabled = editable
        combo.connect("activated(int)", lambda position: self._tell())
        table.setCellWidget(row, _SEGMENTATION, combo)
        self._combos.append(combo)

    def _cell_changed(self, row: int, column: int) -> None:
        self._tell()

    def _tell(self) -> None:
        cases = tuple(self._case_of(row) for row in range(len(self._cases)))
        if cases != self._cases:
            self._on_changed(cases)

    def _case_of(self, row: int) -> SceneCase:
        combo = self._combos[row]
        return replace(
            self._cases[row],
            segmentation_id=str(combo.itemData(combo.currentIndex) or ""),
            patient=self._table.item(row, _PATIENT).text().strip(),
            is_used=self._table.item(row, _VOLUME).checkState() == qt.Qt.Checked,
        )


def _flags(further: Any) -> Any:
    flags = qt.Qt.ItemIsSelectable | qt.Qt.ItemIsEnabled
    return flags if further is None else flags | further


def _name_of(node_id: str) -> str:
    node = slicer.mrmlScene.GetNodeByID(node_id)
    return "" if node is None else node.GetName()
