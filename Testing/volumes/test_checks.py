"""Intensities that a network can be given."""

from __future__ import annotations

import numpy as np
import pytest

from momentumseg.errors import InputError
from momentumseg.volumes.checks import checked_intensities
from momentumseg.volumes.volume import Volume


def a_volume(*values: float, dtype: str = "float64") -> Volume:
    return Volume(np.array(values, dtype=dtype).reshape(1, 1, -1), np.eye(4), "scan")


def test_good_intensities_become_float32_without_a_word(a_phantom_volume):
    volume, warnings = checked_intensities(a_phantom_volume)
    assert warnings == []
    assert volume.array.dtype == np.float32
    np.testing.assert_array_equal(volume.array, a_phantom_volume.array)


def test_broken_voxels_become_the_minimum_and_are_counted():
    given = a_volume(3, np.nan, -5, np.inf, -np.inf)
    volume, warnings = checked_intensities(given)
    np.testing.assert_array_equal(volume.array.ravel(), (3, -5, -5, -5, -5))
    assert warnings == ["scan has 3 NaN or infinite voxels; they were replaced by its minimum (-5)."]
    assert np.isnan(given.array[0, 0, 1]), "the volume that was given stays as it was"


def test_numbers_beyond_float32_are_broken_too():
    volume, warnings = checked_intensities(a_volume(1, 2, 1e300))
    np.testing.assert_array_equal(volume.array.ravel(), (1, 2, 1))
    assert "1 NaN or infinite" in warnings[0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nothing_finite_is_refused(value):
    with pytest.raises(InputError, match="scan has only NaN or infinite"):
        checked_intensities(a_volume(value, value))


@pytest.mark.parametrize("values", [(4, 4, 4), (4, np.nan, 4), (0, 0)])
def test_a_constant_volume_is_refused(values):
    with pytest.raises(InputError, match="same value"):
        checked_intensities(a_volume(*values))


def test_integers_can_stay_as_they_are():
    given = a_volume(1, 2, 3, dtype="int16")
    volume, warnings = checked_intensities(given, keep_integers=True)
    assert volume is given
    assert warnings == []
    assert checked_intensities(a_volume(1, 2), keep_integers=True)[0].array.dtype == np.float32
    with pytest.raises(InputError, match="same value"):
        checked_intensities(a_volume(7, 7, dtype="int16"), keep_integers=True)
