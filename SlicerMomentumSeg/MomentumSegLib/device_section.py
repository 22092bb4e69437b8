"""The choice of device: automatic, CPU, each graphics card with its free memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from MomentumSegLib.translation import tr as _

AUTOMATIC = "auto"
_GIB = 1024**3


def resolve(chosen: str, devices: Sequence[Mapping[str, Any]]) -> str:
    """Return the device that is used: the chosen one, or the best of the worker's (an accelerator before the CPU)."""
    known = [str(device["id"]) for device in devices]
    if chosen != AUTOMATIC and (chosen in known or not known):
        return chosen
    return next((name for name in known if name != "cpu"), "cpu")


def readable(device: str, devices: Sequence[Mapping[str, Any]]) -> str:
    """Return a device's name for people: ``"CPU"``, ``"NVIDIA H100"``."""
    if device == "cpu":
        return _("CPU")
    return next((str(entry.get("name") or device) for entry in devices if entry["id"] == device), device)


class DeviceSection:
    """Fills the combo box of devices and keeps it at the user's choice.

    Args:
        ui: widgets of the panel.
        on_chosen: called with the device's id, or "auto".
    """

    def __init__(self, ui: Any, *, on_chosen: Callable[[str], None]) -> None:
        self.ui = ui
        self._on_chosen = on_chosen
        self._devices: list[Mapping[str, Any]] = []
        self._chosen = AUTOMATIC
        ui.deviceComboBox.connect("activated(int)", self._activated)
        self._fill()

    @property
    def devices(self) -> list[Mapping[str, Any]]:
        return self._devices

    def show_devices(self, devices: Sequence[Mapping[str, Any]]) -> None:
        """Show what the worker offers: ``{"id", "name", "total_bytes", "free_bytes"}`` each."""
        if list(devices) != self._devices:
            self._devices = list(devices)
            self._fill()

    def choose(self, device: str) -> None:
        """Show a choice that was made elsewhere, such as in a loaded scene."""
        if device != self._chosen:
            self._chosen = device
            self._fill()

    def _activated(self, position: int) -> None:
        self._chosen = self.ui.deviceComboBox.itemData(position)
        self._on_chosen(self._chosen)

    def _fill(self) -> None:
        combo = self.ui.deviceComboBox
        was_blocked = combo.blockSignals(True)
        combo.clear()
        automatic = _("Automatic")
        if self._devices:
            best = readable(resolve(AUTOMATIC, self._devices), self._devices)
            automatic = _("Automatic ({device})").format(device=best)
        combo.addItem(automatic, AUTOMATIC)
        for device in self._devices:
            combo.addItem(_entry(device, self._devices), str(device["id"]))
        if combo.findData(self._chosen) < 0:
            combo.addItem(_("{device} (not on this computer)").format(device=self._chosen), self._chosen)
        combo.setCurrentIndex(combo.findData(self._chosen))
        combo.blockSignals(was_blocked)


def _entry(device: Mapping[str, Any], devices: Sequence[Mapping[str, Any]]) -> str:
    name = readable(str(device["id"]), devices)
    free = device.get("free_bytes")
    if not free:
        return name
    return _("{device}, {free} GB free").format(device=name, free=f"{free / _GIB:.1f}")
