from __future__ import annotations

import numpy as np
import pytest

from momentumseg.inference.shape_prior import ShapePrior, ShapePriorConfig

SIZE = 64


def a_disc(radius: float, centre: tuple[float, float] = (32, 32)) -> np.ndarray:
    rows, columns = np.ogrid[:SIZE, :SIZE]
    return ((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2).astype(np.uint8)


NOTHING_SEEN = np.full((12, SIZE // 4, SIZE // 4), -8.0, dtype=np.float32)


def a_prior(masks: dict[int, np.ndarray], network: np.ndarray = NOTHING_SEEN, **options: float) -> ShapePrior:
    config = ShapePriorConfig(**options)
    return ShapePrior(masks, pixel_spacing=1.0, slice_spacing=2.0, cell=4.0, config=config, network=network)


def network_that_sees(radius: dict[int, float]) -> np.ndarray:
    """Logits on the feature grid: a disc of so many pixels of radius on the slices named."""
    logits = NOTHING_SEEN.copy()
    for s, pixels in radius.items():
        logits[s][a_disc(pixels)[2::4, 2::4] > 0] = 8.0
    return logits


def test_a_drawn_slice_is_its_own_outline() -> None:
    mask = a_disc(10)

    prior = a_prior({5: mask})

    np.testing.assert_array_equal(prior.logit(5) > 0, mask > 0)


def test_half_way_between_two_discs_is_the_disc_of_mean_radius() -> None:
    prior = a_prior({0: a_disc(8), 4: a_disc(16)}, bulge=0.0)

    area = (prior.logit(2) > 0).sum()

    assert area == pytest.approx(a_disc(12).sum(), rel=0.03)


def test_between_the_middle_and_a_tip_of_a_ball_is_the_ball() -> None:
    # a ball of 20 mm, drawn through its middle and 16 mm (8 slices) from there, where its radius is 12 mm
    ball = a_prior({0: a_disc(20), 8: a_disc(12)}, bulge=1.0, elongation=1.0)
    cone = a_prior({0: a_disc(20), 8: a_disc(12)}, bulge=0.0)

    for s in (2, 4, 6):
        radius = np.sqrt(20**2 - (2 * s) ** 2)
        assert (ball.logit(s) > 0).sum() == pytest.approx(a_disc(radius).sum(), rel=0.03)
        assert (cone.logit(s) > 0).sum() < 0.95 * (ball.logit(s) > 0).sum()


def test_drawn_slices_are_their_own_outlines_whatever_the_bulge() -> None:
    masks = {0: a_disc(20), 5: a_disc(4, (30, 34)), 6: a_disc(1)}
    prior = a_prior(masks, bulge=1.0)

    for s, mask in masks.items():
        np.testing.assert_array_equal(prior.logit(s) > 0, mask > 0)


def test_half_way_between_shifted_discs_lies_in_between() -> None:
    prior = a_prior({0: a_disc(10, (28, 32)), 4: a_disc(10, (36, 32))})

    rows = np.nonzero(prior.logit(2) > 0)[0]

    assert rows.mean() == pytest.approx(32, abs=0.1)


def test_the_structure_tapers_beyond_the_outermost_slices_and_ends() -> None:
    prior = a_prior({5: a_disc(10)}, taper=1.0)

    areas = [(prior.logit(5 + step) > 0).sum() for step in range(8)]

    assert areas == sorted(areas, reverse=True)
    assert areas[1] > 0
    assert areas[7] == 0  # 14 mm beyond a disc of 10 mm


def test_a_small_outermost_slice_ends_sooner_than_a_large_one() -> None:
    small_end = a_prior({0: a_disc(16), 4: a_disc(10)})
    only_small = a_prior({4: a_disc(10)})

    assert (small_end.logit(6) > 0).sum() < (only_small.logit(6) > 0).sum()


def test_the_prior_is_less_certain_far_from_drawn_slices() -> None:
    prior = a_prior({0: a_disc(16), 10: a_disc(16)})

    certainty = [abs(prior.logit(s)[32, 32]) for s in (0, 2, 5)]

    assert certainty == sorted(certainty, reverse=True)


def test_the_prior_does_not_depend_on_the_unit_of_length() -> None:
    masks = {0: a_disc(8), 4: a_disc(16)}
    network = network_that_sees({4: 16, 6: 20})
    large = ShapePrior(masks, 1.0, 2.0, cell=4.0, config=ShapePriorConfig(), network=network)
    small = ShapePrior(masks, 0.1, 0.2, cell=0.4, config=ShapePriorConfig(), network=network)

    np.testing.assert_allclose(large.logit(6), small.logit(6), rtol=1e-4)


def test_a_ragged_structure_is_trusted_less_far_away_and_ends_later() -> None:
    comb = np.zeros((SIZE, SIZE), dtype=np.uint8)
    comb[16:48, 16:48:4] = 1  # many thin teeth
    comb[30:34, 16:48] = 1
    disc = a_disc(float(np.sqrt(comb.sum() / np.pi)))

    ragged, full = a_prior({0: comb}), a_prior({0: disc})

    assert abs(ragged.logit(6)[0, 0]) < abs(full.logit(6)[0, 0])
    lost = [prior.logit(0)[32, 32] - prior.logit(3)[32, 32] for prior in (ragged, full)]
    assert lost[0] < lost[1]


def test_outside_the_only_drawn_slice_the_prior_forbids_less_than_it_supports_inside() -> None:
    alone = a_prior({5: a_disc(10)}, taper=0.0)
    two = a_prior({0: a_disc(10), 5: a_disc(10)}, taper=0.0)  # they span the radius

    assert alone.logit(9)[32, 32] == pytest.approx(two.logit(9)[32, 32])  # inside nothing changes
    assert two.logit(9)[0, 0] < alone.logit(9)[0, 0] < 0


def test_two_neighbouring_slices_tell_hardly_more_than_one() -> None:
    outside = [
        a_prior(dict.fromkeys(slices, a_disc(16)), taper=0.0).logit(9)[0, 0] for slices in ((5,), (4, 5), (1, 5))
    ]

    assert outside[2] < outside[1] < outside[0] < 0
    assert outside[0] - outside[1] < outside[1] - outside[2]


def test_far_from_every_drawn_slice_the_prior_is_firm_outside() -> None:
    prior = a_prior({0: a_disc(10)})

    logits = [prior.logit(s)[0, 0] for s in (0, 20, 60)]

    assert logits[0] < logits[1]  # unsure near the drawn slice
    assert logits[2] < min(logits[1], -8)  # no network outvotes it far away


def test_a_slice_drawn_near_an_end_grows_towards_where_the_network_sees_more() -> None:
    network = network_that_sees({5: 8, 7: 18})
    prior = a_prior({5: a_disc(8)}, network)

    towards, away = (prior.logit(s) > 0 for s in (7, 3))

    assert towards.sum() > (a_disc(8) > 0).sum() > away.sum()


def test_what_the_network_sees_far_away_does_not_move_the_outline() -> None:
    blind = a_prior({5: a_disc(8)})
    elsewhere = NOTHING_SEEN.copy()
    elsewhere[7, :2, :2] = 8.0  # another organ in the corner

    np.testing.assert_allclose(a_prior({5: a_disc(8)}, elsewhere).logit(7), blind.logit(7), atol=1e-3)


def test_the_structure_ends_sooner_where_the_network_sees_less() -> None:
    blind, less = a_prior({5: a_disc(16)}), a_prior({5: a_disc(16)}, network_that_sees({5: 16, 6: 16, 7: 8}))

    assert (less.logit(7) > 0).sum() < (blind.logit(7) > 0).sum()
    np.testing.assert_allclose(less.logit(6), blind.logit(6), atol=1e-3)


def test_a_drawn_slice_outside_the_segmented_range_has_no_evidence_and_no_error() -> None:
    prior = a_prior({-3: a_disc(10), 20: a_disc(10)}, network_that_sees({11: 30}))

    assert np.isfinite(prior.logit(11)).all()
