"""The intensity rules of automatic networks."""

from __future__ import annotations

import numpy as np
import pytest

from momentumseg.errors import InputError
from momentumseg.transforms.case_intensity import checked_intensity_rule, normalized_channels


@pytest.fixture
def an_image() -> np.ndarray:
    """Two channels of different ranges."""
    rng = np.random.default_rng(0)
    return np.stack([rng.normal(500.0, 80.0, (6, 20, 20)), rng.exponential(3.0, (6, 20, 20))]).astype(np.float32)


def test_zscore_is_of_each_channel_by_itself(an_image: np.ndarray) -> None:
    for channel in normalized_channels(an_image, "zscore"):
        assert channel.mean() == pytest.approx(0.0, abs=1e-4)
        assert channel.std() == pytest.approx(1.0, abs=1e-4)


def test_percentiles_cut_what_is_far_out(an_image: np.ndarray) -> None:
    with_metal = an_image.copy()
    with_metal[0, 0, 0, 0] = 1e6
    found = normalized_channels(with_metal, "percentile")
    assert found[0].max() < 4.0
    np.testing.assert_allclose(found[0, 1:], normalized_channels(an_image, "percentile")[0, 1:], atol=0.05)
    assert normalized_channels(with_metal, "zscore")[0].max() > 40.0


def test_window_goes_from_minus_one_to_one() -> None:
    image = np.array([-500, -100, 100, 300, 900], dtype=np.int16).reshape(1, 5, 1, 1)
    np.testing.assert_allclose(normalized_channels(image, [-100, 300]).ravel(), [-1, -1, 0, 1, 1])


def test_result_may_take_the_place_of_the_image(an_image: np.ndarray) -> None:
    expected = normalized_channels(an_image, "percentile")
    assert normalized_channels(an_image, "percentile", out=an_image) is an_image
    np.testing.assert_array_equal(an_image, expected)


def test_own_values_stay_as_they_are(an_image: np.ndarray) -> None:
    np.testing.assert_array_equal(normalized_channels(an_image, "own"), an_image)


@pytest.mark.parametrize("rule", ["z-score", 3, [1.0], [5, 5], [300, -100], ["a", "b"], None, [0, float("inf")]])
def test_unknown_rules_are_refused_in_words(rule: object) -> None:
    with pytest.raises(InputError, match="choose 'zscore', 'percentile' or a window"):
        checked_intensity_rule(rule)


def test_channel_without_contrast_is_refused() -> None:
    with pytest.raises(InputError, match="value 7"):
        normalized_channels(np.full((1, 2, 2, 2), 7.0), "zscore")
