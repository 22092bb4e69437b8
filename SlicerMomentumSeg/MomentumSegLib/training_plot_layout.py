"""A layout with a plot view for the curves, and the layout from before when they are no longer wanted."""

from __future__ import annotations

from typing import Any

import slicer

from MomentumSegLib.training_curves import TrainingCurves


class PlotLayout:
    """Shows and hides the curves.

    Args:
        button: checkable; checked: the curves are to be shown.
        curves: to show.
    """

    def __init__(self, button: Any, curves: TrainingCurves) -> None:
        self._button = button
        self._curves = curves
        self._before: int | None = None
        button.connect("toggled(bool)", self._toggled)

    def show(self) -> None:
        """Show the curves, as if the button had been pressed."""
        if self._button.checked:
            self._toggled(True)
        else:
            self._button.checked = True

    def forget(self) -> None:
        """The scene was closed, and with it the chart: the views are the user's again."""
        self._before = None
        was_blocked = self._button.blockSignals(True)
        self._button.checked = False
        self._button.blockSignals(was_blocked)

    def _toggled(self, checked: bool) -> None:
        manager = slicer.app.layoutManager()
        if manager is None:  # an application without views
            return
        before = manager.layout
        if checked:
            self._curves.show()
            if manager.layout != before:
                self._before = before
        elif self._before is not None:
            manager.setLayout(self._before)
            self._before = None
