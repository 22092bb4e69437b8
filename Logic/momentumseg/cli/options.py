"""Options that several commands share, and how their texts are read."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from momentumseg.errors import InputError

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

DEFAULT_MODEL = "lmsnet-general"

VolumeArgument = Annotated[
    Path,
    typer.Argument(
        metavar="VOLUME", help="Image to segment: NIfTI, NRRD, MetaImage, PNG, or a DICOM folder.", show_default=False
    ),
]
ModelOption = Annotated[
    str, typer.Option("--model", metavar="NAME", help="Name from 'momentumseg models list', or a .safetensors file.")
]
DeviceOption = Annotated[str, typer.Option("--device", metavar="NAME", help="cpu, cuda, cuda:1, mps ...")]


class Plane(str, Enum):
    """In which plane a volume is cut into slices; ``acquisition`` is the one with the finest pixels."""

    acquisition = "acquisition"
    axial = "axial"
    coronal = "coronal"
    sagittal = "sagittal"


PlaneOption = Annotated[
    Plane, typer.Option("--plane", metavar="PLANE", help="Of the slices: axial, coronal, sagittal, acquisition.")
]


def parse_numbers(text: str | None, option: str) -> list[int] | None:
    """Numbers of ``"1,2,5"``; None for None.

    Raises:
        InputError: something else than positive whole numbers between commas.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise InputError(f"The value '{text}' of {option} is no list of numbers; write for example {option} 1,2.")
    return [int(part) for part in parts]


def parse_range(text: str | None, option: str) -> range | None:
    """Slices of ``"10:25"``, both ends included and counted from 0; None for None.

    Raises:
        InputError: another form, or the first after the last.
    """
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d+)\s*:\s*(\d+)\s*", text)
    if match is None or int(match[1]) > int(match[2]):
        raise InputError(f"The value '{text}' of {option} is no range FIRST:LAST; write for example {option} 10:25.")
    return range(int(match[1]), int(match[2]) + 1)


def parse_box(text: str | None, option: str) -> Box | None:
    """Half-open voxel ranges (I, J, K) of ``"10:90,20:80,0:30"``, where both ends are included; None for None.

    Raises:
        InputError: other than three ranges.
    """
    if text is None:
        return None
    ranges = [parse_range(part, option) for part in text.split(",")]
    if len(ranges) != 3 or None in ranges:
        raise InputError(
            f"The value '{text}' of {option} is no box I:I,J:J,K:K in voxels; "
            f"write for example {option} 10:90,20:80,0:30."
        )
    i, j, k = ((axis.start, axis.stop) for axis in ranges if axis is not None)
    return i, j, k


def checked_device(name: str) -> str:
    """``name`` when torch can use that device now.

    Raises:
        InputError: unknown, or not on this computer.
    """
    import torch

    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(
            f"The device '{name}' cannot be used on this computer; use --device cpu, or cuda with an NVIDIA GPU."
        ) from error
    return name
