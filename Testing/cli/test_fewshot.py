"""``momentumseg fewshot``: results are written whole, and bad input is refused in one sentence before that."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import SimpleITK as sitk

from momentumseg.io.read import read_labelmap, read_volume

if TYPE_CHECKING:
    from Testing.cli.conftest import Command, DrawnCase

DRAWN_SLICE = 6
LOGIC = Path(__file__).resolve().parents[2] / "Logic"


def outputs(case: DrawnCase) -> set[str]:
    return {path.name for path in case.folder.iterdir()} - {"volume.nii.gz", "drawn.nii.gz"}


def test_the_drawn_slice_becomes_a_volume(momentumseg, a_drawn_case: DrawnCase, a_model_file: Path) -> None:
    uncertainty = a_drawn_case.folder / "unsure.nii.gz"
    answer = momentumseg(*a_drawn_case.arguments(a_model_file, uncertainty=uncertainty), "--json")
    assert answer.exit_code == 0, answer.stderr
    assert [row["label"] for row in answer.json["labels"]] == [1, 2]
    assert (answer.json["plane"], answer.json["drawn_slices"]) == ("axial", [DRAWN_SLICE])
    mask = read_labelmap(a_drawn_case.folder / "mask.nrrd")
    np.testing.assert_allclose(mask.ijk_to_ras, a_drawn_case.image.ijk_to_ras, atol=1e-4)
    np.testing.assert_array_equal(mask.array[DRAWN_SLICE], a_drawn_case.labels.array[DRAWN_SLICE])
    assert answer.json["labels"][0]["voxels"] == np.count_nonzero(mask.array == 1)
    unsure = read_volume(uncertainty).array
    assert unsure.min() >= 0
    assert unsure.max() <= 1
    assert outputs(a_drawn_case) == {"mask.nrrd", "unsure.nii.gz"}


def test_words_say_where_the_result_is(momentumseg, a_drawn_case: DrawnCase, a_model_file: Path) -> None:
    answer = momentumseg(*a_drawn_case.arguments(a_model_file))
    assert str(a_drawn_case.folder / "mask.nrrd") in answer.stdout
    assert "draw slice" in answer.stdout


def test_only_the_wanted_labels_slices_and_voxels(momentumseg, a_drawn_case: DrawnCase, a_model_file: Path) -> None:
    arguments = a_drawn_case.arguments(a_model_file, labels="2", slices="4:8", box="30:44,0:39,0:7")
    answer = momentumseg(*arguments, "--no-consistency", "--json")
    assert answer.json["slices"] == [4, 7]
    mask = read_labelmap(a_drawn_case.folder / "mask.nrrd").array
    assert set(np.unique(mask)) <= {0, 2}
    inside = np.zeros_like(mask, dtype=bool)
    inside[4:8, 0:40, 30:45] = True
    assert not mask[~inside].any()


def test_supports_of_two_files_and_of_another_volume(momentumseg, a_drawn_case: DrawnCase, a_model_file: Path) -> None:
    second = np.zeros_like(a_drawn_case.labels.array)
    second[3] = a_drawn_case.labels.array[3]
    more = a_drawn_case.write("more.nrrd", second)
    answer = momentumseg(*a_drawn_case.arguments(a_model_file), "--support", more, "--labels", "1,2", "--json")
    assert answer.json["drawn_slices"] == [3, DRAWN_SLICE]
    other = a_drawn_case.write("other.nrrd", a_drawn_case.image.array[:, ::-1].copy())
    answer = momentumseg(*a_drawn_case.arguments(a_model_file, support_volume=other, labels=1), "--json")
    assert answer.exit_code == 0, answer.stderr


def test_iterates_are_images_of_every_stage(momentumseg, a_drawn_case: DrawnCase, a_model_file: Path) -> None:
    folder = a_drawn_case.folder / "stages"
    assert momentumseg(*a_drawn_case.arguments(a_model_file, iterates=folder, labels=1)).exit_code == 0
    names = {path.name for path in folder.iterdir()}
    assert {f"label1_stage1_{kind}.nrrd" for kind in ("foreground", "noise", "entropy")} <= names
    assert read_volume(folder / "label1_stage1_entropy.nrrd").shape == a_drawn_case.image.shape


def test_a_drawing_with_another_geometry_is_resampled(momentumseg, a_drawn_case: DrawnCase, a_model_file: Path) -> None:
    finer = a_drawn_case.image.ijk_to_ras @ np.diag([0.5, 0.5, 1, 1])
    array = a_drawn_case.labels.array * (np.arange(12) == DRAWN_SLICE)[:, None, None].astype(np.uint8)
    drawn = a_drawn_case.write("finer.nrrd", array.repeat(2, axis=1).repeat(2, axis=2), finer)
    answer = momentumseg(*a_drawn_case.arguments(a_model_file, support=drawn), "--json")
    assert answer.json["drawn_slices"] == [DRAWN_SLICE]


def test_broken_voxels_are_repaired_with_a_warning(momentumseg, a_drawn_case: DrawnCase, a_model_file: Path) -> None:
    array = a_drawn_case.image.array.astype(np.float32)
    array[0, 0, :3] = np.nan, np.inf, -np.inf
    volume = a_drawn_case.write("broken.nrrd", array)
    answer = momentumseg(*a_drawn_case.arguments(a_model_file, volume=volume))
    assert answer.exit_code == 0
    assert "3 NaN or infinite voxels" in answer.stderr


def test_one_slice_is_a_volume(momentumseg, a_drawn_case: DrawnCase, a_model_file: Path) -> None:
    volume = a_drawn_case.write("one.nrrd", a_drawn_case.image.array[DRAWN_SLICE : DRAWN_SLICE + 1])
    support = a_drawn_case.write("drawn1.nrrd", a_drawn_case.labels.array[DRAWN_SLICE : DRAWN_SLICE + 1])
    answer = momentumseg(*a_drawn_case.arguments(a_model_file, volume=volume, support=support), "--json")
    assert (answer.exit_code, answer.json["next_slice"]) == (0, None)


# Bad input


def refused(momentumseg, case: DrawnCase, model: Path, code: int, **changed: object) -> str:
    """The sentence of a refusal; checks that it is one, that nothing was written and an older result stayed."""
    older = case.folder / "mask.nrrd"
    older.write_bytes(b"an older result")
    before = outputs(case)
    answer = momentumseg(*case.arguments(model, **changed))
    assert answer.exit_code == code, answer.stderr
    assert answer.stdout == ""
    assert "Traceback" not in answer.stderr
    assert outputs(case) == before
    assert older.read_bytes() == b"an older result"
    return answer.sentence


def test_empty_support(momentumseg, a_drawn_case: DrawnCase, a_model_file: Path) -> None:
    empty = a_drawn_case.write("empty.nrrd", np.zeros_like(a_drawn_case.labels.array))
    assert "empty" in refused(momentumseg, a_drawn_case, a_model_file, 3, support=empty)


def test_label_that_was_not_drawn(momentumseg, a_drawn_case: DrawnCase, a_model_file: Path) -> None:
    assert "Label 7" in refused(momentumseg, a_drawn_case, a_model_file, 3, labels="1,7")
    assert "Label 0" in refused(momentumseg, a_drawn_case, a_model_file, 3, labels="0")


def test_support_that_lies_elsewhere(momentumseg, a_drawn_case: DrawnCase, a_model_file: Path) -> None:
    far = a_drawn_case.image.ijk_to_ras.copy()
    far[:3, 3] += 1000
    support = a_drawn_case.write("far.nrrd", a_drawn_case.labels.array, far)
    assert "share no region" in refused(momentumseg, a_drawn_case, a_model_file, 3, support=support)


def test_support_with_values_that_are_no_labels(momentumseg, a_drawn_case: DrawnCase, a_model_file: Path) -> None:
    support = a_drawn_case.write("half.nrrd", a_drawn_case.labels.array * np.float32(0.5))
    assert "whole number" in refused(momentumseg, a_drawn_case, a_model_file, 3, support=support)


@pytest.mark.parametrize("value", [7.0, np.nan])
def test_volume_without_content(momentumseg, a_drawn_case: DrawnCase, a_model_file: Path, value: float) -> None:
    volume = a_drawn_case.write("flat.nrrd", np.full(a_drawn_case.image.shape, value, dtype=np.float32))
    assert "flat.nrrd" in refused(momentumseg, a_drawn_case, a_model_file, 3, volume=volume)


def test_volume_with_four_dimensions(momentumseg, a_drawn_case: DrawnCase, a_model_file: Path) -> None:
    volume = a_drawn_case.folder / "series.nrrd"
    sitk.WriteImage(sitk.Image([8, 8, 4, 3], sitk.sitkFloat32), str(volume))
    assert "4 dimensions" in refused(momentumseg, a_drawn_case, a_model_file, 3, volume=volume)


def test_truncated_volume(momentumseg, a_drawn_case: DrawnCase, a_model_file: Path) -> None:
    whole = a_drawn_case.volume.read_bytes()
    volume = a_drawn_case.folder / "cut.nii.gz"
    volume.write_bytes(whole[: len(whole) // 2])
    assert "cut.nii.gz" in refused(momentumseg, a_drawn_case, a_model_file, 3, volume=volume)


def test_missing_and_foreign_files(momentumseg, a_drawn_case: DrawnCase, a_model_file: Path) -> None:
    letter = a_drawn_case.folder / "letter.nrrd"
    letter.write_text("Dear colleague")
    absent = a_drawn_case.folder / "absent.nrrd"
    assert "does not exist" in refused(momentumseg, a_drawn_case, a_model_file, 3, volume=absent)
    assert "does not exist" in refused(momentumseg, a_drawn_case, a_model_file, 3, support=absent)
    assert "letter.nrrd" in refused(momentumseg, a_drawn_case, a_model_file, 3, support=letter)


def test_weights_that_cannot_be_used(momentumseg, a_drawn_case: DrawnCase, a_model_file: Path) -> None:
    truncated = a_drawn_case.folder / "cut.safetensors"
    truncated.write_bytes(a_model_file.read_bytes()[:2000])
    for model in (truncated, a_drawn_case.folder / "absent.safetensors", "no-such-name"):
        refused(momentumseg, a_drawn_case, Path(model), 4)


class _Malicious:
    def __init__(self, touched: Path) -> None:
        self.touched = touched

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.touched,)


def test_weights_that_would_run_code(momentumseg, a_drawn_case: DrawnCase, a_model_file: Path, tmp_path: Path) -> None:
    evil = a_drawn_case.folder / "evil.pth"
    evil.write_bytes(pickle.dumps(_Malicious(tmp_path / "touched")))
    refused(momentumseg, a_drawn_case, evil, 4)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("option", [{"plane": "oblique"}, {"slices": "5:x"}, {"box": "1:2"}, {"device": "gpu"}])
def test_options_that_mean_nothing(momentumseg, a_drawn_case: DrawnCase, a_model_file: Path, option: dict) -> None:
    answer = momentumseg(*a_drawn_case.arguments(a_model_file, **option))
    assert answer.exit_code in (2, 3)
    assert outputs(a_drawn_case) == set()


def test_slices_outside_the_volume(momentumseg, a_drawn_case: DrawnCase, a_model_file: Path) -> None:
    refused(momentumseg, a_drawn_case, a_model_file, 3, slices="50:60")


def test_number_of_support_volumes(momentumseg, a_drawn_case: DrawnCase, a_model_file: Path) -> None:
    volume = a_drawn_case.volume
    answer = momentumseg(*a_drawn_case.arguments(a_model_file, support_volume=volume), "--support-volume", volume)
    assert answer.exit_code == 3
    assert "2 support volumes" in answer.sentence


@pytest.mark.parametrize("name", ["no such folder/mask.nrrd", "mask.docx", "mask"])
def test_outputs_that_cannot_be_written(momentumseg, a_drawn_case: DrawnCase, a_model_file: Path, name: str) -> None:
    target = a_drawn_case.folder / name
    for option in ("output", "uncertainty"):
        assert name in refused(momentumseg, a_drawn_case, a_model_file, 5, **{option: target})


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="needs a folder that even root cannot write")
def test_read_only_folder_is_refused_before_anything_is_read(
    momentumseg, a_drawn_case: DrawnCase, a_model_file: Path
) -> None:
    absent = a_drawn_case.folder / "absent.nrrd"
    sentence = refused(momentumseg, a_drawn_case, a_model_file, 5, output="/proc/mask.nrrd", volume=absent)
    assert "/proc" in sentence


def test_an_input_is_never_overwritten(momentumseg, a_drawn_case: DrawnCase, a_model_file: Path) -> None:
    before = a_drawn_case.support.read_bytes()
    refused(momentumseg, a_drawn_case, a_model_file, 3, output=a_drawn_case.support)
    assert a_drawn_case.support.read_bytes() == before
    same = a_drawn_case.folder / "mask.nrrd"
    refused(momentumseg, a_drawn_case, a_model_file, 3, uncertainty=same)


# Processes


def start(case: DrawnCase, model: Path, **changed: object) -> list[str]:
    return [sys.executable, "-m", "momentumseg", *map(str, case.arguments(model, **changed))]


def environment(tmp_path: Path) -> dict[str, str]:
    # No bytecode: a process that may not write large files would leave truncated ones for all others.
    quiet_python = {"PYTHONPATH": str(LOGIC), "PYTHONDONTWRITEBYTECODE": "1"}
    return {**quiet_python, "MOMENTUMSEG_HOME": str(tmp_path), "OMP_NUM_THREADS": "1", "PATH": ""}


@pytest.mark.skipif(sys.platform == "win32", reason="limits of processes are POSIX")
def test_full_disk_leaves_the_older_result(a_drawn_case: DrawnCase, a_model_file: Path, tmp_path: Path) -> None:
    older = a_drawn_case.folder / "mask.nii"
    older.write_bytes(b"an older result")
    command = start(a_drawn_case, a_model_file, output=older)

    def no_room() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    run = subprocess.run(command, capture_output=True, text=True, env=environment(tmp_path), preexec_fn=no_room)
    assert run.returncode == 5, run.stderr
    assert "could not be written" in run.stderr.strip().splitlines()[-1]
    assert older.read_bytes() == b"an older result"
    assert outputs(a_drawn_case) == {"mask.nii"}


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_nothing(
    a_drawn_case: DrawnCase, a_model_file: Path, tmp_path: Path, signal_number: signal.Signals
) -> None:
    thin = a_drawn_case.image.ijk_to_ras @ np.diag([1, 1, 1 / 200, 1])
    volume = a_drawn_case.write("long.nrrd", a_drawn_case.image.array.repeat(200, axis=0), thin)
    before = outputs(a_drawn_case)
    command = start(a_drawn_case, a_model_file, volume=volume, plane="axial")

    def interruptible() -> None:  # also where the tests themselves were started to ignore Ctrl-C
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment(tmp_path), preexec_fn=interruptible
    )
    assert process.stderr is not None
    try:
        assert process.stderr.readline().startswith("Model tiny")  # the segmentation of 2400 slices begins
        time.sleep(0.3)
        process.send_signal(signal_number)
        _, said = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert said.strip().splitlines()[-1] == "Cancelled; nothing was written."
    assert outputs(a_drawn_case) == before


def test_picture_is_written_and_its_name_checked_first(
    momentumseg: Command, a_drawn_case: DrawnCase, a_model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("momentumseg.cli.figures._SURFACE_PIXELS", 96)
    picture = a_drawn_case.folder / "picture.png"

    refused = momentumseg(*a_drawn_case.arguments(a_model_file, picture=a_drawn_case.folder / "picture.tiff"))
    answer = momentumseg(*a_drawn_case.arguments(a_model_file, picture=picture), "--json")

    assert refused.exit_code == 5
    assert ".png" in refused.sentence
    assert answer.json["picture"] == str(picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
