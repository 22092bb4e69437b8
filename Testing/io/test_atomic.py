"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from momentumseg.errors import InputError, OutputError
from momentumseg.io.atomic import atomic_path, suffix_of


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_target_appears_when_the_block_ends_well(tmp_path):
    target = tmp_path / "mask.nii.gz"
    with atomic_path(target) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.endswith(".nii.gz")
        temporary.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert names_in(tmp_path) == ["mask.nii.gz"]


@pytest.mark.parametrize("mistake", [KeyboardInterrupt, InputError, RuntimeError])
def test_an_older_file_survives_a_failure(tmp_path, mistake):
    target = tmp_path / "mask.nrrd"
    target.write_text("old")
    with pytest.raises(mistake), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise mistake
    assert target.read_text() == "old"
    assert names_in(tmp_path) == ["mask.nrrd"]


def test_a_full_disk_is_said_in_words(tmp_path):
    target = tmp_path / "mask.nrrd"
    target.write_text("old")
    with (
        pytest.raises(OutputError, match="mask.nrrd could not be written: the disk is full"),
        atomic_path(target) as temporary,
    ):
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert target.read_text() == "old"
    assert names_in(tmp_path) == ["mask.nrrd"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_device_that_is_really_full(tmp_path):
    with pytest.raises(OutputError, match="the disk is full"), atomic_path(tmp_path / "a.bin"):
        Path("/dev/full").write_bytes(b"x" * 100_000)


def test_a_missing_folder_is_said_in_words(tmp_path):
    with (
        pytest.raises(OutputError, match="folder does not exist"),
        atomic_path(tmp_path / "no" / "a.json") as temporary,
    ):
        temporary.write_text("{}")


def test_a_folder_in_the_way_is_said_in_words(tmp_path):
    (tmp_path / "a.json").mkdir()
    with pytest.raises(OutputError, match="a folder of that name"), atomic_path(tmp_path / "a.json") as temporary:
        temporary.write_text("{}")
    assert names_in(tmp_path) == ["a.json"]


def test_a_missing_input_is_not_reported_as_output(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a.json"):
        (tmp_path / "elsewhere" / "input.json").read_text()


def test_the_longest_name_leaves_room(tmp_path):
    target = tmp_path / ("ü" * 120 + ".nii.gz")  # 247 of 255 bytes
    with atomic_path(target) as temporary:
        temporary.write_text("x")
    assert target.exists()


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.nii.gz", ".nii.gz"), ("A.NII.GZ", ".nii.gz"), ("a.seg.nrrd", ".nrrd"), ("a", ""), ("x.gz", ".gz")],
)
def test_suffixes(name, suffix):
    assert suffix_of(name) == suffix
