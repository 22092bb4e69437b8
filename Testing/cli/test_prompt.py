"""``momentumseg prompt``: what is written, and a sentence for each prompt that cannot be used."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from momentumseg.cli.prompt_options import (
    parse_box_prompt,
    parse_point_prompt,
    parse_roi,
    parse_scribble_prompt,
    parse_window,
)
from momentumseg.errors import InputError
from momentumseg.io.read import read_labelmap, read_volume
from momentumseg.sessions.prompt_objects import BoxPrompt, PointPrompt, ScribblePrompt

if TYPE_CHECKING:
    from Testing.cli.conftest import Command, DrawnCase

BOX = "6:4,5,28,34"


@pytest.fixture
def prompt(
    momentumseg: Command, a_drawn_case: DrawnCase, prompt_fakes: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """Runs the command on the phantom, with the tests' own model."""
    monkeypatch.setattr(
        "momentumseg.weights.prompt_models.load_prompt_model", lambda *arguments, **options: prompt_fakes.PromptModel()
    )

    def run(*arguments: object) -> Any:
        return momentumseg(
            "prompt", a_drawn_case.volume, "--output", a_drawn_case.folder / "mask.nrrd", *arguments
        )

    return run


def mask_of(case: DrawnCase) -> np.ndarray:
    return read_labelmap(case.folder / "mask.nrrd").array


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    return 2 * np.count_nonzero(found & truth) / (np.count_nonzero(found) + np.count_nonzero(truth))


def test_a_box_becomes_the_structure_in_the_volume(prompt, a_drawn_case: DrawnCase) -> None:
    unsure = a_drawn_case.folder / "unsure.nii.gz"
    answer = prompt("--box", BOX, "--uncertainty", unsure, "--json")
    assert answer.exit_code == 0, answer.stderr
    mask = mask_of(a_drawn_case)
    assert dice(mask == 1, a_drawn_case.labels.array == 1) > 0.9
    assert answer.json["labels"][0]["voxels"] == np.count_nonzero(mask)
    assert answer.json["prompts"] == [{"label": 1, "slice": 6, "predicted_iou": 0.75}]
    assert (answer.json["plane"], answer.json["ends"][0]["label"]) == ("axial", 1)
    uncertainty = read_volume(unsure).array
    assert 0.2 < uncertainty.max() <= 1
    written = read_labelmap(a_drawn_case.folder / "mask.nrrd")
    np.testing.assert_allclose(written.ijk_to_ras, a_drawn_case.image.ijk_to_ras)


def test_words_say_why_it_ended_and_what_to_do_next(prompt, a_drawn_case: DrawnCase) -> None:
    answer = prompt("--box", BOX)
    assert "predicted overlap 0.75" in answer.stdout
    assert "followed from slice" in answer.stdout
    assert "To make it better, prompt slice" in answer.stdout
    assert str(a_drawn_case.folder / "mask.nrrd") in answer.stdout


def test_labels_clicks_and_strokes(prompt, a_drawn_case: DrawnCase) -> None:
    answer = prompt(
        "--box", BOX, "--point", "6:16,20", "--point", "6:45,3,-", "--scribble", "7@5:36,14,38,18,39,22", "--no-follow"
    )
    assert answer.exit_code == 0, answer.stderr
    mask = mask_of(a_drawn_case)
    assert np.flatnonzero(mask.any(axis=(1, 2))).tolist() == [5, 6]
    assert set(np.unique(mask)) == {0, 1, 7}


def test_an_existing_mask_is_refined(prompt, a_drawn_case: DrawnCase) -> None:
    drawn = np.zeros_like(a_drawn_case.labels.array)
    drawn[6, 12:28, 12:18] = 4
    answer = prompt("--mask", a_drawn_case.write("rough.nrrd", drawn), "--no-follow", "--json")
    assert answer.json["prompts"][0]["label"] == 4
    assert mask_of(a_drawn_case)[6].any()


def test_a_3d_box_alone_prompts_and_bounds(prompt, a_drawn_case: DrawnCase) -> None:
    answer = prompt("--roi", "4:28,5:34,4:8", "--json")
    assert answer.exit_code == 0, answer.stderr
    assert answer.json["prompts"][0]["slice"] == 6
    assert np.flatnonzero(mask_of(a_drawn_case).any(axis=(1, 2))).tolist() == [4, 5, 6, 7, 8]
    prompt("--box", BOX, "--slices", "5:7")
    assert np.flatnonzero(mask_of(a_drawn_case).any(axis=(1, 2))).tolist() == [5, 6, 7]


