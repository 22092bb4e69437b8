"""Files that commands write: refused before anything is computed where they cannot be, and written all or none."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from momentumseg.errors import InputError

if TYPE_CHECKING:
    from momentumseg.volumes.volume import Volume


def check_outputs(outputs: Sequence[Path], inputs: Sequence[Path]) -> None:
    """Refuse what could not be written, would destroy an input or another output.

    Raises:
        InputError: an output is one of the inputs, or two outputs have the same name.
        OutputError: see :func:`check_writable_output`.
    """
    from momentumseg.io.checks import check_writable_output

    for path in outputs:
        check_writable_output(path)
        if any(path.resolve() == source.resolve() for source in inputs):
            raise InputError(f"The output {path} is one of the inputs and would replace it; choose another name.")
    if len({path.resolve() for path in outputs}) < len(outputs):
        raise InputError(f"The mask and the uncertainty have the same name {outputs[0]}; choose two names.")


def write_volumes(volumes: Sequence[tuple[Volume, Path]]) -> None:
    """Write all files, or none of them when one cannot be written.

    Raises:
        OutputError: a file cannot be written.
    """
    from momentumseg.io.atomic import atomic_path
    from momentumseg.io.write import write_volume

    with ExitStack() as files:
        for volume, path in volumes:
            write_volume(volume, files.enter_context(atomic_path(path)))
