"""The plot view: the chart of a plot view node, drawn by VTK's charts into a :class:`RenderView`."""

from __future__ import annotations

from typing import Any

import vtk
from PySide6 import QtWidgets

from momentumseg_standalone.views.render_view import RenderView

_LINE_STYLES = {"none": 0, "solid": 1, "dash": 2, "dot": 3, "dash-dot": 4, "dash-dot-dot": 5}  # of vtkPen
_MARKERS = {"none": 0, "cross": 1, "plus": 2, "square": 3, "circle": 4, "diamond": 5}  # of vtkPlotPoints
_TITLE_SIZE, _AXIS_TITLE_SIZE, _LABEL_SIZE = 15, 13, 12


class PlotView(RenderView):
    """Draws lines and points of the chart that the view node names; bars are not drawn.

    Args:
        view_node: vtkMRMLPlotViewNode.
        parent: of the widget.
    """

    def __init__(self, view_node: Any, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._view_node = view_node
        self._chart_node: Any = None
        self._tags: list[int] = []
        self._is_outdated = True
        self._chart = vtk.vtkChartXY()
        self._actor = vtk.vtkContextActor()
        self._actor.GetScene().AddItem(self._chart)
        self._actor.GetScene().SetRenderer(self._renderer)
        self._renderer.AddActor(self._actor)
        self._renderer.SetBackground(1, 1, 1)
        style = vtk.vtkContextInteractorStyle()  # zoom by the wheel, move by dragging
        style.SetScene(self._actor.GetScene())
        self._interactor.SetInteractorStyle(style)
        self._interactor.Initialize()
        self._view_tag = view_node.AddObserver("ModifiedEvent", self._take_chart)
        self._take_chart()
        self.setAccessibleName("Plot view")

    def forceRender(self) -> None:
        if self._is_outdated:
            self._is_outdated = False
            self._build()
        super().forceRender()

    def fit(self) -> None:
        """Show all of the curves again."""
        self._chart.RecalculateBounds()
        self.scheduleRender()

    def _take_chart(self, *_: Any) -> None:
        node = self._view_node.GetPlotChartNode()
        if node is not self._chart_node:
            self._let_go_of_chart()
            self._chart_node = node
            if node is not None:
                events = ("ModifiedEvent", node.PlotModifiedEvent)
                self._tags = [node.AddObserver(event, self._outdate) for event in events]
        self._outdate()

    def _let_go_of_chart(self) -> None:
        for tag in self._tags:
            self._chart_node.RemoveObserver(tag)
        self._tags = []

    def _outdate(self, *_: Any) -> None:
        self._is_outdated = True
        self.scheduleRender()

    def _build(self) -> None:
        """Make the chart anew from its node: there are a few curves of some hundred points at most."""
        chart, node = self._chart, self._chart_node
        chart.ClearPlots()
        chart.SetVisible(node is not None)
        if node is None:
            return
        chart.SetTitle(node.GetTitle() or "" if node.GetTitleVisibility() else "")
        chart.GetTitleProperties().SetFontSize(_TITLE_SIZE)
        chart.SetShowLegend(bool(node.GetLegendVisibility()))
        chart.GetLegend().SetHorizontalAlignment(vtk.vtkChartLegend.RIGHT)
        titles = ((vtk.vtkAxis.LEFT, node.GetYAxisTitle()), (vtk.vtkAxis.BOTTOM, node.GetXAxisTitle()))
        for position, title in titles:
            axis = chart.GetAxis(position)
            axis.SetTitle(title or "")
            axis.GetTitleProperties().SetFontSize(_AXIS_TITLE_SIZE)
            axis.GetLabelProperties().SetFontSize(_LABEL_SIZE)
            axis.SetGridVisible(bool(node.GetGridVisibility()))
        for index in range(node.GetNumberOfPlotSeriesNodes()):
            self._add(node.GetNthPlotSeriesNode(index))
        self._set_ranges(node)

    def _set_ranges(self, node: Any) -> None:
        ranges = (
            (vtk.vtkAxis.BOTTOM, node.GetXAxisRangeAuto(), node.GetXAxisRange()),
            (vtk.vtkAxis.LEFT, node.GetYAxisRangeAuto(), node.GetYAxisRange()),
        )
        for position, is_automatic, wanted in ranges:
            axis = self._chart.GetAxis(position)
            axis.SetBehavior(vtk.vtkAxis.AUTO if is_automatic else vtk.vtkAxis.FIXED)
            if not is_automatic:
                axis.SetRange(*wanted)
        self._chart.RecalculateBounds()

    def _add(self, series: Any) -> None:
        table_node = series.GetTableNode() if series is not None else None
        table = table_node.GetTable() if table_node is not None else None
        names = (series.GetXColumnName(), series.GetYColumnName()) if series is not None else ("", "")
        if table is None or not all(table.GetColumnByName(name) for name in names):
            return
        if table.GetNumberOfRows() < 2:  # VTK takes a line of one point for an error
            return
        plot = self._chart.AddPlot(vtk.vtkChart.LINE)
        plot.SetInputData(table, *names)
        plot.SetLabel(series.GetName())
        plot.SetColorF(*series.GetColor())
        plot.SetWidth(series.GetLineWidth())
        plot.GetPen().SetLineType(_LINE_STYLES.get(series.GetLineStyleAsString(series.GetLineStyle()), 1))
        plot.SetMarkerStyle(_MARKERS.get(series.GetMarkerStyleAsString(series.GetMarkerStyle()), 0))
        plot.SetMarkerSize(series.GetMarkerSize())

    def _release(self) -> None:
        self._let_go_of_chart()
        self._view_node.RemoveObserver(self._view_tag)
        super()._release()
