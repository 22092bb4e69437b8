"""``momentumseg evaluate``: the numbers of a model on labelled data."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markdown import Markdown

from momentumseg.cli.console import Advance, output_of
from momentumseg.cli.options import DeviceOption, Plane, PlaneOption, checked_device, parse_numbers

if TYPE_CHECKING:
    from momentumseg.evaluation.report import EvaluationReport

app = typer.Typer(no_args_is_help=True, help="Measure models on labelled data.")
