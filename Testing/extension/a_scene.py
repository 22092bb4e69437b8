"""A real scene of slicer-core, without a window."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from MomentumSegLib.volume_data import vtk_matrix


def new_scene() -> tuple[Any, list[Any]]:
    """Return a scene, and the logics that must live as long."""
    scene = slicer.vtkMRMLScene()
    application = slicer.vtkMRMLApplicationLogic()
    application.SetMRMLScene(scene)
    segmentations = slicer.vtkSlicerSegmentationsModuleLogic()
    segmentations.SetMRMLScene(scene)
    return scene, [application, segmentations]


def add_volume(scene: Any, voxels: np.ndarray, ijk_to_ras: np.ndarray, name: str = "scan") -> Any:
    """Add (K, J, I) voxels as a scalar volume."""
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkCommonDataModel import vtkImageData

    image = vtkImageData()
    image.SetDimensions(*reversed(voxels.shape))
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(voxels).ravel(), deep=True))
    node.SetAndObserveImageData(image)
    node.SetIJKToRASMatrix(vtk_matrix(ijk_to_ras))
    return node
