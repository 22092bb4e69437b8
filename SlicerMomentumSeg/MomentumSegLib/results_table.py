"""What a result measures: a table in the scene, and the same as a CSV file."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from vtkmodules.vtkCommonCore import vtkDoubleArray, vtkIntArray, vtkStringArray
from vtkmodules.vtkCommonDataModel import vtkTable

from MomentumSegLib.errors import UserError
from MomentumSegLib.segment_voxels import Crop
from MomentumSegLib.slice_geometry import nodes_of_class
from MomentumSegLib.volume_data import VolumeGeometry

HEADINGS = ("Segment", "Volume (ml)", "Voxels", "Mean uncertainty", "Drawn slices")
_ROLE = "MomentumSegResultsOf"


@dataclass(frozen=True)
class ResultRow:
    """One segment of a result.

    Attributes:
        segment: its name.
        volume_ml: millilitres.
        voxels: of the segmented volume.
        mean_uncertainty: 0 to 1; None when it is not known.
        drawn_slices: slices that the user drew.
    """

    segment: str
    volume_ml: float
    voxels: int
    mean_uncertainty: float | None
    drawn_slices: int


def result_rows(
    segmentation_node: object,
    volume: VolumeGeometry,
    contents: Mapping[str, Crop],
    uncertainty: Mapping[str, float],
    drawn: Mapping[str, int],
) -> tuple[ResultRow, ...]:
    """Rows of the segments in ``contents``, measured as they are in the scene.

    Args:
        contents: by segment ID, `Written.after`.
        uncertainty: mean uncertainty by segment ID.
        drawn: number of drawn slices by segment ID.
    """
    millilitres = float(abs(np.linalg.det(volume.ijk_to_ras[:3, :3]))) / 1000
    rows = []
    for segment_id, crop in contents.items():
        segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
        if segment is not None:
            count = int(np.count_nonzero(crop.voxels))
            rows.append(
                ResultRow(
                    segment.GetName(), count * millilitres, count, uncertainty.get(segment_id), drawn.get(segment_id, 0)
                )
            )
    return tuple(rows)


def update_results_table(segmentation_node: object, rows: Sequence[ResultRow]) -> object:
    """Show rows in the table of a segmentation, "<segmentation> results"; returns its vtkMRMLTableNode."""
    scene = segmentation_node.GetScene()
    node = find_results_table(segmentation_node)
    if node is None:
        node = scene.AddNewNodeByClass("vtkMRMLTableNode", f"{segmentation_node.GetName()} results")
        node.SetNodeReferenceID(_ROLE, segmentation_node.GetID())
        node.SetUseColumnTitleAsColumnHeader(True)
    node.SetAndObserveTable(_table(rows))
    node.SetLocked(True)
    return node


def find_results_table(segmentation_node: object) -> object | None:
    """The table of a segmentation's results; None when there is none."""
    for node in nodes_of_class(segmentation_node.GetScene(), "vtkMRMLTableNode"):
        if node.GetNodeReferenceID(_ROLE) == segmentation_node.GetID():
            return node
    return None


def rows_of(table_node: object) -> tuple[ResultRow, ...]:
    """Rows that a table shows, also one that was loaded with a scene; none for a table of another shape."""
    table = table_node.GetTable()
    columns = [table.GetColumnByName(heading) for heading in HEADINGS]
    if any(column is None for column in columns):
        return ()
    rows = []
    for index in range(table.GetNumberOfRows()):
        texts = [column.GetVariantValue(index).ToString() for column in columns]
        segment, volume_ml, voxels, uncertainty, drawn = texts
        mean = float(uncertainty) if uncertainty else None
        rows.append(ResultRow(segment, float(volume_ml), int(float(voxels)), mean, int(float(drawn))))
    return tuple(rows)


def export_results(path: str | Path, rows: Sequence[ResultRow]) -> None:
    """Write rows as a CSV file that spreadsheets open; a file that is there is replaced only when all is written.

    Raises `UserError` when the file cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        # The mark at the beginning has spreadsheets read names with accents as they are.
        with temporary.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(HEADINGS)
            writer.writerows(_text(row) for row in rows)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f'The table cannot be written to "{path}" ({error.strerror}): choose another place.') from error


def _text(row: ResultRow) -> tuple[str, ...]:
    uncertainty = "" if row.mean_uncertainty is None else f"{row.mean_uncertainty:.4f}"
    return row.segment, f"{row.volume_ml:.3f}", str(row.voxels), uncertainty, str(row.drawn_slices)


def _table(rows: Sequence[ResultRow]) -> vtkTable:
    table = vtkTable()
    types = (vtkStringArray, vtkDoubleArray, vtkIntArray, vtkStringArray, vtkIntArray)
    for index, (heading, array_type) in enumerate(zip(HEADINGS, types, strict=True)):
        column = array_type()
        column.SetName(heading)
        for row in rows:
            column.InsertNextValue(_cells(row)[index])
        table.AddColumn(column)
    return table


def _cells(row: ResultRow) -> tuple[object, ...]:
    uncertainty = "" if row.mean_uncertainty is None else f"{row.mean_uncertainty:.3f}"
    return row.segment, round(row.volume_ml, 3), row.voxels, uncertainty, row.drawn_slices
