"""The stand-alone application's command line."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import momentumseg_standalone  # noqa: F401  # before PySide6, whose enums it chooses

_MODULE = "MomentumSeg"
_NEEDED = ("PySide6", "slicer", "vtk")
_EXIT_USER, _EXIT_PACKAGES = 2, 6


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the application until its window is closed; with --screenshot only until the picture is saved.

    Returns:
        the exit code of the process.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    if options.screenshot is not None or options.tutorial is not None:
        _choose_platform()
    try:
        return _run(options)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _NEEDED:
            raise
        _say(f"The window needs the package {error.name}; install it with: pip install 'momentumseg[app]'")
        return _EXIT_PACKAGES


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="momentumseg app", description="The MomentumSeg window, for machines without 3D Slicer."
    )
    parser.add_argument(
        "volume", nargs="?", type=Path, help="NIfTI, NRRD or MetaImage file, folder of DICOM files, or scene (.mrb)"
    )
    parser.add_argument("--screenshot", metavar="FILE", type=Path, help="save a picture of the window and end")
    parser.add_argument("--demo", action="store_true", help="draw on one slice, apply, and show the result")
    parser.add_argument("--tutorial", metavar="FOLDER", type=Path, help="save the pictures of the tutorial and end")
    parser.add_argument("--size", metavar="WxH", type=_size, default=(1400, 900), help="of the window, in pixels")
    parser.add_argument("--layout", metavar="NAME", default="", help="for example FourUpView or OneUpRedSliceView")
    parser.add_argument("--module-folder", metavar="FOLDER", type=Path, action="append", help=argparse.SUPPRESS)
    return parser


def _size(text: str) -> tuple[int, int]:
    """Width and height of "1400x900"."""
    width, _, height = text.partition("x")
    return int(width), int(height)


def _run(options: argparse.Namespace) -> int:
    from momentumseg_standalone.errors import UserError
    from momentumseg_standalone.host import MODULE_FOLDER, start_host

    picture = options.screenshot is not None or options.tutorial is not None
    host = start_host(testing=picture, module_folders=[MODULE_FOLDER, *(options.module_folder or [])])
    try:
        _prepare(host, options)
        if options.demo:
            from momentumseg_standalone.demo import run_demo

            run_demo(host, options.volume, say=_say)
        if options.tutorial is not None:
            from momentumseg_standalone.tutorial import Tutorial

            Tutorial(host, options.tutorial, _say).run()
        if options.screenshot is not None:
            save_picture(host, options.screenshot)
        return 0 if picture else int(_event_loop())
    except UserError as error:
        _say(str(error))
        return _EXIT_USER
    finally:
        host.stop()


def _prepare(host: Any, options: argparse.Namespace) -> None:
    """Show the window with its module and the volume."""
    from momentumseg_standalone.errors import UserError
    from momentumseg_standalone.files.loading import load_path

    host.window.resize(*options.size)
    if options.layout:
        number = getattr(host.core.layout_logic.GetLayoutNode(), f"SlicerLayout{options.layout}", None)
        if number is None:
            raise UserError(f"There is no layout {options.layout}; try FourUpView or ConventionalView.")
        host.layout_manager.setLayout(number)
    host.show(_MODULE if _MODULE in host.loaded else None)
    if options.volume is not None:
        load_path(host.core, options.volume, host.window._files.show_warning)


def save_picture(host: Any, path: Path) -> None:
    """Save what the window shows, when nothing is left to be drawn.

    Raises:
        UserError: it cannot be written.
    """
    from PySide6 import QtWidgets

    from momentumseg_standalone.files.saving import written_whole

    for _ in range(20):
        QtWidgets.QApplication.processEvents()
    with written_whole(path if path.suffix else path.with_suffix(".png")) as temporary:
        if not host.window.grab().save(str(temporary)):
            raise OSError(0, "it has an ending that is no kind of picture")


def _event_loop() -> int:
    from PySide6 import QtWidgets

    return QtWidgets.QApplication.exec()


def _choose_platform() -> None:
    """A picture needs no screen; with one, the window is not shown to anybody either."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")
