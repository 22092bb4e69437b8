"""FeatureCache: budgets, spilling, and what is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from momentumseg.sessions.feature_cache import FeatureCache, FeatureKey, remove_stale_folders
from momentumseg.sessions.processes import host_name, process_is_alive

SLICE_BYTES = 2 * 4 * 4 * 8


def key(index: int) -> FeatureKey:
    return FeatureKey("weights", "volume", "axial", index)


def features(index: int) -> np.ndarray:
    return np.random.default_rng(index).normal(size=(4, 4, 8)).astype(np.float16)


def fill(cache: FeatureCache, count: int) -> None:
    for index in range(count):
        cache.put(key(index), features(index))


def test_spilled_slices_come_back_as_they_were(tmp_path):
    with FeatureCache(3 * SLICE_BYTES, tmp_path) as cache:
        fill(cache, 10)
        assert cache.memory_bytes == 3 * SLICE_BYTES and cache.disk_bytes == 7 * SLICE_BYTES
        assert cache.count("weights", "volume", "axial") == 10
        for index in range(10):
            assert np.array_equal(cache.get(key(index)), features(index))


def test_what_is_used_stays_in_memory(tmp_path):
    with FeatureCache(3 * SLICE_BYTES, tmp_path, disk_budget=0) as cache:
        fill(cache, 3)
        cache.get(key(0))
        cache.put(key(3), features(3))
        assert key(0) in cache and key(1) not in cache
        assert list(tmp_path.iterdir()) == []


def test_the_disk_budget_drops_the_oldest_file(tmp_path):
    with FeatureCache(SLICE_BYTES, tmp_path, disk_budget=2 * SLICE_BYTES) as cache:
        fill(cache, 5)
        assert [index for index in range(5) if key(index) in cache] == [2, 3, 4]
        assert len(list(tmp_path.glob("*/*.npy"))) == 2 and cache.disk_bytes == 2 * SLICE_BYTES


def test_the_same_key_is_counted_once(tmp_path):
    with FeatureCache(2 * SLICE_BYTES, tmp_path) as cache:
        for _ in range(5):
            cache.put(key(0), features(0))
        assert cache.memory_bytes == SLICE_BYTES
        fill(cache, 4)
        cache.put(key(0), features(9))
        assert np.array_equal(cache.get(key(0)), features(9))
        assert cache.count("weights", "volume", "axial") == 4


@pytest.mark.parametrize(
    "other", [("other", "volume", "axial"), ("weights", "other", "axial"), ("weights", "volume", "coronal")]
)
def test_weights_volume_and_plane_keep_features_apart(other, tmp_path):
    with FeatureCache(folder=tmp_path) as cache:
        fill(cache, 2)
        assert cache.get(FeatureKey(*other, 0)) is None
        assert cache.count(*other) == 0


def test_features_cannot_be_changed_by_who_reads_them(tmp_path):
    with FeatureCache(SLICE_BYTES, tmp_path) as cache:
        fill(cache, 2)
        for index in range(2):
            with pytest.raises(ValueError, match="read-only"):
                cache.get(key(index))[0] = 0


def test_nothing_is_left_when_closed(tmp_path):
    with FeatureCache(SLICE_BYTES, tmp_path) as cache:
        fill(cache, 3)
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []
    fill(cache, 3)
    assert cache.get(key(0)) is not None
    cache.close()
    assert list(tmp_path.iterdir()) == []


def test_a_lost_file_is_a_missing_slice(tmp_path):
    with FeatureCache(SLICE_BYTES, tmp_path) as cache:
        fill(cache, 2)
        (path,) = tmp_path.glob("*/*.npy")
        path.write_bytes(b"broken")
        assert cache.get(key(0)) is None and key(0) not in cache
        assert cache.disk_bytes == 0


def test_a_disk_that_refuses_ends_the_spilling(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with FeatureCache(SLICE_BYTES, tmp_path) as cache:
        fill(cache, 4)
        assert cache.count("weights", "volume", "axial") == 1
        assert np.array_equal(cache.get(key(3)), features(3))
        assert not list(tmp_path.glob("*/*.npy"))


def test_only_folders_of_dead_processes_are_removed(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    names = {
        "dead": f"momentumseg-features-{host_name()}-{ended.pid}-x",
        "alive": f"momentumseg-features-{host_name()}-{os.getpid()}-x",
        "elsewhere": f"momentumseg-features-another_{host_name()}-{ended.pid}-x",
        "foreign": "somebody-else",
    }
    for name in names.values():
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.npy").touch()
    remove_stale_folders(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[kind] for kind in names if kind != "dead")


def test_a_process_that_ends_without_closing_leaves_nothing(tmp_path):
    script = (
        "import sys, numpy as np\n"
        "from momentumseg.sessions.feature_cache import FeatureCache, FeatureKey\n"
        "cache = FeatureCache(0, sys.argv[1])\n"
        "cache.put(FeatureKey('w', 'v', 'axial', 0), np.zeros((4, 4, 8), np.float16))\n"
        "import pathlib; assert list(pathlib.Path(sys.argv[1]).iterdir())\n"
    )
    logic = Path(__file__).resolve().parents[2] / "Logic"
    environment = {**os.environ, "PYTHONPATH": str(logic)}
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, env=environment)
    assert list(tmp_path.iterdir()) == []


def test_this_process_is_alive():
    assert process_is_alive(os.getpid())
    assert "-" not in host_name()
