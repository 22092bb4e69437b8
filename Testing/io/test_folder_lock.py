from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from momentumseg.io.folder_lock import is_locked, lock_folder

HOLDER = """
import sys, time
from pathlib import Path
from momentumseg.io.folder_lock import lock_folder
with lock_folder(Path(sys.argv[1])) as was_free:
    print(was_free, flush=True)
    time.sleep(600)
"""


def test_a_folder_is_free_again_after_the_block(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    with lock_folder(tmp_path) as was_free:
        assert was_free and is_locked(tmp_path)
        with lock_folder(tmp_path) as also:
            assert not also
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM] if sys.platform != "win32" else [])
def test_a_killed_process_leaves_the_folder_free(tmp_path: Path, ending: signal.Signals) -> None:
    path = {"PYTHONPATH": ":".join(part for part in sys.path if part)}
    with subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True, env=path) as one:
        assert one.stdout.readline().strip() == "True"
        assert is_locked(tmp_path)
        one.send_signal(ending)
    assert not is_locked(tmp_path)


def test_a_folder_without_locks_may_be_used(tmp_path: Path) -> None:
    with lock_folder(tmp_path / "absent") as was_free:
        assert was_free
