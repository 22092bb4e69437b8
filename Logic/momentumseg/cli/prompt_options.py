"""How prompts are written on the command line: ``[LABEL@]SLICE:`` and the coordinates of the slice."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from momentumseg.cli.options import Box, parse_box
from momentumseg.errors import InputError

if TYPE_CHECKING:
    from momentumseg.sessions.prompt_objects import Prompt

_NUMBER = r"[-+]?\d+(?:\.\d+)?"


@dataclass(frozen=True)
class GivenPrompt:
    """A prompt with its label and slice."""

    label: int
    slice_index: int
    prompt: Prompt


def parse_box_prompt(text: str) -> GivenPrompt:
    """Box of ``"14:30,60,140,170"`` or, for label 2, ``"2@14:30,60,140,170"``: two opposite corners.

    Raises:
        InputError: another form.
    """
    from momentumseg.sessions.prompt_objects import BoxPrompt

    label, index, rest = _place(text, "--box", "14:30,60,140,170")
    numbers = _numbers(rest)
    if numbers is None or len(numbers) != 4:
        raise _wrong(text, "--box", "14:30,60,140,170")
    x0, y0, x1, y1 = numbers
    return GivenPrompt(label, index, BoxPrompt(x0, y0, x1, y1))


def parse_point_prompt(text: str) -> GivenPrompt:
    """Click of ``"14:80,90"`` or ``"14:80,90,-"`` (not the structure). Raises `InputError` for another form."""
    from momentumseg.sessions.prompt_objects import PointPrompt

    label, index, rest = _place(text, "--point", "14:80,90,+")
    rest, positive = _sign(rest)
    numbers = _numbers(rest)
    if numbers is None or len(numbers) != 2:
        raise _wrong(text, "--point", "14:80,90,+")
    return GivenPrompt(label, index, PointPrompt(numbers[0], numbers[1], positive))


def parse_scribble_prompt(text: str) -> GivenPrompt:
    """Stroke of ``"14:80,90,85,95,90,99"``, with ``,-`` for not the structure. Raises `InputError` otherwise."""
    from momentumseg.sessions.prompt_objects import ScribblePrompt

    label, index, rest = _place(text, "--scribble", "14:80,90,85,95,90,99")
    rest, positive = _sign(rest)
    numbers = _numbers(rest)
    if not numbers or len(numbers) % 2:
        raise _wrong(text, "--scribble", "14:80,90,85,95,90,99")
    return GivenPrompt(label, index, ScribblePrompt(tuple(zip(numbers[::2], numbers[1::2], strict=True)), positive))


def parse_roi(text: str) -> tuple[int | None, Box]:
    """(label or None, half-open box) of ``"40:140,60:170,10:25"`` or ``"2@40:140,60:170,10:25"``, ends included."""
    label, at, rest = text.rpartition("@")
    if at and not label.strip().isdecimal():
        raise _wrong(text, "--roi", "40:140,60:170,10:25")
    box = parse_box(rest, "--roi")
    if box is None:
        raise _wrong(text, "--roi", "40:140,60:170,10:25")
    return (int(label) if at else None), box


def parse_window(text: str | None) -> tuple[float, float] | None:
    """(level, width) of ``"40,400"``; None for None. Raises `InputError` for another form."""
    if text is None:
        return None
    numbers = _numbers(text)
    if numbers is None or len(numbers) != 2 or numbers[1] <= 0:
        raise _wrong(text, "--window", "40,400")
    return numbers[0], numbers[1]


def _place(text: str, option: str, example: str) -> tuple[int, int, str]:
    """(label, slice, the rest) of ``[LABEL@]SLICE:rest``."""
    match = re.fullmatch(r"\s*(?:(\d+)\s*@)?\s*(\d+)\s*:(.*)", text)
    if match is None:
        raise _wrong(text, option, example)
    return int(match[1] or 1), int(match[2]), match[3]


def _sign(text: str) -> tuple[str, bool]:
    match = re.fullmatch(r"(.*?)(?:,\s*([-+])\s*)?", text)
    return (match[1], match[2] != "-") if match else (text, True)


def _numbers(text: str) -> list[float] | None:
    parts = [part.strip() for part in text.split(",")]
    return [float(part) for part in parts] if all(re.fullmatch(_NUMBER, part) for part in parts) else None


def _wrong(text: str, option: str, example: str) -> InputError:
    return InputError(
        f"The value '{text}' of {option} cannot be read; write for example {option} {example}, or with a label "
        f"{option} 2@{example}."
        if option != "--window"
        else f"The value '{text}' of --window is no LEVEL,WIDTH; write for example --window {example}."
    )
