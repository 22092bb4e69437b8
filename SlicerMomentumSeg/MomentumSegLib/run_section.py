"""Apply that becomes Cancel, one progress bar with the remaining time, one status line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from MomentumSegLib.phase import Phase, remaining_text
from MomentumSegLib.translation import tr as _

_STEPS = 1000


class RunSection:
    """The button that starts and stops a run, and what is said meanwhile.

    Args:
        ui: widgets of the panel.
        on_apply: called when the user starts a run.
        on_cancel: called when the user stops it.
    """

    def __init__(self, ui: Any, *, on_apply: Callable[[], None], on_cancel: Callable[[], None]) -> None:
        self.ui = ui
        self._on_apply = on_apply
        self._on_cancel = on_cancel
        self._phase = Phase.IDLE
        ui.applyButton.connect("clicked(bool)", lambda checked: self.press())

    def press(self) -> None:
        """Do what the button says at the moment; nothing where it is disabled."""
        if not self.ui.applyButton.enabled:
            return
        if self._phase.can_cancel:
            self._on_cancel()
        elif not self._phase.is_busy:
            self._on_apply()

    def show(self, phase: Phase, problem: str, *, has_result: bool, action: str = "", tip: str = "") -> None:
        """Show the state of the run.

        Args:
            phase: what the run is doing.
            problem: why Apply cannot work at the moment; empty: it can.
            has_result: whether the volume was segmented before.
            action, tip: what the button says in place of Apply, and its tool tip.
        """
        self._phase = phase
        button = self.ui.applyButton
        if phase.can_cancel:
            button.text, button.enabled = _("Cancel"), True
            button.toolTip = _("Stop. The segmentation stays as it was before Apply.")
        elif phase is Phase.CANCELLING:
            button.text, button.enabled = _("Cancelling ..."), False
            button.toolTip = _("The worker is finishing the slice that it is at.")
        elif phase is Phase.WRITING:
            button.text, button.enabled = _("Writing the result ..."), False
            button.toolTip = _("The result is being written to the segmentation.")
        else:
            button.text, button.enabled = action or _("Apply"), not problem
            first, again = _("Segment the volume from the drawn slices"), _("Segment again with all drawn slices")
            ready = again if has_result else first
            button.toolTip = problem or tip or _("{action} (Ctrl+Enter)").format(action=ready)
        self.ui.progressBar.visible = phase.is_busy

    def show_progress(self, fraction: float, remaining_seconds: float | None) -> None:
        """Show how far the run is; ``fraction`` below 0: it is not known yet."""
        bar = self.ui.progressBar
        bar.maximum = _STEPS if fraction >= 0 else 0
        bar.value = round(max(0.0, min(1.0, fraction)) * _STEPS)
        remaining = remaining_text(remaining_seconds)
        bar.format = "%p %" + (f"  \N{EN DASH}  {remaining}" if remaining else "")

    def say(self, sentence: str) -> None:
        """Show one sentence in the status line."""
        self.ui.statusLabel.text = sentence
        self.ui.statusLabel.toolTip = sentence or _("What is going on")
