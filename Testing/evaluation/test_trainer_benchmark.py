from __future__ import annotations

from momentumseg.evaluation.trainer_benchmark import bench_trainer
from momentumseg.recipes.reading import read_recipe

TINY = ["network.widths=[4,8]", "network.units=1", "data.patch=[8,8,8]", "training.batch=2"]


def test_trainer_and_loop_are_measured_side_by_side() -> None:
    told: list[tuple[str, float]] = []
    recipe = read_recipe("resunet-3d-laptop", TINY)
    report = bench_trainer(recipe, steps=2, repeats=2, progress=lambda name, part: told.append((name, part)))
    values = {measure.name: measure.value for measure in report.measures}
    assert values["trainer: iterations a second"] > 0 and values["minimal loop: iterations a second"] > 0
    ratio = values["trainer: iterations a second"] / values["minimal loop: iterations a second"]
    assert abs(values["trainer / minimal loop"] - ratio) < 1e-6
    assert 0 <= values["part of a step that goes to making patches"] <= 1
    assert [part for _, part in told] == [0.0, 0.5]
    assert report.settings["patch"] == "8x8x8"
