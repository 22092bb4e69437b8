"""`slicer.app.layoutManager()`: the views of the present layout."""

from __future__ import annotations

from typing import Any

import vtk
from PySide6 import QtCore, QtWidgets

from momentumseg_standalone.pythonqt.rules import stand_in
from momentumseg_standalone.scene import SceneCore
from momentumseg_standalone.views.layout_description import build_layout
from momentumseg_standalone.views.plot_widget import qMRMLPlotWidget
from momentumseg_standalone.views.slice_widget import make_slice_logic, qMRMLSliceWidget
from momentumseg_standalone.views.three_d_widget import qMRMLThreeDWidget


@stand_in
class qSlicerLayoutManager(QtCore.QObject):
    """Names of Slicer's class; what is ours has a leading underscore.

    A view is made when a layout first shows it and is kept, so that returning to a layout finds it as it was.

    Args:
        core: the scene and its logics.
        parent: of the object.
    """

    layoutChanged = QtCore.Signal(int)

    def __init__(self, core: SceneCore, parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)
        self._core = core
        core.application_logic.SetSliceLogics(vtk.vtkCollection())
        self._viewport = QtWidgets.QWidget()
        self._box = QtWidgets.QVBoxLayout(self._viewport)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._slices: dict[str, qMRMLSliceWidget] = {}
        self._three_ds: dict[str, qMRMLThreeDWidget] = {}
        self._plots: dict[str, qMRMLPlotWidget] = {}
        self._shown: list[str] = []
        self._arrangement = 0
        self._root: QtWidgets.QWidget | None = None
        self._node = core.layout_logic.GetLayoutNode()
        self._tag = self._node.AddObserver("ModifiedEvent", self._rebuild)

    def mrmlScene(self) -> Any:
        return self._core.scene

    def layoutLogic(self) -> Any:
        return self._core.layout_logic

    def mrmlSliceLogics(self) -> Any:
        return self._core.application_logic.GetSliceLogics()

    def viewport(self) -> QtWidgets.QWidget:
        return self._viewport

    def setLayout(self, arrangement: int) -> None:
        self._node.SetViewArrangement(int(arrangement))

    layout = QtCore.Property(int, lambda self: self._arrangement, setLayout)
    threeDViewCount = QtCore.Property(int, lambda self: len(self._three_ds))

    plotViewCount = QtCore.Property(int, lambda self: len(self._plots))

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(name for name in self._shown if name in self._slices)

    def sliceWidget(self, name: str) -> qMRMLSliceWidget | None:
        return self._slices.get(name)

    def threeDWidget(self, which: int | str) -> qMRMLThreeDWidget | None:
        if isinstance(which, str):
            return self._three_ds.get(which)
        widgets = list(self._three_ds.values())
        return widgets[which] if 0 <= which < len(widgets) else None

    def plotWidget(self, which: int | str) -> qMRMLPlotWidget | None:
        if isinstance(which, str):
            return self._plots.get(which)
        widgets = list(self._plots.values())
        return widgets[which] if 0 <= which < len(widgets) else None

    def activeMRMLThreeDViewNode(self) -> Any:
        widget = self.threeDWidget(0)
        return widget.mrmlViewNode() if widget else None

    def activeThreeDRenderer(self) -> Any:
        widget = self.threeDWidget(0)
        return widget.threeDView()._renderer if widget else None

    def resetSliceViews(self) -> None:
        for widget in self._slices.values():
            widget.fitSliceToBackground()

    def resetThreeDViews(self) -> None:
        for widget in self._three_ds.values():
            widget.threeDView().resetCamera()

    def pauseRender(self) -> None:
        for view in self._views():
            view.pauseRender()

    def resumeRender(self) -> None:
        for view in self._views():
            view.resumeRender()

    def setRenderPaused(self, paused: bool) -> None:
        (self.pauseRender if paused else self.resumeRender)()

    def _views(self) -> list[Any]:
        return [widget.viewWidget() for widget in self._widgets.values()]

    @property
    def _widgets(self) -> dict[str, QtWidgets.QWidget]:
        """Widgets of all views by their layout names."""
        return {**self._slices, **self._three_ds, **self._plots}

    def _rebuild(self, *_: Any) -> None:
        arrangement = self._node.GetViewArrangement()
        description = self._node.GetCurrentLayoutDescription()
        if arrangement == self._arrangement or not description:
            return
        self._arrangement, self._shown = arrangement, []
        for widget in self._widgets.values():
            widget.setParent(None)  # the old splitters must not take the views with them
        if self._root is not None and self._root.parent() is not None:
            self._box.removeWidget(self._root)
            self._root.deleteLater()
        self._root = build_layout(description, self._view_of)
        if self._root is not None:
            self._box.addWidget(self._root)
            for name in self._shown:
                self._widgets[name].show()
        self.layoutChanged.emit(arrangement)

    def _view_of(self, class_name: str, tag: str) -> QtWidgets.QWidget | None:
        if class_name == "vtkMRMLSliceNode":
            widget = self._slices.get(tag) or self._make_slice(tag)
        elif class_name == "vtkMRMLViewNode":
            widget = self._three_ds.get(tag) or self._make_three_d(tag)
        elif class_name == "vtkMRMLPlotViewNode":
            widget = self._plots.get(tag) or self._make_plot(tag)
        else:
            return None
        self._shown.append(tag)
        return widget

    def _make_slice(self, tag: str) -> qMRMLSliceWidget:
        node = self._core.scene.GetSingletonNode(tag, "vtkMRMLSliceNode")
        logic = make_slice_logic(node, self._core.application_logic)
        widget = qMRMLSliceWidget(logic, self._core.application_logic)
        widget._bar.maximizeRequested.connect(lambda: self._toggle_maximized(tag))
        self._slices[tag] = widget
        return widget

    def _make_three_d(self, tag: str) -> qMRMLThreeDWidget:
        node = self._core.scene.GetSingletonNode(tag, "vtkMRMLViewNode")
        widget = qMRMLThreeDWidget(node, self._core.application_logic)
        widget._bar.maximizeRequested.connect(lambda: self._toggle_maximized(tag))
        self._three_ds[tag] = widget
        return widget

    def _make_plot(self, tag: str) -> qMRMLPlotWidget:
        widget = qMRMLPlotWidget(self._core.scene.GetSingletonNode(tag, "vtkMRMLPlotViewNode"))
        widget._bar.maximizeRequested.connect(lambda: self._toggle_maximized(tag))
        self._plots[tag] = widget
        return widget

    def _toggle_maximized(self, tag: str) -> None:
        """Hide the other views, or show them again: the layout itself stays."""
        others = [self._widgets[name] for name in self._shown if name != tag]
        hide = any(widget.isVisible() for widget in others)
        for widget in others:
            widget.setVisible(not hide)
        _hide_empty_splitters(self._root)

    def _release(self) -> None:
        self._node.RemoveObserver(self._tag)
        for widget in self._widgets.values():
            widget._release()


def _hide_empty_splitters(root: QtWidgets.QWidget | None) -> bool:
    """Hide splitters all of whose parts are hidden. Returns whether `root` has something to show."""
    if not isinstance(root, QtWidgets.QSplitter):
        return root is not None and not root.isHidden()
    shown = [_hide_empty_splitters(root.widget(index)) for index in range(root.count())]
    root.setVisible(any(shown))
    return any(shown)
