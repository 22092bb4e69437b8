"""From a trained model to the module that segments with it."""

from __future__ import annotations

import slicer

MODULE = "MomentumSeg"
_METHOD = "automatic"


def use_model(name: str) -> None:
    """Show the module MomentumSeg with the method "automatic" and a model of the list of models chosen."""
    slicer.util.selectModule(MODULE)
    parameters = slicer.util.getModuleLogic(MODULE).getParameterNode()
    parameters.automaticModel = name
    parameters.method = _METHOD
