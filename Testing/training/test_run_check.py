from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from momentumseg.errors import Cancelled
from momentumseg.io.write import write_volume
from momentumseg.recipes.reading import read_recipe
from momentumseg.training.run import RunOptions
from momentumseg.training.run_check import RunCheck, check_training
from momentumseg.volumes.volume import Volume

TINY = ("network.widths=[4, 8]", "network.units=2", "data.patch=[8, 16, 16]", "data.spacing=own")


@pytest.fixture
def a_data_folder(tmp_path: Path, a_phantom_volume: Volume, a_phantom_labelmap: Volume) -> Path:
    """Three cases of two patients with labels, and one of a third without."""
    for index, name in enumerate(("anna_t1", "anna_t2", "bert", "carl")):
        for folder in ("images", "labels"):
            (tmp_path / "data" / folder).mkdir(parents=True, exist_ok=True)
        moved = np.roll(a_phantom_volume.array, index, axis=2)
        write_volume(a_phantom_volume.like(moved), tmp_path / "data" / "images" / f"{name}.nii.gz")
        if name != "carl":
            labels = a_phantom_labelmap.like(np.roll(a_phantom_labelmap.array, index, axis=2))
            write_volume(labels, tmp_path / "data" / "labels" / f"{name}.nii.gz")
    (tmp_path / "data" / "dataset.json").write_text(json.dumps({"labels": {"ball": 1, "box": 2}}))
    return tmp_path / "data"


def check(data: Path, tmp_path: Path, *settings: str, **more: object) -> RunCheck:
    recipe = read_recipe("momentum-resunet-3d-laptop", [*TINY, *settings])
    return check_training(recipe, RunOptions(folder=tmp_path / "run", data=data, **more))


def test_data_and_time_are_told_before_the_run(tmp_path: Path, a_data_folder: Path) -> None:
    found = check(a_data_folder, tmp_path, "training.iterations=200")
    assert (found.cases, found.labelled, found.unlabelled, found.patients) == (4, 3, 1, 3)
    assert found.labels == ("ball", "box") and found.problems == ()
    assert "Only 2 patients have labels" in found.warnings[0]
    assert found.seconds_per_iteration > 0
    assert found.estimated_seconds == pytest.approx(200 * found.seconds_per_iteration)
    assert found.to_mapping()["iterations"] == 200
    assert found.fits and found.proposal is None and found.available_bytes > found.memory_bytes > 100_000
    assert set(found.memory_by_mode) == {"autograd", "checkpoint", "reversible"}
    assert found.sentences()[0] == "4 cases of 3 patients, 3 labelled and 1 not: ball, box."
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["prepared"]


def test_a_run_that_does_not_fit_gets_a_proposal_that_does(
    tmp_path: Path, a_data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ("training.batch=16", "data.patch=[8, 32, 32]")
    needed = check(a_data_folder, tmp_path, *settings).memory_bytes
    monkeypatch.setattr("momentumseg.training.run_check.available_bytes", lambda device: needed // 2)
    found = check(a_data_folder, tmp_path, *settings)
    assert not found.fits and found.seconds_per_iteration is None
    assert found.proposal.settings and found.proposal.total <= needed // 2
    assert any(found.proposal.sentence in line for line in found.sentences())
    mended = check(a_data_folder, tmp_path, *settings, *found.proposal.settings)
    assert mended.fits and mended.seconds_per_iteration > 0


def test_what_forbids_a_run_is_a_problem_in_words(tmp_path: Path, a_data_folder: Path) -> None:
    assert "does not exist" in check(tmp_path / "absent", tmp_path).problems[0]
    assert "every side must be a multiple" in check(a_data_folder, tmp_path, "data.patch=[7, 16, 16]").problems[0]
    alone = check(a_data_folder, tmp_path, cases=["bert"])
    assert "All labels are of one patient" in alone.problems[0] and alone.cases == 1
    assert "Problem: " + alone.problems[0] in alone.sentences()


def test_a_check_can_be_cancelled(tmp_path: Path, a_data_folder: Path) -> None:
    with pytest.raises(Cancelled):
        check(a_data_folder, tmp_path, cancelled=lambda: True)
