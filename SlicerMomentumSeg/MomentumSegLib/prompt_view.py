"""Whom the prompt controller tells what happens."""

from __future__ import annotations

from typing import Protocol

from MomentumSegLib.phase import Phase
from MomentumSegLib.prompt_request import Answer, Followed


class PromptView(Protocol):
    """The panel is one; tests give their own."""

    def phase_changed(self, phase: Phase) -> None:
        """Following began, went on or ended."""

    def progressed(self, fraction: float, remaining_seconds: float | None) -> None:
        """So much was followed; below 0: not known yet."""

    def said(self, sentence: str) -> None:
        """One sentence for the status line."""

    def prompts_changed(self) -> None:
        """A prompt was given, moved or taken back, or its mask is being asked for."""

    def answered(self, answer: Answer) -> None:
        """The mask of a slice's prompts is shown."""

    def followed(self, followed: Followed) -> None:
        """A segment was followed and written."""

    def failed(self, kind: str, sentence: str, reason: str) -> None:
        """What the user asked for could not be done."""
