"""Sliders that know the scene: qMRMLSliderWidget."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets

from momentumseg_standalone.ctk_widgets.properties import forwarded, stored
from momentumseg_standalone.ctk_widgets.sliders import ctkSliderWidget
from momentumseg_standalone.pythonqt.rules import stand_in


@stand_in
class qMRMLSliderWidget(ctkSliderWidget):  # noqa: N801 - the name of the class it plays
    """A ctkSliderWidget; its number may have a quantity ("length"), whose unit the scene knows."""

    Prefix, Suffix, Precision, MinimumValue, MaximumValue, Scaling, All = 1, 2, 4, 8, 16, 32, 63

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        """Make a slider without a scene."""
        self._scene: Any = None
        self._quantity, self._unit_properties = "", self.All
        super().__init__(parent)

    def mrmlScene(self) -> Any:
        """Return the vtkMRMLScene or None."""
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        """Set the vtkMRMLScene (None for none)."""
        self._scene = scene
        self._show_unit()

    def setQuantity(self, quantity: str) -> None:
        """Set what the number measures."""
        self._quantity = quantity
        self._show_unit()

    def setUnitAwareProperties(self, flags: int) -> None:
        """Set which properties follow the unit."""
        self._unit_properties = int(flags)
        self._show_unit()

    def setOrientation(self, orientation: Any) -> None:
        """Turn the slider."""
        self._slider.orientation = orientation

    def _show_unit(self) -> None:
        """Show the unit of the quantity behind the number."""
        selection = self._scene.GetNodeByID("vtkMRMLSelectionNodeSingleton") if self._scene is not None else None
        unit = selection.GetUnitNode(self._quantity) if selection is not None and self._quantity else None
        if unit is not None and self._unit_properties & self.Suffix:
            self._spin_box.suffix = unit.GetSuffix() or ""

    quantity = QtCore.Property(str, lambda self: self._quantity, setQuantity)
    unitAwareProperties = stored(int, "_unit_properties", _show_unit)
    orientation = forwarded(QtCore.Qt.Orientation, "_slider", "orientation")
