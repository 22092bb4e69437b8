"""What the user chose: kept in a parameter node, so that it is saved and restored with the scene.

This file does not postpone its annotations: the wrapper reads them as classes when the module is imported.
"""

import enum
from typing import Annotated

from slicer import vtkMRMLMarkupsROINode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Default, WithinRange, parameterNodeWrapper

DEFAULT_MODEL = "lmsnet-general"
DEFAULT_PROMPT_MODEL = "lite-medsam"
AUTOMATIC_DEVICE = "auto"


class Plane(enum.Enum):
    """Plane of the slices that are drawn; the value is what the worker is told."""

    AXIAL = "axial"
    CORONAL = "coronal"
    SAGITTAL = "sagittal"

    def label(self) -> str:
        return {Plane.AXIAL: _("Axial"), Plane.CORONAL: _("Coronal"), Plane.SAGITTAL: _("Sagittal")}[self]


class Frames(enum.Enum):
    """Which frames of a volume sequence are segmented."""

    CURRENT = "current"
    ALL = "all"

    def label(self) -> str:
        return {Frames.CURRENT: _("Current frame"), Frames.ALL: _("All frames")}[self]


@parameterNodeWrapper
class MomentumSegParameters:
    """Parameters of the module.

    Attributes:
        inputVolume: the scan to segment.
        outputSegmentation: drawn into, and where results go.
        firstSlice, lastSlice: both included, in the volume's own indexing along the plane's slice axis.
        region: voxels outside this box are not segmented.
        supportVolume, supportSegmentation: another, already segmented scan that serves as example.
        method: "few-shot", "prompts" or "automatic"; each has its own model.
        device: a device of the worker, or "auto".
        automaticModel: empty until there is one.
        refine: prompts refine what the segment holds.
        mirror: a trained model segments mirrored copies, too.
        uncertaintyOpacity: 0 to 1.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    outputSegmentation: vtkMRMLSegmentationNode
    plane: Plane = Plane.AXIAL
    frames: Frames = Frames.CURRENT
    method: str = "few-shot"
    model: str = DEFAULT_MODEL
    promptModel: str = DEFAULT_PROMPT_MODEL
    automaticModel: str = ""
    refine: bool = False
    mirror: bool = False
    device: str = AUTOMATIC_DEVICE
    limitSlices: bool = False
    firstSlice: int = 0
    lastSlice: int = 0
    region: vtkMRMLMarkupsROINode
    supportVolume: vtkMRMLScalarVolumeNode
    supportSegmentation: vtkMRMLSegmentationNode
    showUncertainty: bool = False
    uncertaintyOpacity: Annotated[float, WithinRange(0, 1), Default(0.6)]
