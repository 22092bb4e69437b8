"""``momentumseg automatic``: results are written whole, and bad input is refused in one sentence before that."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pytest

from momentumseg.io.read import read_labelmap, read_volume
from momentumseg.io.write import write_volume
from momentumseg.sessions.automatic import AutomaticSession
from momentumseg.training.splits import Split
from momentumseg.weights.segmentation_models import load_segmentation_model

if TYPE_CHECKING:
    from Testing.cli.conftest import Command, DrawnCase


@pytest.fixture(scope="module")
def an_automatic_file(tmp_path_factory: pytest.TempPathFactory, automatic_fakes: ModuleType) -> Path:
    return automatic_fakes.save_automatic_model(tmp_path_factory.mktemp("model ü") / "abdomen.safetensors")


def arguments(case: DrawnCase, model: Path | str, *more: object, volume: Path | None = None) -> list[object]:
    return ["automatic", volume or case.volume, "--model", model, "--output", case.folder / "mask.nrrd", *more]


def outputs(case: DrawnCase) -> set[str]:
    return {path.name for path in case.folder.iterdir()} - {"volume.nii.gz", "drawn.nii.gz"}


def test_volume_is_labelled(momentumseg: Command, a_drawn_case: DrawnCase, an_automatic_file: Path) -> None:
    unsure = a_drawn_case.folder / "unsure.nii.gz"
    answer = momentumseg(*arguments(a_drawn_case, an_automatic_file, "--uncertainty", unsure), "--json")
    assert answer.exit_code == 0, answer.stderr
    with AutomaticSession(load_segmentation_model(an_automatic_file)) as session:
        session.set_volume(read_volume(a_drawn_case.volume))
        expected = session.segment()
    mask = read_labelmap(a_drawn_case.folder / "mask.nrrd")
    np.testing.assert_array_equal(mask.array, expected.labelmap.array)
    np.testing.assert_allclose(mask.ijk_to_ras, a_drawn_case.image.ijk_to_ras, atol=1e-4)
    np.testing.assert_allclose(read_volume(unsure).array, expected.uncertainty.array, atol=1e-5)
    for row, name in zip(answer.json["labels"], ("organ", "tumour"), strict=True):
        voxels = int(np.count_nonzero(mask.array == row["label"]))
        assert (row["name"], row["voxels"]) == (name, voxels)
        assert row["milliliters"] == pytest.approx(voxels * 1.5 * 1.5 * 5 / 1000, abs=1e-3)
    assert outputs(a_drawn_case) == {"mask.nrrd", "unsure.nii.gz"}


def test_words_name_the_structures_and_the_file(
    momentumseg: Command, a_drawn_case: DrawnCase, an_automatic_file: Path
) -> None:
    answer = momentumseg(*arguments(a_drawn_case, an_automatic_file))
    assert "Label 1, organ:" in answer.stdout
    assert str(a_drawn_case.folder / "mask.nrrd") in answer.stdout
    assert "licence of its weights: CC BY 4.0" in answer.stderr


def test_box_and_mirror_are_passed_on(momentumseg: Command, a_drawn_case: DrawnCase, an_automatic_file: Path) -> None:
    momentumseg(*arguments(a_drawn_case, an_automatic_file, "--box", "5:20,8:30,2:9", "--mirror"))
    with AutomaticSession(load_segmentation_model(an_automatic_file)) as session:
        session.set_volume(read_volume(a_drawn_case.volume))
        expected = session.segment(box=((5, 21), (8, 31), (2, 10)), mirror=True)
    np.testing.assert_array_equal(read_labelmap(a_drawn_case.folder / "mask.nrrd").array, expected.labelmap.array)


def test_further_channels_are_read(
    momentumseg: Command, a_drawn_case: DrawnCase, automatic_fakes: ModuleType, tmp_path: Path
) -> None:
    model = automatic_fakes.save_automatic_model(tmp_path / "two.safetensors", channels=("T1", "T2"))
    second = a_drawn_case.write("second.nrrd", a_drawn_case.image.array[::-1].copy())
    assert momentumseg(*arguments(a_drawn_case, model, "--channel", second)).exit_code == 0
    assert "2 images of each case (T1, T2)" in refused(momentumseg, a_drawn_case, 3, arguments(a_drawn_case, model))


# Bad input


def refused(momentumseg: Command, case: DrawnCase, code: int, words: list[object]) -> str:
    """The sentence of a refusal; checks that nothing was written and an older result stayed."""
    older = case.folder / "mask.nrrd"
    older.write_bytes(b"an older result")
    before = outputs(case)
    answer = momentumseg(*words)
    assert answer.exit_code == code, answer.stderr
    assert (answer.stdout, outputs(case)) == ("", before)
    assert older.read_bytes() == b"an older result"
    return answer.sentence


def test_models_of_other_methods(momentumseg: Command, a_drawn_case: DrawnCase, a_model_file: Path) -> None:
    sentence = refused(momentumseg, a_drawn_case, 4, arguments(a_drawn_case, a_model_file))
    assert "'momentumseg fewshot'" in sentence


def test_automatic_model_given_to_fewshot(
    momentumseg: Command, a_drawn_case: DrawnCase, an_automatic_file: Path
) -> None:
    sentence = refused(momentumseg, a_drawn_case, 4, a_drawn_case.arguments(an_automatic_file))
    assert "'momentumseg automatic'" in sentence


def test_files_that_cannot_be_used(momentumseg: Command, a_drawn_case: DrawnCase, an_automatic_file: Path) -> None:
    absent = a_drawn_case.folder / "absent.nrrd"
    sentence = refused(momentumseg, a_drawn_case, 3, arguments(a_drawn_case, an_automatic_file, volume=absent))
    assert "does not exist" in sentence
    refused(momentumseg, a_drawn_case, 4, arguments(a_drawn_case, "no-such-name"))
    flat = a_drawn_case.write("flat.nrrd", np.full(a_drawn_case.image.shape, 7.0, dtype=np.float32))
    assert "flat.nrrd" in refused(momentumseg, a_drawn_case, 3, arguments(a_drawn_case, an_automatic_file, volume=flat))


def test_outputs_that_would_destroy_something(
    momentumseg: Command, a_drawn_case: DrawnCase, an_automatic_file: Path
) -> None:
    words = ["automatic", a_drawn_case.volume, "--model", an_automatic_file, "--output", a_drawn_case.volume]
    assert "one of the inputs" in refused(momentumseg, a_drawn_case, 3, words)
    same = arguments(a_drawn_case, an_automatic_file, "--uncertainty", a_drawn_case.folder / "mask.nrrd")
    assert "two names" in refused(momentumseg, a_drawn_case, 3, same)
    nowhere = arguments(a_drawn_case, an_automatic_file, "--uncertainty", a_drawn_case.folder / "none" / "u.nrrd")
    assert "does not exist" in refused(momentumseg, a_drawn_case, 5, nowhere)


def test_box_that_has_nothing_of_the_volume(
    momentumseg: Command, a_drawn_case: DrawnCase, an_automatic_file: Path
) -> None:
    words = arguments(a_drawn_case, an_automatic_file, "--box", "90:99,0:5,0:5")
    assert "contains nothing of the volume" in refused(momentumseg, a_drawn_case, 3, words)


# Evaluation


def test_models_are_evaluated_on_the_test_cases_of_a_run(
    momentumseg: Command, a_drawn_case: DrawnCase, automatic_fakes: ModuleType, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    for name in ("p1", "p2_frame01", "p2_frame02"):
        for folder, volume in (("images", a_drawn_case.image), ("labels", a_drawn_case.labels)):
            (data / folder).mkdir(parents=True, exist_ok=True)
            write_volume(volume, data / folder / f"{name}.nii.gz")
    Split(train=("p1",), test=("p2_frame01", "p2_frame02")).write(tmp_path / "splits.json")
    models = [
        automatic_fakes.save_automatic_model(tmp_path / f"seed{seed}.safetensors", seed, training_cases=("p1",))
        for seed in (0, 1)
    ]
    words = ["evaluate", "automatic", "--data", data, "--output", tmp_path / "r.json"]
    words += [part for model in models for part in ("--model", model)]
    answer = momentumseg(*words, "--split", tmp_path / "splits.json", "--json")
    assert answer.exit_code == 0, answer.stderr
    assert {row["patient"] for row in answer.json["folds"][0]["scores"]} == {"p2"}
    assert answer.json["summary"]["dice"]["over models"]["all"]["count"] == 2
    assert "| organ | tumour | all |" in (tmp_path / "r.md").read_text(encoding="utf-8")
    sentence = momentumseg(*words).sentence
    assert "used 1 of the cases (p1)" in sentence
    both = momentumseg(*words, "--split", tmp_path / "splits.json", "--cases", "p1")
    assert (both.exit_code, "either --split or --cases" in both.sentence) == (3, True)
