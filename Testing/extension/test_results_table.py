"""The table of results: measured from the voxels, in the scene and as a file."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from bridge import SHAPE, Desk, a_desk_of, ball

from MomentumSegLib.errors import UserError
from MomentumSegLib.results_table import (
    HEADINGS,
    ResultRow,
    export_results,
    find_results_table,
    result_rows,
    update_results_table,
)
from MomentumSegLib.segment_voxels import Crop

ROWS = (ResultRow("Leber, rechts \u201eü\u201c", 1234.5678, 99, 0.12345, 2), ResultRow("spleen", 0.0, 0, None, 0))


@pytest.fixture
def a_desk() -> Desk:
    return a_desk_of()


def test_volumes_are_counted_voxels_of_the_scans_size(a_desk) -> None:
    organ, other = a_desk.add("organ"), a_desk.add("other")
    contents = {organ: Crop(ball(), (0, 0, 0)), other: Crop.nothing(), "deleted": Crop.nothing()}
    rows = result_rows(a_desk.segmentation, a_desk.volume, contents, {organ: 0.25}, {organ: 2})
    count = int(ball().sum())
    assert rows[0].volume_ml == pytest.approx(count * 0.7 * 0.9 * 2.5 / 1000)
    assert (rows[0].segment, rows[0].voxels, rows[0].mean_uncertainty, rows[0].drawn_slices) == (
        "organ",
        count,
        0.25,
        2,
    )
    assert rows[1] == ResultRow("other", 0.0, 0, None, 0)
    assert len(rows) == 2


def test_the_table_node_is_one_for_each_segmentation(a_desk) -> None:
    node = update_results_table(a_desk.segmentation, ROWS)
    table = node.GetTable()
    assert [table.GetColumnName(index) for index in range(table.GetNumberOfColumns())] == list(HEADINGS)
    assert (table.GetValue(0, 0).ToString(), table.GetValue(0, 1).ToDouble()) == (ROWS[0].segment, 1234.568)
    assert (table.GetValue(0, 2).ToInt(), table.GetValue(0, 3).ToString()) == (99, "0.123")
    assert table.GetValue(1, 3).ToString() == ""
    assert node.GetName() == "scan segmentation results"
    assert update_results_table(a_desk.segmentation, ROWS[:1]) is node
    assert node.GetNumberOfRows() == 1
    assert find_results_table(a_desk.segmentation) is node
    other = a_desk.scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    assert find_results_table(other) is None


def test_the_file_holds_names_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a folder ü" / "results, all.csv"
    path.parent.mkdir()
    path.write_text("old")
    export_results(path, ROWS)
    with path.open(encoding="utf-8-sig", newline="") as file:
        assert list(csv.reader(file)) == [
            list(HEADINGS),
            [ROWS[0].segment, "1234.568", "99", "0.1235", "2"],
            ["spleen", "0.000", "0", "", "0"],
        ]
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_file_that_cannot_be_written_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written .*: choose another place"):
        export_results(tmp_path / "missing" / "results.csv", ROWS)
    folder = tmp_path / "results.csv"
    folder.mkdir()
    (folder / "inside").write_text("kept")
    with pytest.raises(UserError, match="cannot be written"):
        export_results(folder, ROWS)
    assert [entry.name for entry in tmp_path.iterdir()] == ["results.csv"]
    assert (folder / "inside").read_text() == "kept"


def test_the_scans_shape_does_not_matter() -> None:
    desk = a_desk_of(shape=(1, 4, 5), matrix=np.diag([2.0, 2.0, 10.0, 1.0]))
    organ = desk.add()
    rows = result_rows(desk.segmentation, desk.volume, {organ: Crop(np.ones((1, 4, 5), np.uint8), (0, 0, 0))}, {}, {})
    assert rows[0].volume_ml == pytest.approx(20 * 0.04)
    assert desk.volume.shape != SHAPE
