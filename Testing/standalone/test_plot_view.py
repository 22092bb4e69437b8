"""The plot view of the stand-alone window: a chart of the scene is drawn, follows its table, and leaves with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from driving import settle
from test_views import picture

RED = (200, 30, 30)


@pytest.fixture
def a_chart(an_app: Any) -> Any:
    """A chart with one red line, shown in a layout with a plot view."""
    import slicer
    from vtkmodules.vtkCommonCore import vtkDoubleArray
    from vtkmodules.vtkCommonDataModel import vtkTable

    table = vtkTable()
    for name in ("Iteration", "Loss"):
        column = vtkDoubleArray()
        column.SetName(name)
        table.AddColumn(column)
    table_node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "curve")
    table_node.SetAndObserveTable(table)
    series = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", "Loss")
    series.SetAndObserveTableNodeID(table_node.GetID())
    series.SetXColumnName("Iteration")
    series.SetYColumnName("Loss")
    series.SetPlotType(series.PlotTypeScatter)
    series.SetLineStyle(series.LineStyleSolid)
    series.SetMarkerStyle(series.MarkerStyleNone)
    series.SetLineWidth(4)
    series.SetColor(*(value / 255 for value in RED))
    chart = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotChartNode", "chart")
    chart.AddAndObservePlotSeriesNodeID(series.GetID())
    slicer.modules.plots.logic().ShowChartInLayout(chart)
    settle()
    return chart


def red_pixels(an_app: Any) -> int:
    shown = picture(an_app.layout_manager.plotWidget(0).viewWidget()).astype(int)
    return int(np.count_nonzero(np.abs(shown - RED).max(axis=2) < 40))


def grow(chart: Any, points: list[tuple[float, float]]) -> None:
    node = chart.GetNthPlotSeriesNode(0).GetTableNode()
    for point in points:
        for column, value in enumerate(point):
            node.GetTable().GetColumn(column).InsertNextValue(value)
    node.GetTable().Modified()
    node.Modified()
    settle()


def test_layout_with_a_plot_is_chosen(an_app: Any, a_chart: Any) -> None:
    node = an_app.core.layout_logic.GetLayoutNode()
    assert node.GetViewArrangement() == node.SlicerLayoutFourUpPlotView
    assert an_app.layout_manager.plotViewCount == 1
    assert an_app.layout_manager.plotWidget(0).mrmlPlotViewNode().GetPlotChartNodeID() == a_chart.GetID()


def test_line_follows_its_table(an_app: Any, a_chart: Any) -> None:
    assert red_pixels(an_app) == 0, "an empty table draws nothing"
    grow(a_chart, [(0, 1.0), (10, 0.2)])
    short = red_pixels(an_app)
    assert short > 100
    grow(a_chart, [(20, 1.0), (30, 0.2), (40, 1.0)])
    assert red_pixels(an_app) > 1.5 * short


def test_closed_scene_leaves_no_line(an_app: Any, a_chart: Any) -> None:
    grow(a_chart, [(0, 1.0), (10, 0.2)])
    an_app.core.scene.Clear(False)
    settle()
    assert red_pixels(an_app) == 0
