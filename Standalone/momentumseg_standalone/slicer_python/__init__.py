"""The Python files of 3D Slicer that the `slicer-core` wheel lacks, written anew from their documented behaviour."""

from __future__ import annotations

import sys

import slicer


def install_slicer_modules() -> None:
    """Make the files of this folder importable under `slicer`."""
    from momentumseg_standalone.slicer_python import i18n, packaging, parameter_node_wrapper, scripted_loadable_module

    for name, module in {
        "i18n": i18n,
        "packaging": packaging,
        "parameterNodeWrapper": parameter_node_wrapper,
        "ScriptedLoadableModule": scripted_loadable_module,
    }.items():
        sys.modules[f"slicer.{name}"] = module
        setattr(slicer, name, module)
