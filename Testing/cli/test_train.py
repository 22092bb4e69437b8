"""``momentumseg train``: a folder of volumes becomes a model, and a bad request becomes a sentence."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from momentumseg.cli.interrupts import asked_to_stop
from momentumseg.io.write import write_volume
from momentumseg.volumes.volume import Volume
from momentumseg.weights.loading import load_few_shot_model
from momentumseg.weights.segmentation_models import load_segmentation_model

TINY = """
network = { backbone = { name = "tiny", channels = 8 }, head = { name = "prototype" } }
optimizer = { name = "adamw", lr = 1e-3 }
data = { size = 64, phantoms = 0, regions = [{ method = "felzenszwalb", min_size = 60 }] }
episodes = { larger_area = 20, smaller_area = 5 }
training = { iterations = 2 }
"""


@pytest.fixture
def a_recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY, encoding="utf-8")
    return path


@pytest.fixture
def a_data_folder(tmp_path: Path, a_phantom_volume: Volume, a_phantom_labelmap: Volume) -> Path:
    """Five labelled cases that are not quite the same."""
    folder = tmp_path / "data"
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for case in range(5):
        shifted = np.roll(a_phantom_volume.array, case, axis=2)
        write_volume(a_phantom_volume.like(shifted), folder / "images" / f"case_{case}.nii.gz")
        write_volume(
            a_phantom_labelmap.like(np.roll(a_phantom_labelmap.array, case, axis=2)),
            folder / "labels" / f"case_{case}.nii.gz",
        )
    return folder


def test_volumes_become_a_model_that_can_be_evaluated(
    momentumseg, a_recipe: Path, a_data_folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    answer = momentumseg("train", a_recipe, "--data", a_data_folder, "--output", run, "--fold", 0, "--json")
    assert answer.exit_code == 0, answer.stderr
    model = Path(answer.json["model"])
    assert answer.json["cases"] == ["case_2", "case_3", "case_4"]  # fold 0 of five cases tests 0 and 1
    assert load_few_shot_model(model).recipe["data"]["training_cases"] == answer.json["cases"]

    report = tmp_path / "report.json"
    arguments = ["evaluate", "fewshot", "--data", a_data_folder, "--model", model, "--output", report, "--no-surface"]
    refused = momentumseg(*arguments, "--fold", 1)
    assert refused.exit_code == 3
    assert "--allow-overlap" in refused.sentence
    assert not report.exists()
    answer = momentumseg(*arguments, "--fold", 0, "--label-names", "1=ball,2=box", "--json")
    assert answer.exit_code == 0, answer.stderr
    assert answer.json["label_names"] == {"1": "ball", "2": "box"}
    assert "ball" in report.with_suffix(".md").read_text(encoding="utf-8")

    drawn = momentumseg(*arguments, "--protocol", "user", "--supports", "1", "--cases", "case_0")
    assert drawn.exit_code == 0, drawn.stderr
    assert "label 1" in drawn.stdout


def test_bad_requests(momentumseg, a_recipe: Path, a_data_folder: Path, tmp_path: Path) -> None:
    good = {"recipe": a_recipe, "data": a_data_folder, "output": tmp_path / "run"}
    empty = tmp_path / "empty"
    empty.mkdir()
    for code, changed in [
        (3, {"recipe": "no-such-recipe"}),
        (3, {"data": tmp_path / "absent"}),
        (3, {"data": empty}),
        (3, {"fold": 9}),
        (3, {"case": "case_99"}),
        (3, {"set": "training.iterations"}),
        (3, {"device": "abacus"}),
        (5, {"output": tmp_path / "no" / "folder"}),
    ]:
        options = {**good, **changed}
        recipe = options.pop("recipe")
        answer = momentumseg(
            "train", recipe, *(part for name, value in options.items() for part in (f"--{name}", value))
        )
        assert answer.exit_code == code, (changed, answer.stderr)
        assert not (tmp_path / "run").exists()


AUTOMATIC = (
    "momentum-resunet-3d-laptop",
    "network.widths=[4,8]",
    "data.patch=[8,16,16]",
    "data.labels={1='ball',2='box'}",
    "training.epoch=1",
)


def test_labelled_volumes_become_an_automatic_model(momentumseg, a_data_folder: Path, tmp_path: Path) -> None:
    """Settings behind the recipe and by --set; the run is told, can be repeated, and its model fine-tuned."""
    run = tmp_path / "run"
    arguments = ["train", *AUTOMATIC, "--set", "training.iterations=2", "--data", a_data_folder, "--title", "balls"]
    answer = momentumseg(*arguments, "--output", run, "--json")
    assert answer.exit_code == 0, answer.stderr
    assert set(answer.json["metrics"]) >= {"best_score", "dice_ball", "dice_box"}
    assert len(answer.json["cases"]) == 4  # one of five validates
    assert answer.stderr.count("validation Dice") == 2
    loaded = load_segmentation_model(Path(answer.json["model"]))
    assert loaded.card.name == "balls" and loaded.statistics.labels.names == ("ball", "box")

    again = momentumseg(*arguments, "--output", run, "--json")
    assert again.exit_code == 0 and again.json["metrics"] == answer.json["metrics"]
    refused = momentumseg(*arguments, "training.seed=1", "--output", run)
    assert refused.exit_code == 3 and "another recipe" in refused.sentence
    tuned = momentumseg(*arguments, "--output", tmp_path / "tuned", "--init", answer.json["model"])
    assert tuned.exit_code == 0, tuned.stderr


def test_a_run_can_be_checked_beforehand(momentumseg, a_data_folder: Path, tmp_path: Path) -> None:
    arguments = ["train", *AUTOMATIC, "--data", a_data_folder, "--output", tmp_path / "run"]
    answer = momentumseg(*arguments, "--check", "--json")
    assert answer.exit_code == 0, answer.stderr
    assert answer.json["labelled"] == 5 and answer.json["labels"] == ["ball", "box"] and not answer.json["problems"]
    assert not (tmp_path / "run" / "model.safetensors").exists()
    words = momentumseg(*arguments, "--check", "--case", "case_1")
    assert words.exit_code == 0 and "Problem: All labels are of one patient" in words.stdout


def test_few_shot_recipes_refuse_what_only_automatic_ones_have(
    momentumseg, a_recipe: Path, a_data_folder: Path, tmp_path: Path
) -> None:
    answer = momentumseg("train", a_recipe, "--data", a_data_folder, "--output", tmp_path / "run", "--title", "mine")
    assert answer.exit_code == 3 and "few-shot model, which has no --init, --title or --check" in answer.sentence


@pytest.fixture
def an_interruptible_process() -> Iterator[None]:
    """Ctrl-C raises, also where the tests themselves were started to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_first_ctrl_c_asks_and_the_second_insists(an_interruptible_process: None) -> None:
    heard: list[str] = []
    with asked_to_stop(lambda: heard.append("once")) as stop:
        assert not stop()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop()
        assert heard == ["once"]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_ignored_ctrl_c_stays_ignored(an_interruptible_process: None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with asked_to_stop(lambda: None) as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert not stop()
