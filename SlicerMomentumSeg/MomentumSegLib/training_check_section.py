"""What a training takes here: cases, device, memory, time, and what stands in its way, as sentences."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from MomentumSegLib.device_section import readable
from MomentumSegLib.training_phase import duration_text
from MomentumSegLib.translation import tr as _

_GIGABYTE = 1e9
_MOST_NAMES = 6


class CheckSection:
    """Shows the worker's report.

    Args:
        ui: widgets of the panel.
        on_check: called when the user asks for a report.
        on_proposal: called with the settings that the report proposes, when the user wants them.
    """

    def __init__(self, ui: Any, *, on_check: Callable[[], None], on_proposal: Callable[[Sequence[str]], None]) -> None:
        self.ui = ui
        self._on_proposal = on_proposal
        self._proposal: tuple[str, ...] = ()
        ui.checkButton.connect("clicked(bool)", lambda checked: on_check())
        ui.proposalButton.connect("clicked(bool)", lambda checked: self._take_proposal())
        self.forget()

    def forget(self) -> None:
        """The choices have changed: the last report is of other ones."""
        self._proposal = ()
        self.ui.proposalButton.visible = False
        self.ui.checkLabel.text = _("Press Check: how much memory and time the training takes here.")

    def show(self, report: Mapping[str, Any], device: str, devices: Sequence[Mapping[str, Any]]) -> None:
        """Show a report of ``check_training`` for a device."""
        memory = report.get("memory") or {}
        proposal = memory.get("proposal") or {}
        self._proposal = tuple(str(setting) for setting in proposal.get("settings") or ())
        self.ui.proposalButton.visible = bool(self._proposal)
        lines = [
            f"<b>{html.escape(_('Problem: {text}').format(text=text))}</b>" for text in report.get("problems") or ()
        ]
        lines += [html.escape(text) for text in (*_cases(report), *_effort(report, readable(device, devices)))]
        if proposal.get("sentence"):
            lines.append(f"<b>{html.escape(str(proposal['sentence']))}</b>")
        lines += [html.escape(_("Note: {text}").format(text=text)) for text in report.get("warnings") or ()]
        self.ui.checkLabel.text = "<br>".join(lines)

    def _take_proposal(self) -> None:
        self._on_proposal(self._proposal)


def _cases(report: Mapping[str, Any]) -> list[str]:
    labelled, unlabelled = int(report.get("labelled") or 0), int(report.get("unlabelled") or 0)
    patients = int(report.get("patients") or 0)
    if not labelled:
        return []
    text = _("Cases: {labelled} with labels, {unlabelled} without, of {patients} patients.")
    lines = [text.format(labelled=labelled, unlabelled=unlabelled, patients=patients)]
    names = [str(name) for name in report.get("labels") or ()]
    if names:
        shown = ", ".join(names[:_MOST_NAMES]) + (" ..." if len(names) > _MOST_NAMES else "")
        lines.append(_("Structures: {names}.").format(names=shown))
    return lines


def _effort(report: Mapping[str, Any], device: str) -> list[str]:
    lines = []
    memory = report.get("memory") or {}
    needed, free = memory.get("estimate_bytes"), memory.get("available_bytes")
    if needed:
        text = _("Memory: about {needed} of {free} that are free on {device}.")
        if not free:
            text = _("Memory: about {needed} on {device}.")
        elif not memory.get("fits", True):
            text = _("Memory: about {needed}, but only {free} are free on {device}.")
        lines.append(text.format(needed=_gigabytes(needed), free=_gigabytes(free or 0), device=device))
    seconds, iterations = report.get("estimated_seconds"), int(report.get("iterations") or 0)
    if seconds:
        text = _("Time: about {duration} for {iterations} iterations.")
        lines.append(text.format(duration=duration_text(float(seconds)), iterations=iterations))
    return lines


def _gigabytes(size: float) -> str:
    return f"{size / _GIGABYTE:.1f} GB" if size >= _GIGABYTE / 10 else f"{size / 1e6:.0f} MB"
