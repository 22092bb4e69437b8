"""Options that the commands of evaluation share, and how they tell where they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from momentumseg.cli.console import Advance, Output


def progress_lines(output: Output, advance: Advance) -> Callable[[str, float], None]:
    """Moves the bar; each new stage is also a line, for the logs of background runs."""
    announced: set[str] = set()

    def tell(stage: str, fraction: float) -> None:
        if stage not in announced:
            announced.add(stage)
            output.note(stage)
        advance(round(1000 * fraction), 1000)

    return tell


def parse_case_names(data: Path, text: str | None) -> list[str] | None:
    """Names of ``"case_1,case_4"``, or so many from the first of ``"5"``; None for None."""
    if text is None:
        return None
    if text.isdecimal():
        from momentumseg.io.datasets import labelled_cases

        return [case.name for case in labelled_cases(data)[: int(text)]]
    return [part.strip() for part in text.split(",") if part.strip()]


def parse_names_of_labels(text: str | None) -> dict[int, str] | None:
    """Names of ``"1=liver,4=spleen"``; None for None."""
    from momentumseg.io.datasets import parse_label_names

    return None if text is None else parse_label_names(text)
