"""The part of the volume that is segmented: a range of slices, a box."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from MomentumSegLib.translation import tr as _


class RegionSection:
    """Keeps the range of slices within the volume.

    Args:
        ui: widgets of the panel.
        on_range: called with the first and the last slice, both included, when the user changes them.
    """

    def __init__(self, ui: Any, *, on_range: Callable[[int, int], None]) -> None:
        self.ui = ui
        self._on_range = on_range
        ui.sliceRangeWidget.connect("valuesChanged(double,double)", self._changed)

    def show(self, slice_count: int, first: int, last: int, *, limited: bool) -> None:
        """Show a range of a volume with so many slices in the plane; 0: no volume.

        Args:
            slice_count: slices of the volume in the chosen plane.
            first: slice to segment first.
            last: slice to segment last, included.
            limited: whether the range is used at all.
        """
        widget = self.ui.sliceRangeWidget
        end = max(slice_count - 1, 1)
        was_blocked = widget.blockSignals(True)
        widget.minimum = 0
        widget.maximum = end
        widget.setValues(min(first, end), min(last, end))
        widget.blockSignals(was_blocked)
        widget.enabled = limited and slice_count > 1
        widget.toolTip = (
            _("First and last slice to segment") if limited else _("Check 'Only these slices' to choose a range")
        )

    def _changed(self, first: float, last: float) -> None:
        self._on_range(round(first), round(last))


def clamped_range(first: int, last: int, slice_count: int) -> tuple[int, int]:
    """Return a range within the volume: the whole volume where nothing valid was chosen yet."""
    if slice_count < 1 or not 0 <= first <= last < slice_count or (first, last) == (0, 0):
        return 0, max(slice_count - 1, 0)
    return first, last
