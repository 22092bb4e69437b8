"""From a trained model to the module that segments with it."""

from __future__ import annotations

import slicer

MODULE = "MomentumSeg"
AUTOMATIC = "automatic"
# Kind of a model, as the worker calls it: method of the module, and the parameter that has its model.
_METHODS = {
    AUTOMATIC: ("automatic", "automaticModel"),
    "sam": ("prompts", "promptModel"),
    "few-shot": ("few-shot", "model"),
}


def use_model(name: str, kind: str = AUTOMATIC) -> None:
    """Show the module MomentumSeg with a model of the list chosen, and the method that uses models of its kind."""
    slicer.util.selectModule(MODULE)
    parameters = slicer.util.getModuleLogic(MODULE).getParameterNode()
    method, parameter = _METHODS.get(kind, _METHODS[AUTOMATIC])
    setattr(parameters, parameter, name)
    parameters.method = method
