"""Trainings that are in the folder of trainings, also those from before a restart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt

from MomentumSegLib.training_request import TrainingRun
from MomentumSegLib.training_session import is_local, local_path
from MomentumSegLib.translation import tr as _


class TrainingRunsSection:
    """Lists trainings and tells which one the user takes up.

    Args:
        ui: widgets of the panel.
        on_take: called with a training.
        on_refresh: called when the list is to be asked for again.
    """

    def __init__(self, ui: Any, *, on_take: Callable[[TrainingRun], None], on_refresh: Callable[[], None]) -> None:
        self.ui = ui
        self._on_take = on_take
        self._runs: tuple[TrainingRun, ...] = ()
        self._may_take = True
        table = ui.runsTable
        table.setColumnCount(3)
        table.setHorizontalHeaderLabels([_("Training"), _("State"), _("Dice")])
        table.verticalHeader().hide()
        header = table.horizontalHeader()
        header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
        header.setSectionResizeMode(1, qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(2, qt.QHeaderView.ResizeToContents)
        table.connect("itemSelectionChanged()", self._update_buttons)
        table.connect("cellDoubleClicked(int,int)", lambda row, column: self._take())
        ui.takeRunButton.connect("clicked(bool)", lambda checked: self._take())
        ui.openRunButton.connect("clicked(bool)", lambda checked: self._open())
        ui.refreshRunsButton.connect("clicked(bool)", lambda checked: on_refresh())
        self._update_buttons()

    @property
    def unfinished(self) -> Sequence[TrainingRun]:
        """Trainings that can go on."""
        return [run for run in self._runs if run.state != "finished"]

    def show(self, runs: Sequence[TrainingRun]) -> None:
        """Show these; a chosen one stays chosen while it is there."""
        chosen = self._chosen()
        self._runs = tuple(runs)
        table = self.ui.runsTable
        was_blocked = table.blockSignals(True)
        table.setRowCount(len(self._runs))
        for row, run in enumerate(self._runs):
            for column, text in enumerate(_texts(run)):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(run.folder)
                table.setItem(row, column, item)
        table.clearSelection()
        table.blockSignals(was_blocked)
        folders = [run.folder for run in self._runs]
        if chosen is not None and chosen.folder in folders:
            table.selectRow(folders.index(chosen.folder))
        self._update_buttons()

    def say(self, sentence: str) -> None:
        self.ui.runsLabel.text = sentence

    def set_editable(self, editable: bool) -> None:
        """While a training runs no other one can be taken up."""
        self._may_take = editable
        self._update_buttons()

    def _chosen(self) -> TrainingRun | None:
        row = self.ui.runsTable.currentRow()
        has_any = bool(self.ui.runsTable.selectedItems())
        return self._runs[row] if has_any and 0 <= row < len(self._runs) else None

    def _update_buttons(self) -> None:
        run = self._chosen()
        self.ui.takeRunButton.enabled = run is not None and self._may_take
        self.ui.openRunButton.enabled = run is not None and is_local()

    def _take(self) -> None:
        run = self._chosen()
        if run is not None and self._may_take:
            self._on_take(run)

    def _open(self) -> None:
        run = self._chosen()
        if run is not None:
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(local_path(run.folder))))


def _texts(run: TrainingRun) -> tuple[str, str, str]:
    title = run.title or run.folder.replace("\\", "/").rstrip("/").rpartition("/")[2]
    if run.state == "finished":
        state = _("finished")
    elif run.iterations:
        state = _("paused at {percent} %").format(percent=round(100 * run.iteration / run.iterations))
    else:
        state = _("paused")
    return title, state, "" if run.score is None else f"{run.score:.2f}"
