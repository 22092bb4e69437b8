from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from momentumseg.errors import InputError
from momentumseg.training import supervoxels as module
from momentumseg.training.supervoxels import felzenszwalb3d, foreground_mask, rescale_to_byte_range, slic3d, supervoxels

SPACING = (1.25, 1.25, 5.0)


@pytest.fixture
def a_volume() -> np.ndarray:
    """Smooth blobs of continuous values (no ties between edges), with an even background."""
    rng = np.random.default_rng(3)
    volume = ndimage.gaussian_filter(rng.standard_normal((6, 24, 20)), (1, 2, 2))
    volume -= volume.min()
    volume[:, :4] = volume[:, :, :3] = 0
    return volume


def naive_felzenszwalb(array: np.ndarray, spacing: tuple[float, float, float], min_size: int) -> np.ndarray:
    """The published algorithm, edge by edge, with both phases written out."""
    voxels = rescale_to_byte_range(array)
    ratio = spacing[2] / spacing[0]
    edges = []
    for here in np.ndindex(voxels.shape):
        for step in itertools.product((-1, 0, 1), repeat=3):
            there = tuple(a + b for a, b in zip(here, step, strict=True))
            if step <= (0, 0, 0) or any(t < 0 or t >= n for t, n in zip(there, voxels.shape, strict=True)):
                continue
            weight = np.mean([ratio**2 if axis == 0 else 1.0 for axis in range(3) if step[axis]])
            cost = np.float32(weight**0.5) * abs(voxels[here] - voxels[there])
            edges.append((cost, np.ravel_multi_index(here, voxels.shape), np.ravel_multi_index(there, voxels.shape)))
    edges.sort()
    parent, size, inner = list(range(voxels.size)), [1] * voxels.size, [0.0] * voxels.size

    def root(node: int) -> int:
        while parent[node] != node:
            node = parent[node]
        return node

    def join(a: int, b: int) -> None:
        parent[b] = a
        size[a] += size[b]

    scale = 1 / 255
    for cost, first, second in edges:
        a, b = root(first), root(second)
        if a != b and cost < min(inner[a] + scale / size[a], inner[b] + scale / size[b]):
            join(a, b)
            inner[a] = cost
    for _, first, second in edges:
        a, b = root(first), root(second)
        if a != b and min(size[a], size[b]) < min_size:
            join(a, b)
    return np.array([root(node) for node in range(voxels.size)]).reshape(voxels.shape)


def adjusted_rand_index(first: np.ndarray, second: np.ndarray) -> float:
    table = np.zeros((first.max() + 1, second.max() + 1))
    np.add.at(table, (first.ravel(), second.ravel()), 1)

    def pairs(counts: np.ndarray) -> float:
        return float((counts * (counts - 1) / 2).sum())

    rows, columns = pairs(table.sum(1)), pairs(table.sum(0))
    expected = rows * columns / pairs(np.array([first.size]))
    return (pairs(table) - expected) / ((rows + columns) / 2 - expected)


@pytest.mark.parametrize("min_size", [20, 150])
def test_felzenszwalb_is_the_published_algorithm(a_volume: np.ndarray, min_size: int) -> None:
    ours = felzenszwalb3d(a_volume, SPACING, min_size)
    assert len(np.unique(ours)) > 2
    assert adjusted_rand_index(ours, naive_felzenszwalb(a_volume, SPACING, min_size)) == 1.0


def test_felzenszwalb_regions_are_not_smaller_than_asked(a_volume: np.ndarray) -> None:
    assert np.bincount(felzenszwalb3d(a_volume, SPACING, 60).ravel()).min() >= 60


def test_slice_distance_decides_whether_regions_cross_slices(a_volume: np.ndarray) -> None:
    near = felzenszwalb3d(a_volume, (1, 1, 0.1), 40)
    far = felzenszwalb3d(a_volume, (1, 1, 50), 40)

    def slices_a_region(labels: np.ndarray) -> float:
        return float(np.mean([len(np.unique(np.nonzero(labels == label)[0])) for label in np.unique(labels)]))

    assert slices_a_region(near) > slices_a_region(far)


