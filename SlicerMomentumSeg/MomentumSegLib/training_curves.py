"""Loss and Dice of a training as tables, plot series and one chart of the scene, shown in a plot view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import slicer
from vtkmodules.util.numpy_support import numpy_to_vtk
from vtkmodules.vtkCommonDataModel import vtkTable

from MomentumSegLib.slice_geometry import nodes_of_class
from MomentumSegLib.translation import tr as _

_ROLE = "MomentumSeg.TrainingCurve"  # of nodes: which curve or table it is
_ITERATION = "Iteration"
_LOSS = "Loss"
_MEAN = "Dice, mean"
_CHART, _LOSSES, _DICES = "chart", "losses", "dices"
# More points than a plot has columns are of no use, and slow.
_MOST_POINTS = 1000
_LOSS_COLOR = (0.75, 0.40, 0.10)
_MEAN_COLOR = (0.05, 0.35, 0.65)
# Colours that people who see no difference of red and green tell apart, in a light and a dark plot.
_DICE_COLORS = ((0.00, 0.62, 0.45), (0.80, 0.47, 0.65), (0.34, 0.71, 0.91), (0.90, 0.62, 0.00), (0.45, 0.45, 0.45))


class TrainingCurves:
    """Keeps the points of one training; `show` puts them into the scene and before the user.

    Args:
        scene: the MRML scene.
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._title = ""
        self.clear("")

    def clear(self, title: str) -> None:
        """Forget all points: another training begins."""
        self._title = title
        self._losses: list[tuple[int, float]] = []
        self._dices: list[tuple[int, dict[str, float]]] = []
        self._stride, self._pending = 1, []

    @property
    def losses(self) -> Sequence[tuple[int, float]]:
        """(iteration, mean loss), in order."""
        return self._losses

    @property
    def dices(self) -> Sequence[tuple[int, Mapping[str, float]]]:
        """(iteration, Dice by structure and `mean`), in order."""
        return self._dices

    def add_loss(self, iteration: int, loss: float) -> None:
        """Add a point. A training that goes on from a checkpoint replaces what came after that."""
        while self._losses and self._losses[-1][0] >= iteration:
            self._losses.pop()
        self._pending.append((iteration, loss))
        if len(self._pending) < self._stride:
            return
        values = np.array(self._pending, dtype=float)
        self._losses.append((int(values[-1, 0]), float(values[:, 1].mean())))
        self._pending = []
        if len(self._losses) > _MOST_POINTS:
            pairs = zip(self._losses[::2], self._losses[1::2], strict=False)
            self._losses = [(second[0], (first[1] + second[1]) / 2) for first, second in pairs]
            self._stride *= 2

    def add_dice(self, iteration: int, by_name: Mapping[str, float], mean: float) -> None:
        """Add the points of a validation."""
        while self._dices and self._dices[-1][0] >= iteration:
            self._dices.pop()
        self._dices.append((iteration, {_MEAN: mean, **by_name}))

    def update(self) -> None:
        """Bring the nodes of the scene, if there are any, to the present points."""
        if self._find("vtkMRMLPlotChartNode", _CHART) is not None:
            self._write()

    def show(self) -> None:
        """Show the chart in a layout with a plot view."""
        chart = self._write()
        slicer.modules.plots.logic().ShowChartInLayout(chart)

    def _write(self) -> Any:
        """Make or bring up to date: two tables, a series for each curve, the chart."""
        losses = self._table(_LOSSES, _("Training: loss"), {_ITERATION: 0, _LOSS: 1}, self._losses)
        names = list(dict.fromkeys(name for _iteration, values in self._dices for name in values)) or [_MEAN]
        columns = {_ITERATION: 0, **{name: position for position, name in enumerate(names, start=1)}}
        rows = [(iteration, *(values.get(name, float("nan")) for name in names)) for iteration, values in self._dices]
        dices = self._table(_DICES, _("Training: Dice of the validation"), columns, rows)
        chart = self._find("vtkMRMLPlotChartNode", _CHART) or self._make("vtkMRMLPlotChartNode", _CHART, _("Training"))
        chart.SetTitle(self._title)
        chart.SetXAxisTitle(_("Iteration"))
        chart.SetYAxisTitle(_("Loss, Dice"))
        series = [self._series(_LOSS, _("Loss"), losses, _LOSS_COLOR, width=2)]
        for position, name in enumerate(names):
            own = len(names) > 2 or name == _MEAN
            color = _MEAN_COLOR if name == _MEAN else _DICE_COLORS[(position - 1) % len(_DICE_COLORS)]
            if own:
                label = _("Dice, mean") if name == _MEAN else _("Dice, {name}").format(name=name)
                series.append(self._series(name, label, dices, color, width=4 if name == _MEAN else 2))
        wanted = [node.GetID() for node in series]
        shown = [chart.GetNthPlotSeriesNodeID(index) for index in range(chart.GetNumberOfPlotSeriesNodes())]
        if shown != wanted:
            chart.RemoveAllPlotSeriesNodeIDs()
            for node_id in wanted:
                chart.AddAndObservePlotSeriesNodeID(node_id)
        return chart

    def _table(self, role: str, name: str, columns: Mapping[str, int], rows: Sequence[Sequence[float]]) -> Any:
        node = self._find("vtkMRMLTableNode", role) or self._make("vtkMRMLTableNode", role, name)
        # A line of one point is an error to VTK's charts; of two equal ones it is a point.
        values = np.array(list(rows) * (2 if len(rows) == 1 else 1), dtype=np.float64).reshape(-1, len(columns))
        table = vtkTable()
        for title, position in columns.items():
            array = numpy_to_vtk(np.ascontiguousarray(values[:, position]), deep=True)
            array.SetName(title)
            table.AddColumn(array)
        node.SetAndObserveTable(table)
        return node

    def _series(self, role: str, name: str, table: Any, color: tuple[float, float, float], *, width: int) -> Any:
        node = self._find("vtkMRMLPlotSeriesNode", role)
        if node is None:
            node = self._make("vtkMRMLPlotSeriesNode", role, name)
            node.SetPlotType(node.PlotTypeScatter)
            node.SetLineStyle(node.LineStyleSolid)
            node.SetMarkerStyle(node.MarkerStyleNone if role == _LOSS else node.MarkerStyleCircle)
            node.SetMarkerSize(5)
            node.SetColor(*color)
            node.SetLineWidth(width)
            node.SetXColumnName(_ITERATION)
            node.SetYColumnName(role)
        if node.GetTableNodeID() != table.GetID():
            node.SetAndObserveTableNodeID(table.GetID())
        return node

    def _find(self, class_name: str, role: str) -> Any:
        nodes = nodes_of_class(self._scene, class_name)
        return next((node for node in nodes if node.GetAttribute(_ROLE) == role), None)

    def _make(self, class_name: str, role: str, name: str) -> Any:
        """A node that is not saved: the run folder keeps the log of the training."""
        node = self._scene.AddNewNodeByClass(class_name, name)
        node.SetAttribute(_ROLE, role)
        node.SetSaveWithScene(False)
        return node
