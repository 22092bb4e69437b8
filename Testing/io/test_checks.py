"""Output paths are checked before anything is computed."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import pytest

from momentumseg.errors import OutputError
from momentumseg.io.checks import check_writable_output


def test_a_good_path_is_returned_and_nothing_is_created(tmp_path):
    assert check_writable_output(str(tmp_path / "a.nii.gz")) == tmp_path / "a.nii.gz"
    assert check_writable_output(tmp_path / "report.json", suffixes=(".json",)).suffix == ".json"
    assert check_writable_output(tmp_path / "anything", suffixes=None)
    assert list(tmp_path.iterdir()) == []


def test_bad_paths_are_named(tmp_path):
    with pytest.raises(OutputError, match=r"a.jpeg has an ending .* use .nii.gz"):
        check_writable_output(tmp_path / "a.jpeg")
    with pytest.raises(OutputError, match=r"the folder .*missing does not exist"):
        check_writable_output(tmp_path / "missing" / "a.nrrd")
    (tmp_path / "folder.nrrd").mkdir()
    with pytest.raises(OutputError, match="it is a folder"):
        check_writable_output(tmp_path / "folder.nrrd")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="does not exist"):
        check_writable_output(tmp_path / "file" / "a.nrrd")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no folder that refuses even the administrator")
def test_a_folder_that_refuses_files():
    with pytest.raises(OutputError, match="is read-only"):
        check_writable_output("/proc/self/a.nrrd")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the administrator may write everywhere")
def test_write_protection(tmp_path):
    (tmp_path / "a.nrrd").touch(mode=0o444)
    with pytest.raises(OutputError, match="write-protected"):
        check_writable_output(tmp_path / "a.nrrd")
    tmp_path.chmod(0o555)
    with pytest.raises(OutputError, match="is read-only"):
        check_writable_output(tmp_path / "b.nrrd")
    tmp_path.chmod(0o755)


def test_a_disk_that_is_full_already(tmp_path, monkeypatch):
    def full(**_options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(OutputError, match="the disk is full"):
        check_writable_output(tmp_path / "a.nrrd")