def test_a_label_has_a_3d_box_of_its_own(prompt, a_drawn_case: DrawnCase) -> None:
    answer = prompt("--roi", "1@4:28,5:34,5:7", "--roi", "2@32:44,10:28,3:8", "--json")
    assert answer.exit_code == 0, answer.stderr
    mask = mask_of(a_drawn_case)
    assert np.flatnonzero((mask == 1).any(axis=(1, 2))).tolist() == [5, 6, 7]
    assert np.flatnonzero((mask == 2).any(axis=(1, 2))).tolist() == [3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "There is no prompt"),
        (["--box", "6:4,5,28"], "--box 14:30,60,140,170"),
        (["--box", "six:4,5,28,34"], "cannot be read"),
        (["--box", "99:4,5,28,34"], "Slice 99 does not exist: the axial slices are 0 to 11"),
        (["--box", "6:4,5,4,34"], "no area"),
        (["--box", "6:60,5,70,34"], "lies outside slice 6"),
        (["--point", "6:16,20", "--point", "6:16,20,-"], "inside and as outside"),
        (["--point", "0@6:16,20"], "Label 0"),
        (["--scribble", "6:16,20,3"], "cannot be read"),
        (["--roi", "4:28,5:34"], "no box"),
        (["--roi", "x@4:28,5:34,1:2"], "cannot be read"),
        (["--box", BOX, "--window", "40"], "LEVEL,WIDTH"),
        (["--box", BOX, "--slices", "0:2"], "lie outside the bounds"),
        (["--box", BOX, "--device", "warp"], "device 'warp'"),
        (["--mask", "lost.nrrd"], "lost.nrrd"),
    ],
)
def test_bad_prompts_are_refused_in_a_sentence(prompt, a_drawn_case: DrawnCase, arguments: list, words: str) -> None:
    older = a_drawn_case.folder / "mask.nrrd"
    older.write_bytes(b"an older result")
    answer = prompt(*arguments)
    assert answer.exit_code == 3
    assert words in answer.sentence
    assert answer.stdout == ""
    assert older.read_bytes() == b"an older result"


def test_outputs_are_checked_first(momentumseg, a_drawn_case: DrawnCase) -> None:
    answer = momentumseg("prompt", a_drawn_case.volume, "--output", a_drawn_case.volume, "--box", BOX)
    assert (answer.exit_code, "one of the inputs" in answer.sentence) == (3, True)
    out = a_drawn_case.folder / "m.nrrd"
    answer = momentumseg("prompt", a_drawn_case.volume, "--output", out, "--uncertainty", out, "--box", BOX)
    assert "the same name" in answer.sentence
    answer = momentumseg("prompt", a_drawn_case.volume, "--output", a_drawn_case.folder / "no" / "m.nrrd", "--box", BOX)
    assert answer.exit_code == 5


def test_a_constant_volume_is_refused(prompt, momentumseg, a_drawn_case: DrawnCase) -> None:
    flat = a_drawn_case.write("flat.nrrd", np.full_like(a_drawn_case.image.array, 3))
    answer = momentumseg("prompt", flat, "--output", a_drawn_case.folder / "m.nrrd", "--box", BOX)
    assert (answer.exit_code, "same value (3)" in answer.sentence) == (3, True)


def test_how_prompts_are_written() -> None:
    assert parse_box_prompt("14:30,60.5,140,170").prompt == BoxPrompt(30, 60.5, 140, 170)
    assert (parse_box_prompt(" 2 @ 14 : 1,2,3,4").label, parse_box_prompt("2@14:1,2,3,4").slice_index) == (2, 14)
    assert parse_point_prompt("3:1,2").prompt == PointPrompt(1, 2)
    assert parse_point_prompt("3:1,2,-").prompt == PointPrompt(1, 2, positive=False)
    assert parse_point_prompt("3:1,2, +").prompt == PointPrompt(1, 2)
    assert parse_point_prompt("3:-0.4,2").prompt == PointPrompt(-0.4, 2)
    assert parse_scribble_prompt("3:1,2,3,4,-").prompt == ScribblePrompt(((1, 2), (3, 4)), positive=False)
    assert parse_roi("1:2,3:4,5:6") == (None, ((1, 3), (3, 5), (5, 7)))
    assert parse_roi("9@1:2,3:4,5:6")[0] == 9
    assert parse_window("40,400") == (40, 400)
    assert parse_window(None) is None
    with pytest.raises(InputError, match="no LEVEL,WIDTH"):
        parse_window("40,0")


@pytest.mark.slow
def test_real_weights_find_the_liver(
    momentumseg: Command, a_chaos_case: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LiteMedSAM on a real scan: a box on one slice; needs the weights on this computer."""
    from momentumseg.errors import WeightsError
    from momentumseg.weights.store import WeightsStore

    monkeypatch.delenv("MOMENTUMSEG_HOME")
    try:
        WeightsStore().path_of("lite-medsam", download=False)
    except WeightsError as error:
        pytest.skip(f"{error}")
    image, labels = a_chaos_case
    truth = read_labelmap(labels).array == 1
    index = int(truth.sum(axis=(1, 2)).argmax())
    box = BoxPrompt.around(truth[index], 5)
    words = f"{index}:{box.x0},{box.y0},{box.x1},{box.y1}"
    out = tmp_path / "liver.nii.gz"
    answer = momentumseg("prompt", image, "--box", words, "--slices", f"{index - 1}:{index + 1}", "--output", out)
    assert answer.exit_code == 0, answer.stderr
    found = read_labelmap(out).array == 1
    for s in (index - 1, index, index + 1):
        assert dice(found[s], truth[s]) > 0.88
