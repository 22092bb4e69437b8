"""What the module's Reload and Test button checks inside a running application."""

from __future__ import annotations

from typing import Any


def check_panel_without_volume(widget: Any) -> None:
    """Check that Apply is disabled in an empty scene, and says why. Raises `RuntimeError` otherwise."""
    widget.enter()
    widget.panel.refresh()
    button = widget.ui.applyButton
    if button.enabled or not button.toolTip:
        raise RuntimeError(f"Apply is enabled={button.enabled} without a volume, with the tool tip '{button.toolTip}'.")
