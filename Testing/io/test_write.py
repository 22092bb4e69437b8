"""Volumes to files, whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from momentumseg.errors import OutputError
from momentumseg.io.read import read_volume
from momentumseg.io.write import write_volume
from momentumseg.volumes.volume import Volume


def test_an_older_file_is_replaced(tmp_path, a_phantom_volume):
    target = tmp_path / "a.nii.gz"
    target.write_text("old")
    write_volume(a_phantom_volume, target)
    np.testing.assert_array_equal(read_volume(target).array, a_phantom_volume.array)
    assert list(tmp_path.iterdir()) == [target]


def test_bad_targets_are_refused(tmp_path, a_phantom_volume):
    with pytest.raises(OutputError, match="ending"):
        write_volume(a_phantom_volume, tmp_path / "a.docx")
    with pytest.raises(OutputError, match="does not exist"):
        write_volume(a_phantom_volume, tmp_path / "no" / "a.nrrd")
    assert list(tmp_path.iterdir()) == []


def test_a_mask_of_bool_is_written(tmp_path, a_phantom_labelmap):
    write_volume(a_phantom_labelmap.like(a_phantom_labelmap.array == 1), tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii.gz").array, a_phantom_labelmap.array == 1)


def test_oblique_axes_at_right_angles_only_in_nifti(tmp_path):
    sheared = np.eye(4)
    sheared[0, 1] = 0.2
    volume = Volume(np.arange(8, dtype=np.int16).reshape(2, 2, 2), sheared)
    with pytest.raises(OutputError, match="right angles; write a .nrrd file"):
        write_volume(volume, tmp_path / "a.nii.gz")
    write_volume(volume, tmp_path / "a.nrrd")
    np.testing.assert_allclose(read_volume(tmp_path / "a.nrrd").ijk_to_ras, sheared, atol=1e-6)


FULL_DISK = """
import resource, signal, sys
import numpy as np
from momentumseg.errors import OutputError
from momentumseg.io.write import write_volume
from momentumseg.volumes.volume import Volume

volume = Volume(np.random.default_rng(0).integers(0, 1000, (10, 100, 100)).astype(np.int16), np.eye(4))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    write_volume(volume, sys.argv[1])
except OutputError as error:
    print(error)
    sys.exit(OutputError.exit_code)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_a_disk_that_takes_only_the_beginning(tmp_path, suffix):
    """A limit on file size stands for the full disk; the NIfTI writer does not report either."""
    target = tmp_path / f"a{suffix}"
    target.write_text("old")
    logic = Path(__file__).resolve().parents[2] / "Logic"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(target)], cwd=logic, capture_output=True, text=True, check=False
    )
    assert done.returncode == OutputError.exit_code, done.stderr
    assert "could not be written" in done.stdout
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
