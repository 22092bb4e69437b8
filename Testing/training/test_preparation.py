from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from momentumseg.errors import InputError
from momentumseg.training.episodes import EligibilityRules, EpisodeDataset
from momentumseg.training.preparation import RegionSource, prepare_volume
from momentumseg.volumes.volume import Volume


@pytest.fixture
def a_volume() -> Volume:
    rng = np.random.default_rng(0)
    array = 500 + 300 * ndimage.gaussian_filter(rng.standard_normal((8, 40, 30)), (1, 3, 3))
    return Volume(array.astype(np.int16), np.diag([-1.0, -1.0, 4.0, 1.0]), "phantom")


def test_prepared_volume_has_network_shape_and_one_label_map_a_source(a_volume: Volume) -> None:
    sources = (RegionSource(min_size=200), RegionSource(min_size=600), RegionSource("felzenszwalb", 300))
    prepared = prepare_volume(a_volume, size=64, plane="axial", sources=sources)
    assert prepared.stack.shape == (8, 64, 64)
    assert prepared.stack.dtype == np.float16
    assert prepared.regions.shape == (3, 8, 64, 64)
    assert len(np.unique(prepared.regions[0])) > len(np.unique(prepared.regions[1]))
    assert prepared.name == "phantom"


def test_regions_lie_within_the_field_of_view(a_volume: Volume) -> None:
    prepared = prepare_volume(a_volume, size=64, plane="axial", sources=(RegionSource(min_size=200),))
    # 30 of the 40 pixels of the window are covered along columns: 8 of 64 on either side are outside.
    assert not prepared.regions[..., :7].any()
    assert not prepared.regions[..., -7:].any()
    assert prepared.regions[..., 20:44].any()


def test_prepared_volume_gives_episodes_and_is_reproducible(a_volume: Volume, tmp_path: Path) -> None:
    rules = EligibilityRules(larger_area=60, smaller_area=20)
    options = {"size": 64, "plane": "axial", "sources": (RegionSource(min_size=400),), "cache_folder": tmp_path}
    first, second = (EpisodeDataset([prepare_volume(a_volume, **options)], rules=rules)[3] for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert len(list(tmp_path.iterdir())) == 1


def test_constant_volume_is_refused(a_volume: Volume) -> None:
    with pytest.raises(InputError):
        prepare_volume(a_volume.like(np.ones(a_volume.shape, dtype=np.float32)), size=64)
