"""Training through a real worker: cases of a scene, runs that pause, are killed and go on, models with a card."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from momentumseg.io.read import read_labelmap, read_volume
from momentumseg.volumes.volume import Volume

NAMES = {1: "Kern", 2: "Hülle"}
TINY = [
    "network.widths=[4, 8]",
    "network.units=1",
    "data.patch=[8, 8, 8]",
    "data.validation=1",
    "training.batch=2",
    "training.precision=float32",
]
RECIPE = "resunet-3d-laptop"


def a_case(seed: int) -> tuple[Volume, np.ndarray]:
    """Image (10, 14, 12) with a shell (2) around a core (1), and its labelmap."""
    rng = np.random.default_rng(seed)
    k, j, i = np.ogrid[:10, :14, :12]
    middle = rng.uniform((4, 5, 5), (6, 8, 7))
    distance = np.sqrt((k - middle[0]) ** 2 + (j - middle[1]) ** 2 + (i - middle[2]) ** 2)
    labels = np.where(distance < 2.2, 1, np.where(distance < 4, 2, 0)).astype(np.uint8)
    image = (np.array((0, 200, 100))[labels] + rng.normal(0, 10, labels.shape)).astype(np.int16)
    return Volume(image, np.diag((-1.0, -1.0, 1.0, 1.0)), f"case {seed}"), labels


def send_cases(worker: Any, run: Path, count: int = 3, **changed: Any) -> None:
    """Cases of a scene, as the application sends them; the last one has no labels."""
    for seed in range(count + 1):
        volume, labels = a_case(seed)
        worker.call(*worker.set_volume("case", volume))
        labelled = seed < count
        parameters = {"run_folder": str(run), "name": f"Fall {seed}", "patient": f"P{seed}", "volume": "case"}
        parameters |= {"has_labels": labelled, "labels": NAMES if labelled else None}
        worker.call("add_training_case", {**parameters, **changed}, {"labelmap": labels} if labelled else None)
        worker.call("forget_volume", {"volume": "case"})


def request(run: Path, iterations: int, epoch: int = 2, **changed: Any) -> dict[str, Any]:
    settings = [*TINY, f"training.iterations={iterations}", f"training.epoch={epoch}"]
    fixed = {"recipe": RECIPE, "settings": settings, "data": str(run / "data"), "run_folder": str(run)}
    return {**fixed, "device": "cpu", "title": "Kern & Hülle", **changed}


def runs_of(worker: Any, folder: Path) -> list[dict[str, Any]]:
    return worker.call("training_runs", {"folder": str(folder)})[0]["runs"]


@pytest.fixture
def a_run_folder(a_worker: Any, tmp_path: Path) -> Path:
    """A run with three labelled cases and one without labels, not yet begun; its folder has blanks and umlauts."""
    run = tmp_path / "Läufe" / "ein Lauf"
    send_cases(a_worker, run)
    return run


def test_recipes_are_described_in_plain_words(a_worker: Any) -> None:
    listed = a_worker.call("list_recipes")[0]["recipes"]
    recipes = {recipe["name"]: recipe for recipe in listed}
    assert listed[0]["strategy"] == "supervised" and listed[0]["name"].endswith("-laptop"), "what to begin with"
    assert {RECIPE, "momentum-resunet-3d-laptop"} <= set(recipes)
    assert not {"automatic-laptop", "automatic-gpu", "lms-laptop"} & set(recipes), (
        "bases and few-shot recipes are not offered"
    )
    recipe = recipes[RECIPE]
    assert recipe["dimensions"] == 3 and recipe["network"] == "resunet" and recipe["strategy"] == "supervised"
    for described in recipes.values():
        assert described["title"] and described["purpose"] and described["needs"], described["name"]


def test_cases_of_a_scene_become_files(a_run_folder: Path) -> None:
    data = a_run_folder / "data"
    assert sorted(path.name for path in (data / "images").iterdir()) == [f"Fall {n}.nii.gz" for n in range(4)]
    assert sorted(path.name for path in (data / "labels").iterdir()) == [f"Fall {n}.nii.gz" for n in range(3)]
    volume, labels = a_case(1)
    written = read_volume(data / "images" / "Fall 1.nii.gz")
    np.testing.assert_array_equal(written.array, volume.array)
    np.testing.assert_allclose(written.ijk_to_ras, volume.ijk_to_ras, atol=1e-5)
    np.testing.assert_array_equal(read_labelmap(data / "labels" / "Fall 1.nii.gz").array, labels)
    description = json.loads((data / "dataset.json").read_text(encoding="utf-8"))
    assert description["labels"] == {"Kern": 1, "Hülle": 2}
    assert description["patients"]["Fall 2"] == "P2"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"name": "../escape"}, "cannot be called '../escape'"),
        ({"labels": {1: "Kern"}}, "hold 2, which has no name"),
        ({"labels": None}, "have no names"),
        ({"labels": {1: "Kern", 2: "Kern"}}, "Label 2 is called 'Hülle' in one case and 'Kern' in another"),
        ({"volume": "gone"}, "does not have the volume 'gone'"),
        ({"run_folder": " "}, "No folder was named"),
    ],
)
def test_cases_that_cannot_be_used_are_refused(
    a_worker: Any, a_run_folder: Path, changed: dict[str, Any], words: str
) -> None:
    volume, labels = a_case(7)
    a_worker.call(*a_worker.set_volume("case", volume))
    parameters = {"run_folder": str(a_run_folder), "name": "new", "patient": "", "volume": "case"}
    parameters |= {"has_labels": True, "labels": NAMES, **changed}
    assert words in a_worker.fail("add_training_case", parameters, {"labelmap": labels}).sentence
    assert not (a_run_folder / "data" / "images" / "new.nii.gz").exists()


def test_labels_on_other_voxels_are_refused(a_worker: Any, a_run_folder: Path) -> None:
    volume, labels = a_case(7)
    a_worker.call(*a_worker.set_volume("case", volume))
    parameters = {"run_folder": str(a_run_folder), "name": "new", "volume": "case", "has_labels": True, "labels": NAMES}
    failure = a_worker.fail("add_training_case", parameters, {"labelmap": labels[1:]})
    assert "The labels of new have (9, 14, 12) voxels, its volume (10, 14, 12)" in failure.sentence


def test_a_check_says_what_a_run_has_and_takes(a_worker: Any, a_run_folder: Path) -> None:
    report, _ = a_worker.call("check_training", request(a_run_folder, iterations=100))
    assert (report["cases"], report["labelled"], report["unlabelled"], report["patients"]) == (4, 3, 1, 4)
    assert report["labels"] == ["Kern", "Hülle"] and report["problems"] == [] and report["iterations"] == 100
    assert report["estimated_seconds"] == pytest.approx(100 * report["seconds_per_iteration"])
    memory = report["memory"]
    assert memory["fits"] and memory["available_bytes"] > memory["estimate_bytes"] > 0
    assert memory["proposal"] is None
    assert not (a_run_folder / "checkpoint.pt").exists() and runs_of(a_worker, a_run_folder.parent) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"data": "/nowhere at all"}, "The data folder /nowhere at all does not exist"),
        ({"settings": ["data.patch=[8, 8]"]}, "does not fit data.plane"),
        ({"settings": ["training.iterations=0"]}, "training.iterations is 0"),
        ({"settings": ["nonsense"]}, "not of the form table.key=value"),
        ({"recipe": "no-such-recipe"}, "There is no recipe 'no-such-recipe'"),
        ({"recipe": "lms-laptop"}, "trains a few-shot model"),
    ],
)
def test_what_stands_in_the_way_is_a_problem_in_words(
    a_worker: Any, a_run_folder: Path, changed: dict[str, Any], words: str
) -> None:
    report, _ = a_worker.call("check_training", {**request(a_run_folder, iterations=4), **changed})
    assert len(report["problems"]) == 1 and words in report["problems"][0]
    assert words in a_worker.fail("train", {**request(a_run_folder, iterations=4), **changed}).sentence


def test_what_a_check_prepared_is_not_prepared_again(a_worker: Any, a_run_folder: Path) -> None:
    data, run = a_run_folder.with_name("a folder of the user"), a_run_folder.with_name("its run")
    (a_run_folder / "data").rename(data)
    parameters = request(run, iterations=2, data=str(data))
    without_folder = {name: value for name, value in parameters.items() if name != "run_folder"}
    assert a_worker.call("check_training", without_folder)[0]["problems"] == []
    assert not run.exists()
    job = a_worker.send("train", parameters)
    a_worker.wait_until(lambda: bool(a_worker.of(job, "partial")) or not job.is_active)
    a_worker.wait(job)
    began = min(path.stat().st_mtime for path in (run / "prepared").glob("*/image.npy"))
    assert began < (run / "splits.json").stat().st_mtime


def test_a_single_case_is_a_problem(a_worker: Any, tmp_path: Path) -> None:
    send_cases(a_worker, tmp_path / "run", count=1)
    report, _ = a_worker.call("check_training", request(tmp_path / "run", iterations=4))
    assert "All labels are of one patient (P0)" in report["problems"][0]


def test_a_run_is_watched_finished_listed_and_saved(a_worker: Any, a_run_folder: Path) -> None:
    job = a_worker.send("train", request(a_run_folder, iterations=6))
    a_worker.wait(job)
    kind, values, _ = a_worker.end_of(job)
    assert kind == "result" and values["run_folder"] == str(a_run_folder)
    assert set(values["metrics"]["dice"]) <= set(NAMES.values()) and 0 <= values["score"] <= 1
    partials = a_worker.of(job, "partial")
    assert [facts["iteration"] for facts, _ in partials] == [2, 4, 6]
    facts, pictures = partials[-1]
    assert (
        facts["iterations"] == 6
        and facts["epoch"] == 3
        and facts["losses"]["loss"] > 0
        and facts["case"].startswith("Fall ")
    )
    assert {"dice", "mean"} == set(facts["metrics"])
    assert pictures["image"].dtype == np.uint8 and pictures["image"].shape == pictures["predicted"].shape == (14, 12)
    assert set(np.unique(pictures["reference"])) <= {0, 1, 2}

    (run,) = runs_of(a_worker, a_run_folder.parent)
    assert (run["state"], run["iteration"], run["iterations"]) == ("finished", 6, 6)
    assert run["title"] == "Kern & Hülle" and run["score"] == pytest.approx(values["score"])
    assert Path(run["data"]) == a_run_folder / "data"

    card = {"title": "Kern und Hülle", "licence": "CC BY 4.0", "training_data": "drei Fälle"}
    saved = {"run_folder": str(a_run_folder), "name": "kern-huelle", **card}
    kept, _ = a_worker.call("save_trained_model", saved)
    assert Path(kept["path"]).is_file() and kept["name"] == "kern-huelle"
    models = a_worker.call("list_models", {"kind": "automatic"})[0]["models"]
    (model,) = [model for model in models if model["name"] == "kern-huelle"]
    assert (model["title"], model["licence"], model["training_data"]) == tuple(card.values())
    assert model["metrics"]
    a_worker.call("save_trained_model", {**saved, "licence": "CC0"})  # the same run may be saved anew

    elsewhere = a_run_folder.with_name("copy")
    elsewhere.mkdir()
    (elsewhere / "model.safetensors").write_bytes((a_run_folder / "model.safetensors").read_bytes())
    failure = a_worker.fail("save_trained_model", {**saved, "run_folder": str(elsewhere)})
    assert "There is a model called kern-huelle already" in failure.sentence
    a_worker.call("delete_model", {"name": "kern-huelle"})


def test_a_run_that_failed_before_its_first_checkpoint_may_begin_otherwise(a_worker: Any, a_run_folder: Path) -> None:
    a_worker.call("train", request(a_run_folder, iterations=2))
    for name in ("checkpoint.pt", "best.pt", "log.jsonl", "model.safetensors"):
        (a_run_folder / name).unlink()
    a_worker.call("train", request(a_run_folder, iterations=3, epoch=3))
    (run,) = runs_of(a_worker, a_run_folder.parent)
    assert (run["iteration"], run["iterations"]) == (3, 3)


def test_a_run_can_be_moved_with_its_cases(a_worker: Any, a_run_folder: Path) -> None:
    pause_after(a_worker, request(a_run_folder, iterations=100_000))
    moved = a_run_folder.with_name("moved")
    a_run_folder.rename(moved)
    assert a_worker.call("finish_training", {"run_folder": str(moved)})[0]["run_folder"] == str(moved)
    assert (moved / "model.safetensors").is_file()


def pause_after(worker: Any, parameters: dict[str, Any], partials: int = 1) -> list[int]:
    """Train until that many reports came, then pause; the iterations that were reported."""
    job = worker.send("train", parameters)
    worker.wait_until(lambda: len(worker.of(job, "partial")) >= partials or not job.is_active)
    job.cancel()
    worker.wait(job)
    kind, failure = worker.end_of(job)[:2]
    assert kind == "error" and failure.kind == "cancelled", failure
    return [facts["iteration"] for facts, _ in worker.of(job, "partial")]


def test_a_paused_run_goes_on_with_what_it_began_with_and_can_be_kept(a_worker: Any, a_run_folder: Path) -> None:
    first = pause_after(a_worker, request(a_run_folder, iterations=100_000))
    (run,) = runs_of(a_worker, a_run_folder.parent)
    assert run["state"] == "paused" and run["iteration"] >= first[-1] and run["iterations"] == 100_000
    again = request(a_run_folder, iterations=3, recipe=run["recipe"], settings=[], data="", title="other")
    second = pause_after(a_worker, again, partials=2)
    assert second[0] > first[-1], "it went on"
    values, _ = a_worker.call("finish_training", {"run_folder": str(a_run_folder), "device": "cpu"})
    assert values["score"] is not None and (a_run_folder / "model.safetensors").is_file()
    (run,) = runs_of(a_worker, a_run_folder.parent)
    assert (run["state"], run["title"]) == ("finished", "Kern & Hülle")


def test_a_run_that_was_killed_twice_ends_as_one_that_was_not(
    a_client_of: Callable[..., Any], a_launch: Callable[..., Any], a_worker: Any, tmp_path: Path
) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for run in (killed, whole):
        send_cases(a_worker, run)
    for _ in range(2):
        victim = a_client_of(a_launch())
        job = victim.send("train", request(killed, iterations=24))
        victim.wait_until(lambda v=victim, j=job: len(v.of(j, "partial")) >= 3)
        os.kill(victim.client.hello["pid"], getattr(signal, "SIGKILL", signal.SIGTERM))
        victim.wait(job)
        assert victim.end_of(job)[1].kind == "crashed"
    (run,) = [run for run in runs_of(a_worker, tmp_path) if run["run_folder"] == str(killed)]
    assert run["state"] == "paused" and run["iteration"] >= 8
    for folder in (killed, whole):
        a_worker.call("train", request(folder, iterations=24))
    mine, theirs = (load_file(folder / "model.safetensors") for folder in (killed, whole))
    assert set(mine) == set(theirs)
    for name in mine:
        np.testing.assert_array_equal(mine[name], theirs[name])


def test_folders_without_runs(a_worker: Any, tmp_path: Path) -> None:
    assert runs_of(a_worker, tmp_path / "nowhere") == [] == runs_of(a_worker, tmp_path)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "run.json").write_text("[]")
    assert runs_of(a_worker, tmp_path) == []
    failure = a_worker.fail("finish_training", {"run_folder": str(tmp_path / "foreign")})
    assert "holds no training run" in failure.sentence
    missing = {"run_folder": str(tmp_path), "name": "x", "title": "", "licence": "", "training_data": ""}
    assert "finish the training first" in a_worker.fail("save_trained_model", missing).sentence


def test_a_data_folder_that_vanished_ends_in_words_and_the_run_stays(a_worker: Any, a_run_folder: Path) -> None:
    pause_after(a_worker, request(a_run_folder, iterations=100_000))
    data, away = a_run_folder / "data", a_run_folder / "away"
    data.rename(away)
    failure = a_worker.fail("train", request(a_run_folder, iterations=100_000))
    assert "data does not exist" in failure.sentence
    away.rename(data)
    assert runs_of(a_worker, a_run_folder.parent)[0]["state"] == "paused"
    a_worker.call("finish_training", {"run_folder": str(a_run_folder)})