def test_slic_is_reproducible_and_follows_edges() -> None:
    volume = np.zeros((6, 40, 40), dtype=np.float32)
    volume[:, :, 23:] = 100
    labels = slic3d(volume, SPACING, min_size=200)
    assert np.array_equal(labels, slic3d(volume, SPACING, min_size=200))
    assert labels.dtype == np.int32
    assert len(np.unique(labels)) > 20
    assert not set(np.unique(labels[:, :, :23])) & set(np.unique(labels[:, :, 23:]))


def test_slic_cells_are_cubic_in_millimetres_and_span_slices() -> None:
    assert module._slic_grid((36, 256, 256), (1.25, 1.25, 7.7), 5000) == [32, 32, 5]
    assert module._slic_grid((36, 256, 256), (1.0, 1.0, 1.0), 1000) == [10, 10, 10]
    assert module._slic_grid((36, 256, 256), (1.0, 1.0, 90.0), 1200)[2] == 3
    assert module._slic_grid((1, 256, 256), (1.0, 1.0, 1.0), 400) == [20, 20, 1]


def test_foreground_is_the_largest_body_with_its_holes() -> None:
    volume = np.zeros((2, 30, 30))
    volume[:, 5:20, 5:20] = 255
    volume[:, 10:13, 10:13] = 0
    volume[:, 25:28, 25:28] = 255
    expected = np.zeros(volume.shape, dtype=bool)
    expected[:, 5:20, 5:20] = True
    assert np.array_equal(foreground_mask(volume), expected)


@pytest.mark.parametrize("method", ["slic", "felzenszwalb"])
def test_regions_cover_the_body_and_nothing_else(a_volume: np.ndarray, method: str) -> None:
    labels = supervoxels(a_volume, SPACING, method=method, min_size=100)  # type: ignore[arg-type]
    assert labels.dtype == np.int32
    assert np.array_equal(labels > 0, foreground_mask(a_volume))


def test_constant_volume_has_no_region() -> None:
    assert not supervoxels(np.full((3, 8, 8), 7.0), SPACING, min_size=50).any()


def test_unknown_method_and_flat_image_are_refused() -> None:
    with pytest.raises(InputError, match="watershed"):
        supervoxels(np.zeros((2, 4, 4)), method="watershed")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="2 axes"):
        supervoxels(np.zeros((4, 4)))


class TestCache:
    def labels(self, volume: np.ndarray, folder: Path, **options: int) -> np.ndarray:
        return supervoxels(volume, SPACING, **{"min_size": 100, "cache_folder": folder, **options})  # type: ignore

    def test_second_call_reads_the_first_result(
        self, a_volume: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = self.labels(a_volume, tmp_path / "new folder")
        monkeypatch.setattr(module, "slic3d", None)
        assert np.array_equal(first, self.labels(a_volume, tmp_path / "new folder"))

    def test_other_voxels_or_parameters_are_other_entries(self, a_volume: np.ndarray, tmp_path: Path) -> None:
        self.labels(a_volume, tmp_path)
        self.labels(a_volume, tmp_path, min_size=90)
        self.labels(a_volume + np.eye(20)[3], tmp_path)
        assert len(list(tmp_path.iterdir())) == 3

    @pytest.mark.parametrize("damage", ["cut", "text", "empty", "other shape"])
    def test_damaged_entry_is_computed_again(self, a_volume: np.ndarray, tmp_path: Path, damage: str) -> None:
        first = self.labels(a_volume, tmp_path)
        (entry,) = tmp_path.iterdir()
        good = entry.read_bytes()
        if damage == "other shape":
            np.savez(entry, labels=np.zeros((1, 2, 3), dtype=np.int32))
        else:
            entry.write_bytes({"cut": good[: len(good) // 2], "text": b"hello", "empty": b""}[damage])
        assert np.array_equal(first, self.labels(a_volume, tmp_path))
        with np.load(entry) as archive:
            assert np.array_equal(archive["labels"], first)
