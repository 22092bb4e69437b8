"""The stand-alone desktop host: the MomentumSeg modules without 3D Slicer.

The host is built from Slicer's own libraries (the `slicer-core` wheel) and PySide6. `install()` puts the modules `qt`,
`ctk` and the Python parts of `slicer` that the wheel lacks into place, with the rules of PythonQt, so that the module
files of `SlicerMomentumSeg/` run unchanged. Nothing of PySide6 or slicer is imported before that.
"""

from __future__ import annotations

import sys

# PySide6 reads this once, when it is imported: 1 = Python enums, 2 = they are ints too (PythonQt's are),
# 4 and 8 = `Qt.AlignLeft` and `QSizePolicy.Expanding` beside the scoped names.
PYSIDE_ENUM_OPTION = 0xF

if "PySide6.QtCore" not in sys.modules:
    sys.pyside6_option_python_enum = PYSIDE_ENUM_OPTION  # type: ignore[attr-defined]


def install() -> None:
    """Put `qt`, `ctk`, `slicer.ScriptedLoadableModule` and the like into place. Calling it again does nothing.

    Raises:
        RuntimeError: PySide6 was imported before this package, with enums that are not ints.
    """
    from momentumseg_standalone.installation import install_all

    install_all()
