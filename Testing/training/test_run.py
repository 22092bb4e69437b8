"""Whole runs: a data folder and a recipe become a model, and what cannot work is said before or without loss."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from momentumseg.errors import Cancelled, InputError
from momentumseg.io.write import write_volume
from momentumseg.recipes.reading import read_recipe
from momentumseg.training.progress import TrainingProgress
from momentumseg.training.run import RunOptions, finish_run, run_training
from momentumseg.training.run_description import read_description
from momentumseg.training.run_list import list_runs
from momentumseg.training.splits import Split
from momentumseg.volumes.volume import Volume
from momentumseg.weights.segmentation_models import load_segmentation_model

TINY = (
    "network.widths=[4, 8]",
    "network.units=1",
    "data.patch=[8, 16, 16]",
    "data.spacing=own",
    "data.validation=1",
    "training.iterations=4",
    "training.epoch=2",
)


def recipe_with(*settings: str, name: str = "momentum-resunet-3d-laptop") -> dict[str, Any]:
    return read_recipe(name, [*TINY, *settings])


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def a_data_folder(tmp_path: Path, a_geometry: np.ndarray) -> Path:
    """Four patients with two bright boxes each (labels 1 and 4), and one without labels."""
    folder = tmp_path / "data"
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for case in range(5):
        random = np.random.default_rng(case)
        labels = np.zeros((10, 20, 24), dtype=np.uint8)
        labels[2:7, 4 + case : 10 + case, 3:10] = 1
        labels[3:8, 5:15, 14:20] = 4
        image = (100 * labels + random.normal(0, 30, labels.shape)).astype(np.int16)
        write_volume(Volume(image, a_geometry), folder / "images" / f"case_{case}.nii.gz")
        if case < 4:
            write_volume(Volume(labels, a_geometry), folder / "labels" / f"case_{case}.nii.gz")
    (folder / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "box": 1, "bar": 4}}))
    return folder


def options_for(tmp_path: Path, data: Path, **more: Any) -> RunOptions:
    return RunOptions(folder=tmp_path / "run", data=data, **more)


def test_a_folder_becomes_a_model_that_knows_its_data(tmp_path: Path, a_data_folder: Path) -> None:
    reports: list[TrainingProgress] = []
    options = options_for(tmp_path, a_data_folder, on_progress=reports.append, title="boxes and bars")
    trained = run_training(recipe_with(), options)
    loaded = load_segmentation_model(trained.path)
    assert loaded.network.classes == 3 and loaded.network.in_channels == 1
    assert loaded.statistics.labels.names == ("box", "bar") and loaded.statistics.labels.values == (1, 4)
    assert loaded.card.name == "boxes and bars"
    split = Split.read(tmp_path / "run" / "splits.json")
    assert len(split.train) == 3 and len(split.validation) == 1 and split.unlabelled == ("case_4",)
    assert set(loaded.card.extra["training_cases"]) == set(split.names())
    assert "validation Dice, mean" in loaded.card.metrics
    reports = [report for report in reports if report.validation is not None]
    assert [report.iteration for report in reports] == [2, 4]
    assert set(reports[0].validation.dice) <= {"box", "bar"}
    assert reports[0].validation.image.shape == reports[0].validation.predicted.shape == (20, 24)
    assert read_description(tmp_path / "run")["title"] == "boxes and bars"


def stop_after(iteration: int) -> tuple[list[int], Any, Any]:
    seen: list[int] = []
    return seen, (lambda now: seen.append(now.iteration)), (lambda: bool(seen) and seen[-1] >= iteration)


def test_a_stopped_run_goes_on_to_the_same_model(tmp_path: Path, a_data_folder: Path) -> None:
    whole = run_training(recipe_with(), RunOptions(folder=tmp_path / "whole", data=a_data_folder))
    _, watch, stop = stop_after(2)
    with pytest.raises(Cancelled, match="after 2 of 4 iterations"):
        run_training(recipe_with(), options_for(tmp_path, a_data_folder, on_progress=watch, cancelled=stop))
    finished = finish_run(recipe_with(), options_for(tmp_path, a_data_folder))
    assert load_segmentation_model(finished.path).network.classes == 3
    continued = run_training(recipe_with(), options_for(tmp_path, a_data_folder))
    one, other = (load_segmentation_model(model.path).network.state_dict() for model in (whole, continued))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert continued.metrics == whole.metrics


def test_nothing_trained_cannot_be_finished(tmp_path: Path, a_data_folder: Path) -> None:
    with pytest.raises(InputError, match="Nothing was trained in .*; start the run first"):
        finish_run(recipe_with(), options_for(tmp_path, a_data_folder))


def test_slices_of_a_network_of_two_dimensions(tmp_path: Path, a_data_folder: Path) -> None:
    settings = ("data.patch=[16, 16]", "network.widths=[4, 8]", "training.batch=2")
    trained = run_training(recipe_with(*settings, name="resunet-2d-laptop"), options_for(tmp_path, a_data_folder))
    assert load_segmentation_model(trained.path).network.dimensions == 2


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("network.classes=5",), "network has 5 classes, but the data have 3"),
        (("data.patch=[16, 16]", "data.plane=axial"), "network is for 3D images.*2 sides"),
        (("data.patch=[7, 16, 16]",), "every side must be a multiple of 2"),
        (("network.norm=batch", "training.batch=1"), r"batch of one has nothing to compare; set training\.batch to 2"),
        (("objective.name=luck",), "no objective named 'luck'"),
        (("strategy.name=luck",), "no strategy named 'luck'"),
        (("network.name=luck",), "no segmentation network named 'luck'"),
        (("optimizer.name=luck",), "no optimiser named 'luck'"),
        (("augmentation.luck=1",), "unknown option 'luck'"),
        (("data.labels={1 = 'box'}",), "4"),
    ],
)
def test_recipes_that_do_not_fit_are_refused_before_training(
    tmp_path: Path, a_data_folder: Path, settings: tuple[str, ...], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        run_training(recipe_with(*settings), options_for(tmp_path, a_data_folder))
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_a_single_case_is_refused(tmp_path: Path, a_data_folder: Path) -> None:
    with pytest.raises(InputError, match=r"All labels are of one patient \(case_1\).*label a second"):
        run_training(recipe_with(), options_for(tmp_path, a_data_folder, cases=["case_1"]))


def test_the_checkpoint_of_another_recipe_is_refused(tmp_path: Path, a_data_folder: Path) -> None:
    run_training(recipe_with(), options_for(tmp_path, a_data_folder))
    before = (tmp_path / "run" / "checkpoint.pt").read_bytes()
    with pytest.raises(InputError, match="made with another recipe; choose another folder"):
        run_training(recipe_with("network.widths=[4, 16]"), options_for(tmp_path, a_data_folder))
    assert (tmp_path / "run" / "checkpoint.pt").read_bytes() == before


def test_data_that_vanish_before_a_run_goes_on_are_named(tmp_path: Path, a_data_folder: Path) -> None:
    _, watch, stop = stop_after(2)
    with pytest.raises(Cancelled):
        run_training(recipe_with(), options_for(tmp_path, a_data_folder, on_progress=watch, cancelled=stop))
    shutil.move(a_data_folder, tmp_path / "elsewhere")
    with pytest.raises(InputError, match="data folder .* does not exist"):
        run_training(recipe_with(), options_for(tmp_path, a_data_folder))
    shutil.move(tmp_path / "elsewhere", a_data_folder)
    assert run_training(recipe_with(), options_for(tmp_path, a_data_folder)).path.is_file()


def test_a_cache_that_vanishes_during_a_run_ends_it_in_words(tmp_path: Path, a_data_folder: Path) -> None:
    seen: list[int] = []

    def watch(now: TrainingProgress) -> None:
        seen.append(now.iteration)
        shutil.rmtree(tmp_path / "run" / "prepared", ignore_errors=True)

    settings = ("training.iterations=40", "training.threads=1")
    with pytest.raises(InputError, match="cannot be read any more.*continues from its last checkpoint"):
        run_training(recipe_with(*settings), options_for(tmp_path, a_data_folder, on_progress=watch))
    again = run_training(recipe_with(*settings, "training.iterations=40"), options_for(tmp_path, a_data_folder))
    assert again.path.is_file()


def test_fine_tuning_begins_where_the_model_ends(tmp_path: Path, a_data_folder: Path) -> None:
    first = run_training(recipe_with(), options_for(tmp_path, a_data_folder))
    said: list[str] = []
    options = RunOptions(
        folder=tmp_path / "tuned", data=a_data_folder, init=first.path, on_said=said.append, cancelled=lambda: False
    )
    settings = ("training.iterations=1", "training.epoch=1", "optimizer.lr=1e-12", "data.validation=0")
    tuned = run_training(recipe_with(*settings), options)
    one, other = (load_segmentation_model(path).network.state_dict() for path in (first.path, tuned.path))
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, atol=2e-3, rtol=1e-3)  # stored in half precision


def test_a_model_that_began_as_another_keeps_its_notice(tmp_path: Path, a_data_folder: Path) -> None:
    notice = "Not for commercial use."
    recipe = recipe_with()
    first = run_training({**recipe, "card": {"extra": {"notice": notice}}}, options_for(tmp_path, a_data_folder))
    options = RunOptions(folder=tmp_path / "tuned", data=a_data_folder, init=first.path)
    tuned = run_training(recipe, options)
    assert load_segmentation_model(tuned.path).card.extra["notice"] == notice


def test_two_processes_do_not_train_in_one_folder(tmp_path: Path, a_data_folder: Path) -> None:
    """The second is told; a list shows that the first runs; its end, however it comes, frees the folder."""
    seen: list[str] = []

    def watch(now: TrainingProgress) -> None:
        seen.append(list_runs(tmp_path)[0].state)
        with pytest.raises(InputError, match="Another process trains in .* at the moment; wait for its end"):
            run_training(recipe_with(), options_for(tmp_path, a_data_folder))
        raise Cancelled("enough seen")

    with pytest.raises(Cancelled, match="enough seen"):
        run_training(recipe_with(), options_for(tmp_path, a_data_folder, on_progress=watch))
    assert seen == ["running"] and list_runs(tmp_path)[0].state == "paused"
    run_training(recipe_with(), options_for(tmp_path, a_data_folder))
    assert list_runs(tmp_path)[0].state == "finished"
