"""What the training module's Reload and Test button checks inside a running application."""

from __future__ import annotations

from typing import Any


def check_panel_without_cases(widget: Any) -> None:
    """Check that an empty scene cannot be trained on, and that the panel says why. Raises `RuntimeError` otherwise."""
    widget.enter()
    widget.panel.refresh()
    button = widget.ui.startButton
    if button.enabled or not button.toolTip:
        raise RuntimeError(f"Start is enabled={button.enabled} without cases, with the tool tip '{button.toolTip}'.")
