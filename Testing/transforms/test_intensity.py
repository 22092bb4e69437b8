from __future__ import annotations

import numpy as np
import pytest

from momentumseg.errors import InputError
from momentumseg.transforms import intensity
from momentumseg.transforms.intensity import IntensityNormalization


def test_normalised_voxels_have_mean_zero_and_deviation_one() -> None:
    volume = np.random.default_rng(0).gamma(2, 50, (10, 20, 20))
    normalized = IntensityNormalization.fit(volume).apply(volume)
    assert normalized.dtype == np.float32
    assert abs(normalized.mean()) < 1e-5
    assert normalized.std() == pytest.approx(1, abs=1e-5)


def test_outliers_are_clipped_at_the_percentiles() -> None:
    volume = np.arange(1001.0)
    fitted = IntensityNormalization.fit(volume)
    assert (fitted.low, fitted.high) == (5.0, 995.0)
    assert fitted.apply(np.array([1e9])) == fitted.apply(np.array([995.0]))


def test_scale_and_offset_of_the_scanner_do_not_matter() -> None:
    volume = np.random.default_rng(1).random((4, 9, 9))
    scaled = volume * 300 - 1000
    np.testing.assert_allclose(
        IntensityNormalization.fit(volume).apply(volume), IntensityNormalization.fit(scaled).apply(scaled), atol=1e-4
    )


def test_a_tiny_object_on_an_even_background_is_kept() -> None:
    volume = np.zeros((4, 50, 50))
    volume[2, 3, 3:6] = 9
    normalized = IntensityNormalization.fit(volume).apply(volume)
    assert normalized[2, 3, 3] > normalized[0, 0, 0]


def test_integers_are_not_changed_in_place() -> None:
    volume = np.arange(100, dtype=np.int16)
    IntensityNormalization.fit(volume).apply(volume)
    assert np.array_equal(volume, np.arange(100))


def test_large_volumes_are_fitted_on_a_subset(monkeypatch: pytest.MonkeyPatch) -> None:
    volume = np.random.default_rng(2).standard_normal(200_000)
    exact = IntensityNormalization.fit(volume)
    monkeypatch.setattr(intensity, "_MAX_FITTED_VOXELS", 20_000)
    subset = IntensityNormalization.fit(volume)
    assert subset != exact
    assert subset.std == pytest.approx(exact.std, rel=0.03)


@pytest.mark.parametrize("voxels", [np.full((2, 3, 4), 7), np.zeros((0, 3, 3)), np.array([0.0, np.nan, 1.0])])
def test_useless_volumes_are_refused(voxels: np.ndarray) -> None:
    with pytest.raises(InputError):
        IntensityNormalization.fit(voxels)
