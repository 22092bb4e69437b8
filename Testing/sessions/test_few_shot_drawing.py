"""What a user may draw, on which part of a volume, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from momentumseg.errors import EmptySupportError, GeometryError, InputError
from momentumseg.sessions.few_shot import FewShotSession
from momentumseg.volumes.volume import Volume


def same(first, second) -> bool:
    """Whether two results are equal to the last bit."""
    return np.array_equal(first.labelmap.array, second.labelmap.array) and np.array_equal(
        first.uncertainty.array, second.uncertainty.array
    )


def session_of(model, volume, tmp_path) -> FewShotSession:
    session = FewShotSession(model, cache_folder=tmp_path)
    session.set_volume(volume)
    return session


# Supports


def test_a_replaced_and_a_removed_support_leave_no_trace(a_session, a_drawn_slice):
    kept = a_session.add_support(a_drawn_slice(6), 6)
    expected = a_session.segment()
    a_session.replace_support(kept, a_drawn_slice(6, 2))
    assert not same(a_session.segment(), expected)
    a_session.replace_support(kept, a_drawn_slice(6))
    other = a_session.add_support(a_drawn_slice(3), 3)
    assert not same(a_session.segment(), expected)
    a_session.remove_support(other)
    assert same(a_session.segment(), expected)
    assert [support.id for support in a_session.supports] == [kept]


def test_drawing_the_same_place_again_replaces(a_session, a_drawn_slice):
    first = a_session.add_support(a_drawn_slice(6), 6)
    assert a_session.add_support(a_drawn_slice(6, 2), 6) == first
    (support,) = a_session.supports
    assert np.array_equal(support.mask, a_drawn_slice(6, 2))
    assert a_session.add_support(a_drawn_slice(6), 6, label=2) != first


def test_a_refused_replacement_keeps_the_old_support(a_session, a_drawn_slice):
    support = a_session.add_support(a_drawn_slice(6), 6)
    with pytest.raises(EmptySupportError):
        a_session.replace_support(support, np.zeros((40, 48)))
    assert a_session.supports[0].mask.any()


def test_a_drawn_slice_stays_as_it_was_drawn(a_session, a_drawn_slice):
    scribble = np.zeros((40, 48), bool)
    scribble[1:4, 2:30] = True
    a_session.add_support(scribble, 6)
    kept = a_session.segment()
    assert np.array_equal(kept.labelmap.array[6] == 1, scribble)
    assert np.array_equal(kept.probabilities[1].array[6] == 1, scribble)
    assert (kept.uncertainty.array[6] == 0).all()
    predicted = a_session.segment(keep_drawn=False, consistency=False)
    assert not np.array_equal(predicted.labelmap.array[6] == 1, scribble)
    kept = a_session.segment(consistency=False)
    assert np.array_equal(predicted.labelmap.array[7], kept.labelmap.array[7])


def test_another_label_may_grow_on_a_drawn_slice_but_not_over_it(a_session, a_drawn_slice):
    a_session.add_support(a_drawn_slice(6), 6, label=1)
    a_session.add_support(a_drawn_slice(5, 2), 5, label=2)
    labels = a_session.segment(consistency=False).labelmap.array
    assert np.array_equal(labels[6] == 1, a_drawn_slice(6))
    assert (labels[6] == 2).any()


def test_where_two_drawn_labels_overlap_the_later_wins(a_session):
    masks = np.zeros((2, 40, 48), bool)
    masks[0, :30], masks[1, 20:] = True, True
    a_session.add_support(masks[1], 6, label=2)
    a_session.add_support(masks[0], 6, label=1)
    assert np.array_equal(a_session.segment().labelmap.array[6, :, 0], [1] * 30 + [2] * 10)


def test_on_a_drawn_slice_the_other_labels_compete_without_the_drawn_one(a_session, a_drawn_slice):
    a_session.add_support(a_drawn_slice(5, 2), 5, label=2)
    alone = a_session.segment(consistency=False).slice_probabilities(6)[2]
    a_session.add_support(a_drawn_slice(6), 6, label=1)
    both = a_session.segment(consistency=False).slice_probabilities(6)
    drawn = a_drawn_slice(6)
    assert np.array_equal(both[2][~drawn], alone[~drawn])
    assert (both[2][drawn] == 0).all() and np.array_equal(both[1], drawn.astype(np.float32))


def test_a_support_of_another_volume_is_encoded_as_that_volume(
    a_session, a_model, a_phantom_volume, a_drawn_slice
):
    a_session.add_support(a_drawn_slice(6), 6)
    expected = a_session.segment(keep_drawn=False, consistency=False)
    a_session.clear_supports()
    # Another scanner: the same patient with other numbers, which its own normalisation takes back.
    other = a_phantom_volume.like(a_phantom_volume.array * 3 + 100, "other")
    a_session.add_support(a_drawn_slice(6), 6, volume=other)
    result = a_session.segment(consistency=False)
    assert a_model.encoded == 12 + 1
    difference = result.probabilities[1].array.astype(float) - expected.probabilities[1].array
    assert np.abs(difference).max() < 5e-3


def test_supports_stay_when_the_next_volume_is_set(a_session, a_phantom_volume, a_drawn_slice):
    a_session.add_support(a_drawn_slice(6), 6)
    a_session.set_volume(a_phantom_volume.like(a_phantom_volume.array * 3 + 100))
    result = a_session.segment()
    assert (result.labelmap.array == 1).any()


def test_supports_of_another_plane_rest(a_session, a_phantom_volume, a_drawn_slice):
    a_session.add_support(a_drawn_slice(6), 6)
    a_session.set_volume(a_phantom_volume, plane="coronal")
    with pytest.raises(InputError, match="No coronal slice is drawn"):
        a_session.segment()
    a_session.set_volume(a_phantom_volume)
    assert (a_session.segment().labelmap.array == 1).any()


def test_a_dot_that_down_sampling_misses_is_still_a_support(a_model, a_geometry, tmp_path):
    rng = np.random.default_rng(0)
    volume = Volume(rng.normal(size=(3, 400, 400)).astype(np.float32), a_geometry)
    with session_of(a_model, volume, tmp_path) as session:
        for place in range(8):
            dot = np.zeros((400, 400), bool)
            dot[200 + place, 100 + place] = True
            session.add_support(dot, 1)
            session.segment(slice_range=(1, 2))


# Labelmaps


def test_every_drawn_slice_and_label_of_a_labelmap_becomes_a_support(a_session, a_phantom_labelmap):
    drawn = np.zeros_like(a_phantom_labelmap.array)
    drawn[[3, 6]] = a_phantom_labelmap.array[[3, 6]]
    ids = a_session.add_supports_from_labelmap(drawn)
    assert [(support.slice_index, support.label) for support in a_session.supports] == [(3, 1), (3, 2), (6, 1), (6, 2)]
    assert ids == [support.id for support in a_session.supports]


def test_only_the_wanted_labels_are_taken(a_session, a_phantom_labelmap):
    a_session.add_supports_from_labelmap(a_phantom_labelmap, labels=[2])
    assert {support.label for support in a_session.supports} == {2}
    with pytest.raises(EmptySupportError, match="Label 9"):
        a_session.add_supports_from_labelmap(a_phantom_labelmap, labels=[2, 9])


def test_a_labelmap_of_another_geometry_is_resampled(a_session, a_phantom_labelmap):
    flipped = a_phantom_labelmap.ijk_to_ras.copy()
    flipped[:3, 3] += flipped[:3, 2] * 11
    flipped[:3, 2] *= -1
    drawn = np.zeros_like(a_phantom_labelmap.array)
    drawn[6] = a_phantom_labelmap.array[6]
    a_session.add_supports_from_labelmap(Volume(drawn[::-1], flipped))
    assert {support.slice_index for support in a_session.supports} == {6}
    assert np.array_equal(a_session.supports[0].mask, drawn[6] == 1)


def test_whole_numbers_in_a_float_labelmap_are_labels(a_session, a_phantom_labelmap):
    a_session.add_supports_from_labelmap(a_phantom_labelmap.array.astype(np.float32), labels=[1])
    assert {support.label for support in a_session.supports} == {1}


def test_large_labels_need_sixteen_bits(a_session, a_drawn_slice):
    a_session.add_support(a_drawn_slice(6), 6, label=300)
    result = a_session.segment()
    assert result.labelmap.array.dtype == np.uint16
    assert set(np.unique(result.labelmap.array)) == {0, 300}


# Parts of the volume


def test_outside_a_slice_range_is_background_and_not_encoded(a_session, a_model, a_drawn_slice):
    a_session.add_support(a_drawn_slice(6), 6)
    result = a_session.segment(slice_range=(5, 9))
    assert a_model.encoded == 4
    assert result.slice_indices == [5, 6, 7, 8]
    outside = [0, 1, 2, 3, 4, 9, 10, 11]
    assert not result.labelmap.array[outside].any() and not result.uncertainty.array[outside].any()


def test_inside_a_box_the_result_is_that_of_the_volume(a_session, a_drawn_slice):
    a_session.add_support(a_drawn_slice(6), 6)
    whole = a_session.segment(consistency=False)
    part = a_session.segment(box=((10, 30), (5, 25), (4, 8)), consistency=False)
    inside = (slice(4, 8), slice(5, 25), slice(10, 30))
    assert np.array_equal(part.labelmap.array[inside], whole.labelmap.array[inside])
    outside = np.ones(whole.labelmap.shape, bool)
    outside[inside] = False
    assert not part.labelmap.array[outside].any() and not part.uncertainty.array[outside].any()


@pytest.mark.parametrize("part", [{"slice_range": (9, 4)}, {"slice_range": (40, 50)}, {"slice_range": range(0, 9, 2)},
                                  {"box": ((0, 5), (0, 5))}, {"box": ((0, 9), (60, 70), (0, 9))},
                                  {"slice_range": (0, 3), "box": ((0, 9), (0, 9), (5, 9))}])
def test_a_part_that_is_none_is_refused(part, a_session, a_drawn_slice):
    a_session.add_support(a_drawn_slice(6), 6)
    with pytest.raises(InputError):
        a_session.segment(**part)


# What cannot be used


def test_nothing_works_before_a_volume_is_set(a_model, a_drawn_slice, tmp_path):
    session = FewShotSession(a_model, cache_folder=tmp_path)
    for call in (session.segment, session.encode, session.start_encoding, lambda: session.encoded_count,
                 lambda: session.add_support(a_drawn_slice(6), 6)):
        with pytest.raises(InputError, match="No volume is set"):
            call()


@pytest.mark.parametrize(("mask", "index", "label", "error", "text"), [
    (np.zeros((40, 48)), 6, 1, EmptySupportError, "Nothing is drawn on slice 6"),
    (np.ones((48, 40)), 6, 1, GeometryError, r"\(48, 40\) voxels"),
    (np.ones((40, 48)), 12, 1, InputError, "Slice 12 does not exist"),
    (np.ones((40, 48)), -1, 1, InputError, "Slice -1 does not exist"),
    (np.ones((40, 48)), 6, 0, InputError, "Label 0"),
    (np.full((40, 48), np.nan), 6, 1, InputError, "not numbers"),
])
def test_a_bad_support_is_refused_in_words(mask, index, label, error, text, a_session):
    with pytest.raises(error, match=text):
        a_session.add_support(mask, index, label=label)
    assert a_session.supports == []


@pytest.mark.parametrize(("change", "error", "text"), [
    (lambda labels: labels * 0, EmptySupportError, "is empty"),
    (lambda labels: labels * 0.5, InputError, "not whole numbers"),
    (lambda labels: labels.astype(np.int16) * -1, InputError, "from -2 to 0"),
    (lambda labels: labels[:-1], GeometryError, r"\(11, 40, 48\)"),
])
def test_a_bad_labelmap_is_refused_in_words(change, error, text, a_session, a_phantom_labelmap):
    with pytest.raises(error, match=text):
        a_session.add_supports_from_labelmap(change(a_phantom_labelmap.array))
    assert a_session.supports == []


def test_a_labelmap_that_lies_elsewhere_is_refused(a_session, a_phantom_labelmap):
    matrix = a_phantom_labelmap.ijk_to_ras.copy()
    matrix[:3, 3] += 1000
    with pytest.raises(GeometryError, match="share no region"):
        a_session.add_supports_from_labelmap(Volume(a_phantom_labelmap.array, matrix))


def test_other_mistakes_are_refused_in_words(a_session, a_phantom_volume, a_drawn_slice):
    with pytest.raises(InputError, match="No axial slice is drawn"):
        a_session.segment()
    with pytest.raises(InputError, match="no support 7"):
        a_session.remove_support(7)
    with pytest.raises(InputError, match="no support 7"):
        a_session.replace_support(7, a_drawn_slice(6))
    with pytest.raises(InputError, match="same|All voxels"):
        a_session.set_volume(a_phantom_volume.like(np.zeros(a_phantom_volume.shape)))
    with pytest.raises(InputError, match="no plane"):
        a_session.set_volume(a_phantom_volume, plane="diagonal")
    a_session.add_support(a_drawn_slice(6), 6)
    with pytest.raises(InputError, match="assignment"):
        a_session.segment(assignment="best")
    with pytest.raises(InputError, match="consistency"):
        a_session.segment(consistency="strong")


def test_voxels_that_are_not_numbers_count_as_the_minimum(a_model, a_phantom_volume, a_drawn_slice, tmp_path):
    clean = a_phantom_volume.array.astype(np.float32)
    clean[2, 3, 4:9] = clean[5, 0, 0] = clean.min()
    broken = clean.copy()
    broken[2, 3, 4:9] = np.nan
    broken[5, 0, 0] = np.inf
    images = []
    for array in (clean, broken):
        with session_of(a_model, a_phantom_volume.like(array), tmp_path) as session:
            session.add_support(a_drawn_slice(6), 6)
            session.segment()
            images.append(session._current.image(2))
    assert np.isfinite(images[1]).all()
    assert np.abs(images[0] - images[1]).max() < 0.01


def test_a_volume_of_one_slice_works(a_model, a_phantom_volume, a_drawn_slice, tmp_path):
    with session_of(a_model, Volume(a_phantom_volume.array[6:7], a_phantom_volume.ijk_to_ras), tmp_path) as session:
        session.add_support(a_drawn_slice(6), 0)
        assert np.array_equal(session.segment().labelmap.array[0], a_drawn_slice(6))


def test_neighbouring_slices_as_channels(a_model_with, a_phantom_volume, a_drawn_slice, tmp_path):
    with session_of(a_model_with("prototype", "neighbours"), a_phantom_volume, tmp_path) as session:
        session.add_support(a_drawn_slice(6), 6)
        session.segment()
        channels = session._current.channels(0)
        assert np.array_equal(channels[0], channels[1]) and not np.array_equal(channels[1], channels[2])
        assert np.array_equal(channels[2], session._current.image(1))
