"""The module `ctk`, and the registration of all stand-in widgets."""

from __future__ import annotations

import types

from momentumseg_standalone.ctk_widgets import buttons, collapsible, dialogs, paths, ranges, sliders, spin_boxes
from momentumseg_standalone.mrml_widgets import base, node_combo_box, segment_widgets
from momentumseg_standalone.mrml_widgets import sliders as mrml_sliders
from momentumseg_standalone.pythonqt.registry import classes_of_ctk, register_widget_class
from momentumseg_standalone.pythonqt.rules import is_stand_in

_WIDGET_FILES = (
    buttons,
    collapsible,
    dialogs,
    paths,
    ranges,
    sliders,
    spin_boxes,
    base,
    node_combo_box,
    segment_widgets,
    mrml_sliders,
)


def register_stand_ins() -> None:
    """Let .ui files name every stand-in class of this package."""
    for file in _WIDGET_FILES:
        for name, found in vars(file).items():
            if isinstance(found, type) and is_stand_in(found):
                register_widget_class(name, found)  # type: ignore[arg-type]


def make_ctk_module() -> types.ModuleType:
    """Return the module with the registered classes of ctk."""
    module = types.ModuleType("ctk", "The part of ctk that modules use.")
    vars(module).update(classes_of_ctk())
    return module
