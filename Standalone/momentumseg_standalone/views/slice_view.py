"""One slice view: Slicer's slice logic and displayable managers draw into a :class:`RenderView`."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtWidgets

from momentumseg_standalone.pythonqt.rules import stand_in
from momentumseg_standalone.views.render_view import RenderView

# What Slicer's slice view and its modules register; terminologies and annotations need files that the wheel lacks.
_DISPLAYABLE_MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLScalarBarDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
    "vtkMRMLTransformsDisplayableManager2D",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
)


@stand_in
class qMRMLSliceView(RenderView):
    """Names of Slicer's class; what is ours has a leading underscore.

    Args:
        slice_logic: vtkMRMLSliceLogic with a slice node.
        application_logic: vtkMRMLApplicationLogic.
        parent: of the widget.
    """

    def __init__(self, slice_logic: Any, application_logic: Any, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._slice_logic = slice_logic
        self._add_image_actor()
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        register_displayable_managers(factory, _DISPLAYABLE_MANAGERS, application_logic)
        self._group = factory.InstantiateDisplayableManagers(self._renderer)
        self._observe_requests(self._group)
        self._group.SetMRMLDisplayableNode(slice_logic.GetSliceNode())
        slice_logic.SetDisplayableManagerGroup(self._group)
        self._style = slicer.vtkMRMLSliceViewInteractorStyle()
        self._style.SetDisplayableManagers(self._group)
        self._style.SetSliceLogic(slice_logic)
        self._style.SetInteractor(self._interactor)
        self._interactor.Initialize()
        self._logic_tag = slice_logic.AddObserver("ModifiedEvent", self._logic_modified)
        self.setAccessibleName(f"{slice_logic.GetSliceNode().GetName()} slice view")

    def mrmlSliceNode(self) -> Any:
        return self._slice_logic.GetSliceNode()

    def sliceViewInteractorStyle(self) -> Any:
        return self._style

    def displayableManagerByClassName(self, name: str) -> Any:
        return self._group.GetDisplayableManagerByClassName(name)

    def convertDeviceToXYZ(self, xy: Any) -> list[float]:
        """Device pixels, counted from below, as slice coordinates."""
        return [float(xy[0]), float(xy[1]), 0.0]

    def convertXYZToRAS(self, xyz: Any) -> list[float]:
        return list(self.mrmlSliceNode().GetXYToRAS().MultiplyPoint((*xyz, 1.0))[:3])

    def convertRASToXYZ(self, ras: Any) -> list[float]:
        inverse = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.mrmlSliceNode().GetXYToRAS(), inverse)
        return list(inverse.MultiplyPoint((*ras, 1.0))[:3])

    def _add_image_actor(self) -> None:
        """The volumes themselves: in Slicer CTK's light box shows them, no displayable manager does."""
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._actor = vtk.vtkActor2D()
        self._actor.SetMapper(self._mapper)
        self._actor.GetProperty().SetDisplayLocationToBackground()
        self._renderer.AddViewProp(self._actor)
        self._connect_image()

    def _connect_image(self) -> None:
        connection = self._slice_logic.GetImageDataConnection()
        self._mapper.SetInputConnection(connection)
        self._actor.SetVisibility(connection is not None)

    def _logic_modified(self, *_: Any) -> None:
        self._connect_image()
        self.scheduleRender()

    def _window_resized(self, width: int, height: int) -> None:
        self._slice_logic.ResizeSliceNode(width, height)

    def _release(self) -> None:
        self._slice_logic.RemoveObserver(self._logic_tag)
        self._style.SetInteractor(None)
        super()._release()


def register_displayable_managers(factory: Any, names: tuple[str, ...], application_logic: Any) -> None:
    """Make the managers known to the factory, once."""
    factory.SetMRMLApplicationLogic(application_logic)
    for name in names:
        if not factory.IsDisplayableManagerRegistered(name):
            factory.RegisterDisplayableManager(name)
