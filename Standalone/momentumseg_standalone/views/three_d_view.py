"""The 3D view: Slicer's displayable managers draw into a :class:`RenderView`."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6 import QtWidgets

from momentumseg_standalone.pythonqt.rules import stand_in
from momentumseg_standalone.views.render_view import RenderView
from momentumseg_standalone.views.slice_view import register_displayable_managers

_DISPLAYABLE_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager3D",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLTransformsDisplayableManager3D",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLVolumeRenderingDisplayableManager",
)


@stand_in
class qMRMLThreeDView(RenderView):
    """Names of Slicer's class; what is ours has a leading underscore.

    Args:
        view_node: vtkMRMLViewNode.
        application_logic: vtkMRMLApplicationLogic.
        parent: of the widget.
    """

    def __init__(self, view_node: Any, application_logic: Any, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._view_node = view_node
        factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance()
        register_displayable_managers(factory, _DISPLAYABLE_MANAGERS, application_logic)
        self._style = slicer.vtkMRMLThreeDViewInteractorStyle()
        self._interactor.Initialize()
        self._group = factory.InstantiateDisplayableManagers(self._renderer)
        self._observe_requests(self._group)
        self._group.SetMRMLDisplayableNode(view_node)
        self._style.SetDisplayableManagers(self._group)
        self._style.SetInteractor(self._interactor)
        self.setAccessibleName("3D view")

    def mrmlViewNode(self) -> Any:
        return self._view_node

    def cameraNode(self) -> Any:
        manager = self.displayableManagerByClassName("vtkMRMLCameraDisplayableManager")
        return manager.GetCameraNode() if manager else None

    def displayableManagerByClassName(self, name: str) -> Any:
        return self._group.GetDisplayableManagerByClassName(name)

    def resetFocalPoint(self) -> None:
        """Look at the middle of what is shown, from as far as before."""
        camera = self._renderer.GetActiveCamera()
        bounds = self._renderer.ComputeVisiblePropBounds()
        if bounds[0] > bounds[1]:
            return
        middle = [(bounds[2 * axis] + bounds[2 * axis + 1]) / 2 for axis in range(3)]
        position, focal = camera.GetPosition(), camera.GetFocalPoint()
        camera.SetPosition(*(p + m - f for p, m, f in zip(position, middle, focal, strict=True)))
        camera.SetFocalPoint(*middle)
        self._renderer.ResetCameraClippingRange()
        self.scheduleRender()

    def resetCamera(self) -> None:
        """See all that is shown, from the present direction."""
        self._renderer.ResetCamera()
        self.scheduleRender()

    def _release(self) -> None:
        self._style.SetInteractor(None)
        super()._release()
