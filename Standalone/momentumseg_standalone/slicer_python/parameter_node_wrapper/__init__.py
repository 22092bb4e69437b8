"""`slicer.parameterNodeWrapper`: typed parameters kept in a node of the scene, and their binding to widgets.

Parameters are stored under the same names and in the same form as 3D Slicer stores them, so that a scene may be saved
by one and opened by the other. Not offered: making a panel from the types (`createGui`) and serializers of one's own.
"""

from momentumseg_standalone.slicer_python.parameter_node_wrapper.annotations import (
    Decimals,
    Default,
    Label,
    SingleStep,
    findFirstAnnotation,
    getNodeTypes,
    isNodeOrUnionOfNodes,
    splitAnnotations,
    unannotatedType,
)
from momentumseg_standalone.slicer_python.parameter_node_wrapper.gui_connectors import GuiConnector, createGuiConnector
from momentumseg_standalone.slicer_python.parameter_node_wrapper.parameter_pack import (
    FloatRange,
    isParameterPack,
    nestedParameterNames,
    parameterPack,
)
from momentumseg_standalone.slicer_python.parameter_node_wrapper.validators import (
    Choice,
    Exclude,
    IsInstance,
    Maximum,
    Minimum,
    NotNone,
    RangeBounds,
    Validator,
    WithinRange,
)
from momentumseg_standalone.slicer_python.parameter_node_wrapper.wrapper import (
    SlicerParameterNamePropertyName,
    findChildWidgetForParameter,
    isParameterNodeWrapper,
    parameterNodeWrapper,
)

__all__ = [
    "Choice",
    "Decimals",
    "Default",
    "Exclude",
    "FloatRange",
    "GuiConnector",
    "IsInstance",
    "Label",
    "Maximum",
    "Minimum",
    "NotNone",
    "RangeBounds",
    "SingleStep",
    "SlicerParameterNamePropertyName",
    "Validator",
    "WithinRange",
    "createGuiConnector",
    "findChildWidgetForParameter",
    "findFirstAnnotation",
    "getNodeTypes",
    "isNodeOrUnionOfNodes",
    "isParameterNodeWrapper",
    "isParameterPack",
    "nestedParameterNames",
    "parameterNodeWrapper",
    "parameterPack",
    "splitAnnotations",
    "unannotatedType",
]
