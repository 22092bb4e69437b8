"""The small parts of the training module: requests, log, curves, picture, sentences."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from a_scene import new_scene

from MomentumSegLib.errors import UserError
from MomentumSegLib.settings import Settings
from MomentumSegLib.training_curves import TrainingCurves
from MomentumSegLib.training_log import read_log
from MomentumSegLib.training_metrics import dices_of
from MomentumSegLib.training_phase import duration_text
from MomentumSegLib.training_picture import PREDICTED_COLOR, REFERENCE_COLOR, draw_validation, outline, write_png
from MomentumSegLib.training_request import new_run_folder, run_of, split_settings


@pytest.fixture
def a_scene() -> Iterator[Any]:
    scene, logics = new_scene()
    yield scene
    scene.Clear(True)
    del logics


# Requests


def test_settings_of_a_line() -> None:
    assert split_settings("") == ()
    line = "training.batch=2 data.patch=[32,32,32]  'card.title=my liver'"
    assert split_settings(line) == ("training.batch=2", "data.patch=[32,32,32]", "card.title=my liver")


@pytest.mark.parametrize("line", ["batch", "batch=2", "training.batch=", "training batch=2", "--device=cpu"])
def test_what_is_no_setting_is_named(line: str) -> None:
    with pytest.raises(UserError, match="is no setting"):
        split_settings(line)


def test_open_quotation_mark_is_said() -> None:
    with pytest.raises(UserError, match="quotation mark"):
        split_settings("card.title='my")


def test_folder_of_a_run_is_new_and_plain() -> None:
    now = datetime(2026, 11, 21, 18, 5, 7)
    first = new_run_folder("/runs/", "Leber & Milz: \u00fcbung", (), now)
    assert first == "/runs/2026-11-21_180507-leber-milz-bung"
    assert new_run_folder("/runs", "Leber & Milz: \u00fcbung", (first,), now) == f"{first}-2"
    assert new_run_folder("/runs", "\u80dd", (), now) == "/runs/2026-11-21_180507-training"


def test_run_of_the_list() -> None:
    run = run_of({"run_folder": "/r", "title": "x", "recipe": "y", "state": "finished", "iteration": 5, "score": None})
    assert (run.folder, run.state, run.iteration, run.iterations, run.score) == ("/r", "finished", 5, 0, None)


def test_folder_of_trainings(tmp_path: Path) -> None:
    from MomentumSegLib.training_session import runs_folder

    beside = Settings(data_folder=str(tmp_path))
    assert Path(runs_folder(beside)) == tmp_path / "training"
    assert runs_folder(Settings(data_folder=str(tmp_path), training_folder="/big/disk")) == "/big/disk"
    assert runs_folder(Settings(ssh_host="gpu")).startswith("~/"), "a folder of the other computer"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.1, "1 s"), (40, "40 s"), (720, "12 min"), (7190, "2 h"), (12000, "3 h 20 min"), (200_000, "2 days")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({}, ({}, None)),
        (None, ({}, None)),
        ({"liver": 0.8, "mean": 0.7}, ({"liver": 0.8}, 0.7)),
        ({"dice": {"liver": 0.8, "spleen": 0.6}}, ({"liver": 0.8, "spleen": 0.6}, 0.7)),
        ({"dice": {"liver": 0.8}, "mean": 0.75}, ({"liver": 0.8}, 0.75)),
    ],
)
def test_metrics_of_a_message(metrics: Any, expected: Any) -> None:
    by_name, mean = dices_of({"metrics": metrics})
    assert by_name == expected[0]
    assert mean == pytest.approx(expected[1])


# Log


def test_log_of_a_run_is_read_and_broken_lines_are_left_out(tmp_path: Path) -> None:
    records = [
        {"iteration": 10.0, "loss": 0.9},
        {"iteration": 20.0, "loss": float("nan")},
        {"iteration": 30.0, "loss": 0.5, "score": 0.6, "dice_liver": 0.7, "dice_left kidney": 0.5},
    ]
    lines = [*(json.dumps(record) for record in records), "[1]", '{"loss": 1}', '{"iteration": 4']
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    first, second, third = read_log(tmp_path)
    assert (first.iteration, first.loss, first.score) == (10, 0.9, None)
    assert second.loss is None
    assert (third.score, dict(third.dices)) == (0.6, {"liver": 0.7, "left kidney": 0.5})
    assert read_log(tmp_path / "nowhere") == []


# Curves


def _nodes(scene: Any, class_name: str) -> list[Any]:
    return [scene.GetNthNodeByClass(n, class_name) for n in range(scene.GetNumberOfNodesByClass(class_name))]


def _column(table: Any, name: str) -> list[float]:
    column = table.GetTable().GetColumnByName(name)
    return [column.GetValue(row) for row in range(column.GetNumberOfValues())]


def test_curves_are_tables_series_and_one_chart(a_scene: Any) -> None:
    curves = TrainingCurves(a_scene)
    curves.clear("liver and spleen")
    curves.update()
    assert not _nodes(a_scene, "vtkMRMLPlotChartNode"), "nothing is added before the curves are shown"
    curves.add_loss(10, 1.0)
    curves.add_loss(20, 0.5)
    curves.add_dice(20, {"liver": 0.8, "spleen": 0.6}, 0.7)
    chart = curves._write()
    series = [chart.GetNthPlotSeriesNode(n) for n in range(chart.GetNumberOfPlotSeriesNodes())]
    assert [node.GetName() for node in series] == ["Loss", "Dice, mean", "Dice, liver", "Dice, spleen"]
    assert chart.GetTitle() == "liver and spleen"
    assert _column(series[0].GetTableNode(), "Iteration") == [10, 20]
    assert _column(series[0].GetTableNode(), "Loss") == [1.0, 0.5]
    assert _column(series[3].GetTableNode(), series[3].GetYColumnName()) == [0.6, 0.6], "VTK draws no line of one point"
    assert not any(node.GetSaveWithScene() for node in (chart, *series, series[0].GetTableNode()))
    curves.add_loss(30, 0.25)
    curves.update()
    assert _column(series[0].GetTableNode(), "Loss") == [1.0, 0.5, 0.25]
    assert len(_nodes(a_scene, "vtkMRMLTableNode")) == 2


def test_another_training_replaces_the_curves(a_scene: Any) -> None:
    curves = TrainingCurves(a_scene)
    curves.add_dice(20, {"liver": 0.8, "spleen": 0.6}, 0.7)
    chart = curves._write()
    curves.clear("kidney")
    curves.add_dice(5, {"kidney": 0.5}, 0.5)
    curves.update()
    assert chart.GetTitle() == "kidney"
    names = [chart.GetNthPlotSeriesNode(n).GetName() for n in range(chart.GetNumberOfPlotSeriesNodes())]
    assert names == ["Loss", "Dice, mean"], "of one structure the mean is its curve"


def test_resumed_training_replaces_what_came_after_the_checkpoint(a_scene: Any) -> None:
    curves = TrainingCurves(a_scene)
    for iteration in (10, 20, 30):
        curves.add_loss(iteration, 1.0)
        curves.add_dice(iteration, {}, 0.5)
    curves.add_loss(20, 0.5)
    curves.add_dice(20, {}, 0.6)
    assert list(curves.losses) == [(10, 1.0), (20, 0.5)]
    assert [point[0] for point in curves.dices] == [10, 20]


def test_long_training_keeps_few_points(a_scene: Any) -> None:
    curves = TrainingCurves(a_scene)
    for iteration in range(1, 10_001):
        curves.add_loss(iteration, float(iteration))
    assert 400 < len(curves.losses) <= 1000
    iterations = [point[0] for point in curves.losses]
    assert iterations == sorted(iterations) and iterations[-1] > 9_900
    assert all(abs(iteration - loss) < 20 for iteration, loss in curves.losses), "means of neighbours"


# Picture


def test_picture_shows_both_outlines_on_the_slice() -> None:
    image = np.full((40, 60), 100, np.uint8)
    reference, predicted = np.zeros_like(image), np.zeros_like(image)
    reference[15:25, 20:30] = 1
    predicted[15:25, 24:34] = 2
    picture = draw_validation(image, reference, predicted, 300)
    assert picture.dtype == np.uint8 and max(picture.shape[:2]) == 300
    for color in (REFERENCE_COLOR, PREDICTED_COLOR):
        assert np.all(picture == color, axis=2).sum() > 100
    assert np.all(picture == 100, axis=2).mean() > 0.7


def test_picture_keeps_its_place_while_the_prediction_moves() -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 60)).astype(np.uint8)
    reference = np.zeros_like(image)
    reference[15:25, 20:30] = 1
    shapes = {draw_validation(image, reference, np.roll(reference, n, axis=1), 200).shape for n in range(20)}
    assert len(shapes) == 1


def test_slice_without_structures_is_shown_whole() -> None:
    nothing = np.zeros((30, 20), np.uint8)
    assert draw_validation(nothing + 7, nothing, nothing, 90).shape == (90, 60, 3)


def test_outline_of_a_label_that_fills_the_slice_is_no_error() -> None:
    assert not outline(np.ones((8, 8), np.uint8), 2).any()


def test_picture_is_written_upright(tmp_path: Path) -> None:
    from PIL import Image

    picture = np.zeros((5, 7, 3), np.uint8)
    picture[0, 2] = (10, 20, 30)
    write_png(picture, str(tmp_path / "x.png"))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "x.png").convert("RGB")), picture)
