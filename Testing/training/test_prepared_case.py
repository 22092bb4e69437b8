"""Cases on the network's grid: what they are, prepared once, and what is wrong with bad ones, in words."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from momentumseg.errors import Cancelled, GeometryError, InputError, OutputError
from momentumseg.io.datasets import discover_cases
from momentumseg.io.read import read_labelmap, read_volume
from momentumseg.io.write import write_volume
from momentumseg.training.data_settings import DataSettings
from momentumseg.training.patches import PatchSampler
from momentumseg.training.prepared_case import DataStatistics, PreparedCase, positions_of, prepare_cases
from momentumseg.training.splits import Split, split_cases
from momentumseg.volumes.volume import Volume

SHAPE = (8, 12, 10)
SPACING = np.diag((-1.0, -1.0, 2.0, 1.0))
DEFAULTS = DataSettings(patch=(8, 8, 8), validation=1)


def write_case(folder: Path, name: str, *, seed: int = 0, labels: np.ndarray | None = None, **changed: object) -> None:
    """An image with a bright box, labelled 1, and a brighter one in it, labelled 2."""
    rng = np.random.default_rng(seed)
    reference = np.zeros(SHAPE, np.uint8)
    reference[2:6, 3:9, 2:7] = 1
    reference[3:5, 4:7, 3:5] = 2
    image = (reference * 100 + rng.normal(0, 5, SHAPE)).astype(np.int16)
    matrix = np.array(changed.get("matrix", SPACING))
    write_volume(Volume(image, matrix), folder / "images" / f"{name}.nii.gz")
    label_matrix = np.array(changed.get("label_matrix", matrix))
    write_volume(Volume(reference if labels is None else labels, label_matrix), folder / "labels" / f"{name}.nii.gz")


@pytest.fixture
def a_folder(tmp_path: Path) -> Path:
    """Four labelled cases and one without labels."""
    folder = tmp_path / "data"
    for part in ("images", "labels", "unlabelled"):
        (folder / part).mkdir(parents=True)
    for number in range(4):
        write_case(folder, f"case{number}", seed=number)
    shutil.copy(folder / "images" / "case0.nii.gz", folder / "unlabelled" / "free.nii.gz")
    return folder


Prepared = tuple[dict[str, PreparedCase], DataStatistics]


@pytest.fixture
def prepare(a_folder: Path, tmp_path: Path) -> Callable[..., Prepared]:
    """Prepares the folder, by default with a split of three to one."""

    def run(settings: DataSettings = DEFAULTS, split: Split | None = None, **options: object) -> Prepared:
        cases = discover_cases(a_folder)
        split = split or split_cases(cases, settings, a_folder)
        cache = tmp_path / "cache"
        prepared, statistics = prepare_cases(
            cases, split, settings, data_folder=a_folder, cache_folder=cache, **options
        )
        return {case.name: case for case in prepared}, statistics

    return run


def test_a_case_is_an_image_and_labels_on_one_grid(a_folder: Path, prepare: Callable[..., Prepared]) -> None:
    prepared, statistics = prepare()
    case = prepared["case0"]
    volume = read_volume(a_folder / "images" / "case0.nii.gz")
    grid = statistics.grid_of(volume.shape, volume.ijk_to_ras)
    assert case.image.shape == (1, *grid.shape) and case.shape == grid.shape
    assert case.labels.dtype == np.uint8
    np.testing.assert_array_equal(
        grid.backward_labels(np.array(case.labels)), read_labelmap(a_folder / "labels" / "case0.nii.gz").array
    )
    assert case.spacing == (2.0, 1.0, 1.0)
    assert abs(float(case.image.mean())) < 0.05 and float(case.image.std()) == pytest.approx(1, abs=0.05)
    assert not prepared["free"].has_labels and prepared["free"].labels is None


def test_statistics_are_what_inference_needs(prepare: Callable[..., Prepared]) -> None:
    _, statistics = prepare()
    assert statistics.spacing == (2.0, 1.0, 1.0)
    assert (statistics.labels.values, statistics.labels.names) == ((1, 2), ("label 1", "label 2"))
    assert statistics.in_channels == 1 and statistics.cases == 3
    assert DataStatistics.from_mapping(json.loads(json.dumps(statistics.to_mapping()))) == statistics


def test_labels_that_a_split_hides_are_not_there_to_be_learnt(prepare: Callable[..., Prepared]) -> None:
    split = Split(train=("case0",), unlabelled=("case1",), validation=("case2",))
    prepared, _ = prepare(split=split)
    assert sorted(prepared) == ["case0", "case1", "case2"]
    assert prepared["case1"].labels is None and prepared["case1"].positions == ()


def test_names_come_from_the_dataset_file_or_the_recipe(a_folder: Path, prepare: Callable[..., Prepared]) -> None:
    table = {"labels": {"background": 0, "box": 1, "core": 2}, "channel_names": {"0": "T1"}}
    (a_folder / "dataset.json").write_text(json.dumps(table))
    statistics = prepare()[1]
    assert statistics.labels.names == ("box", "core") and statistics.channels == ("T1",)
    settings = DataSettings(patch=(8, 8, 8), validation=1, labels={1: "outer", 2: "inner"})
    assert prepare(settings)[1].labels.names == ("outer", "inner")


def test_slices_keep_their_own_distance(prepare: Callable[..., Prepared]) -> None:
    settings = DataSettings(patch=(8, 8), plane="axial", spacing=(2.0, 2.0), validation=1)
    prepared, statistics = prepare(settings)
    assert statistics.spacing == (None, 2.0, 2.0)
    assert prepared["case0"].shape == (8, 6, 5)


def test_all_channels_of_a_case(a_folder: Path, prepare: Callable[..., Prepared]) -> None:
    for path in sorted((a_folder / "images").iterdir()):
        name = path.name.removesuffix(".nii.gz")
        volume = read_volume(path)
        path.rename(path.with_name(f"{name}_0000.nii.gz"))
        write_volume(volume.like(-volume.array), path.with_name(f"{name}_0001.nii.gz"))
    shutil.rmtree(a_folder / "unlabelled")
    prepared, statistics = prepare()
    assert statistics.channels == ("channel 1", "channel 2")
    np.testing.assert_allclose(prepared["case0"].image[0], -prepared["case0"].image[1], atol=0.1)
    (a_folder / "images" / "case3_0001.nii.gz").unlink()
    with pytest.raises(InputError, match="The case case3 has 1 channels, but case0 has 2"):
        prepare()


# Kept on disk


def changes(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_what_is_prepared_is_not_prepared_again(prepare: Callable[..., Prepared], tmp_path: Path) -> None:
    first, _ = prepare()
    before = changes(tmp_path / "cache")
    second, _ = prepare()
    assert changes(tmp_path / "cache") == before
    np.testing.assert_array_equal(first["case1"].image, second["case1"].image)
    for mine, theirs in zip(first["case1"].positions, second["case1"].positions, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_changed_file_is_prepared_again(a_folder: Path, prepare: Callable[..., Prepared]) -> None:
    before = np.array(prepare()[0]["case1"].image)
    write_case(a_folder, "case1", seed=77)
    assert not np.array_equal(prepare()[0]["case1"].image, before)


def test_other_settings_are_prepared_apart(prepare: Callable[..., Prepared]) -> None:
    fine = prepare(DataSettings(patch=(8, 8, 8), validation=1, spacing=(1.0, 1.0, 1.0)))[0]["case0"]
    own = prepare()[0]["case0"]
    assert fine.shape == (16, 12, 10) and own.shape == (8, 12, 10)
    assert fine.image.shape[1:] == fine.shape


def test_an_entry_that_was_left_half_is_prepared_again(prepare: Callable[..., Prepared], tmp_path: Path) -> None:
    prepare()
    for path in (tmp_path / "cache").glob("case0-*/case.json"):
        path.unlink()
    for path in (tmp_path / "cache").glob("case1-*/image.npy"):
        path.unlink()
    prepared, _ = prepare()
    assert prepared["case0"].image.size and prepared["case1"].image.size


def test_prepared_cases_hold_no_files_open(prepare: Callable[..., Prepared], tmp_path: Path) -> None:
    prepared, _ = prepare()
    assert [case.image.sum() for case in prepared.values()]
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("this system does not list a process's open files")
    targets = [os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.exists()]
    assert not [target for target in targets if str(tmp_path) in target]


def test_progress_and_cancelling(prepare: Callable[..., Prepared]) -> None:
    seen: list[tuple[int, int]] = []
    prepare(on_prepared=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 5) for done in range(6)]
    with pytest.raises(Cancelled, match="before it began"):
        prepare(cancelled=lambda: True)


# What is wrong, in words


def refused(prepare: Callable[..., Prepared], words: str, settings: DataSettings = DEFAULTS) -> None:
    with pytest.raises(InputError, match=words) as caught:
        prepare(settings)
    assert str(caught.value).count(". ") == 0, "one sentence"


def test_labels_of_another_size(a_folder: Path, prepare: Callable[..., Prepared]) -> None:
    write_case(a_folder, "case2", labels=np.ones((8, 12, 9), np.uint8))
    refused(prepare, r"labels/case2\.nii\.gz is not on the grid of .*\(9x12x8 instead of 10x12x8 voxels\); resample")


def test_labels_in_another_place(a_folder: Path, prepare: Callable[..., Prepared]) -> None:
    moved = SPACING.copy()
    moved[0, 3] = 3.0
    write_case(a_folder, "case2", label_matrix=moved)
    with pytest.raises(GeometryError, match="the same number of voxels, but another spacing, direction or place"):
        prepare()


def test_labels_that_nobody_named(a_folder: Path, prepare: Callable[..., Prepared]) -> None:
    (a_folder / "dataset.json").write_text(json.dumps({"labels": {"box": 1, "core": 2}}))
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:5, 2:5, 2:5] = 9
    write_case(a_folder, "case3", labels=labels)
    refused(
        prepare, r"case3\.nii\.gz has the label 9, which neither data\.labels nor dataset\.json names \(1 box, 2 core\)"
    )


def test_a_structure_that_no_training_case_has(a_folder: Path, prepare: Callable[..., Prepared]) -> None:
    (a_folder / "dataset.json").write_text(json.dumps({"labels": {"box": 1, "core": 2, "spleen": 3}}))
    refused(prepare, r"No training case has a voxel of label 3 \(spleen\); add a case that has one")


def test_no_labels_at_all(a_folder: Path, prepare: Callable[..., Prepared]) -> None:
    for number in range(4):
        write_case(a_folder, f"case{number}", labels=np.zeros(SHAPE, np.uint8))
    refused(prepare, "No labelmap in .* has a label; draw the structures first")


def test_labels_that_are_not_whole_numbers(a_folder: Path, prepare: Callable[..., Prepared]) -> None:
    write_case(a_folder, "case1", labels=np.full(SHAPE, 0.5, np.float32))
    refused(prepare, r"labels/case1\.nii\.gz has the label 0\.5, which is not a whole number")


def test_an_image_with_one_value(a_folder: Path, prepare: Callable[..., Prepared]) -> None:
    write_volume(Volume(np.full(SHAPE, 7, np.int16), SPACING), a_folder / "images" / "case1.nii.gz")
    refused(prepare, r"case1\.nii\.gz has the same value \(7\) in every voxel")


def test_a_series_in_one_file(a_folder: Path, prepare: Callable[..., Prepared]) -> None:
    import SimpleITK as sitk

    sitk.WriteImage(sitk.Image([10, 12, 8, 3], sitk.sitkInt16), str(a_folder / "images" / "case1.nii.gz"))
    refused(prepare, r"case1\.nii\.gz has 4 dimensions \(10x12x8x3\); give one file of three dimensions")


def test_a_file_that_is_no_image(a_folder: Path, prepare: Callable[..., Prepared]) -> None:
    (a_folder / "images" / "case1.nii.gz").write_bytes(b"not an image")
    refused(prepare, r"case1\.nii\.gz is not a readable NIfTI file")


def test_a_data_folder_that_vanishes_before_its_cases_are_prepared(a_folder: Path, tmp_path: Path) -> None:
    cases = discover_cases(a_folder)
    split = split_cases(cases, DEFAULTS, a_folder)
    shutil.rmtree(a_folder)
    with pytest.raises(InputError, match=r"case0\.nii\.gz does not exist"):
        prepare_cases(cases, split, DEFAULTS, data_folder=a_folder, cache_folder=tmp_path / "cache")


def test_a_cache_that_vanishes_during_the_run(prepare: Callable[..., Prepared], tmp_path: Path) -> None:
    prepared, _ = prepare()
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(InputError, match=r"cannot be read any more.*it continues from its last checkpoint\.") as caught:
        prepared["case0"].image  # noqa: B018
    assert "case0" in str(caught.value)


def test_a_cache_that_cannot_be_written(a_folder: Path, tmp_path: Path, prepare: Callable[..., Prepared]) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(OutputError, match=r"The folder .*cache cannot be created"):
        prepare()


def test_a_full_disk_ends_in_words_and_leaves_no_entry_that_looks_whole(
    prepare: Callable[..., Prepared], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("momentumseg.training.prepared_case.np.lib.format.write_array_header_1_0", full)
        with pytest.raises(OutputError, match="the disk is full; free some space"):
            prepare()
    assert not list((tmp_path / "cache").glob("*/case.json"))
    assert len(prepare()[0]) == 5


def test_real_brains_become_patches_with_structures_in_them(shared_data: Path, tmp_path: Path) -> None:
    data = shared_data / "hippocampus"
    cases = discover_cases(data)[:4]
    settings = DataSettings(patch=(32, 32, 32), validation=1, foreground=1.0)
    split = split_cases(cases, settings, data)
    prepared, statistics = prepare_cases(cases, split, settings, data_folder=data, cache_folder=tmp_path)
    assert statistics.spacing == (1.0, 1.0, 1.0) and statistics.classes == 3
    sampler = PatchSampler([case for case in prepared if case.name in split.train], settings)
    for index in range(12):
        image, labels = sampler.labelled(index)
        assert image.shape == (1, 32, 32, 32) and np.isfinite(image).all()
        assert set(np.unique(labels)) <= {0, 1, 2} and (labels > 0).mean() > 0.01


# Positions


def test_positions_of_every_structure_spread_over_all_its_voxels() -> None:
    labels = np.zeros((20, 40, 40), np.uint8)
    labels[2:18, 5:35, 5:35] = 1
    labels[10, 10, 10] = 3
    first, second, third = positions_of(labels, 4)
    assert len(second) == 0
    assert third.tolist() == [np.ravel_multi_index((10, 10, 10), labels.shape)]
    assert len(first) == len(set(first.tolist())) == 4096
    assert (labels.reshape(-1)[first] == 1).all()
    slices = np.unravel_index(first, labels.shape)[0]
    assert set(slices.tolist()) == set(range(2, 18))
