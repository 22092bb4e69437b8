"""Putting `qt`, `ctk` and the missing parts of `slicer` into place, so that scripted modules can import them."""

from __future__ import annotations

import sys


def install_all() -> None:
    """Install everything once; a second call does nothing.

    Raises:
        RuntimeError: PySide6 was imported before `momentumseg_standalone`.
    """
    if "qt" in sys.modules:
        return
    _check_enums()
    from momentumseg_standalone.reference_counts import keep_constants_alive

    keep_constants_alive()
    from momentumseg_standalone.pythonqt import ctk_module, qt_module, registry

    sys.modules["qt"] = qt_module.make_qt_module()
    ctk_module.register_stand_ins()
    sys.modules["ctk"] = ctk_module.make_ctk_module()

    import slicer

    for name, cls in registry.classes_of_slicer().items():
        setattr(slicer, name, cls)
    from momentumseg_standalone.slicer_python import install_slicer_modules

    install_slicer_modules()


def _check_enums() -> None:
    from PySide6.QtCore import Qt

    if not issubclass(Qt.CursorShape, int):
        raise RuntimeError("PySide6 was imported before momentumseg_standalone: import momentumseg_standalone first.")
