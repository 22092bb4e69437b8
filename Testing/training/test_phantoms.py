from __future__ import annotations

import numpy as np
import pytest

from momentumseg.training.episodes import EligibilityRules, EpisodeDataset, eligible_regions
from momentumseg.training.phantoms import _region_means, generate_phantom_volume
from momentumseg.training.prepared_volume import PreparedVolume

SHAPE = (12, 96, 96)


@pytest.fixture
def a_phantom() -> PreparedVolume:
    return generate_phantom_volume(np.random.default_rng(4), SHAPE)


def test_phantom_is_normalised_and_finite(a_phantom: PreparedVolume) -> None:
    stack = a_phantom.stack.astype(np.float32)
    assert stack.shape == SHAPE
    assert a_phantom.regions.shape == (1, *SHAPE)
    assert np.isfinite(stack).all()
    assert abs(stack.mean()) < 0.01
    assert stack.std() == pytest.approx(1, abs=0.01)


def test_phantom_depends_on_the_generator_alone(a_phantom: PreparedVolume) -> None:
    again = generate_phantom_volume(np.random.default_rng(4), SHAPE)
    other = generate_phantom_volume(np.random.default_rng(5), SHAPE)
    assert np.array_equal(a_phantom.stack, again.stack)
    assert np.array_equal(a_phantom.regions, again.regions)
    assert not np.array_equal(a_phantom.regions, other.regions)


@pytest.mark.parametrize("seed", range(6))
def test_every_phantom_gives_episodes(seed: int) -> None:
    phantom = generate_phantom_volume(np.random.default_rng(seed), SHAPE)
    rules = EligibilityRules(larger_area=40, smaller_area=10)
    assert len(eligible_regions(phantom.regions, rules)) >= 2
    assert EpisodeDataset([phantom], rules=rules)[0].support_mask.any()


def test_regions_change_smoothly_through_the_slices(a_phantom: PreparedVolume) -> None:
    overlaps = []
    for region in eligible_regions(a_phantom.regions, EligibilityRules(larger_area=60, smaller_area=40)):
        for lower, upper in region.pairs:
            first, second = (a_phantom.regions[0, k] == region.label for k in (lower, upper))
            overlaps.append(2 * (first & second).sum() / (first.sum() + second.sum()))
    assert np.mean(overlaps) > 0.6


def test_regions_lie_in_the_bright_body(a_phantom: PreparedVolume) -> None:
    body = a_phantom.regions[0] > 0
    assert a_phantom.stack[body].astype(np.float32).mean() > a_phantom.stack[:, :4].astype(np.float32).mean() + 0.5


def test_every_region_can_be_told_from_the_bulk() -> None:
    for seed in range(20):
        means = _region_means(np.random.default_rng(seed), 30)
        assert np.abs(means[1:] - means[0]).min() > 0.0999
