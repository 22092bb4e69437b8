"""FewShotSession: what a result depends on, what a change costs, and what else a result tells."""

from __future__ import annotations

import numpy as np
import pytest

from momentumseg.errors import InputError
from momentumseg.sessions.few_shot import FewShotSession
from momentumseg.sessions.few_shot_suggestion import help_of_drawing
from momentumseg.volumes.volume import Volume

HEADS = ("prototype", "regional", "lms", "flms")


def same(first, second) -> bool:
    """Whether two results are equal to the last bit."""
    return (
        np.array_equal(first.labelmap.array, second.labelmap.array)
        and list(first.probabilities) == list(second.probabilities)
        and all(
            np.array_equal(first.probabilities[label].array, second.probabilities[label].array)
            for label in first.probabilities
        )
        and np.array_equal(first.uncertainty.array, second.uncertainty.array)
    )


def session_of(model, volume, tmp_path, **options) -> FewShotSession:
    session = FewShotSession(model, cache_folder=tmp_path, **options)
    session.set_volume(volume)
    return session


# Identities


@pytest.mark.parametrize("head", HEADS)
def test_cached_and_uncached_results_are_identical(head, a_model_with, a_phantom_volume, a_drawn_slice, tmp_path):
    with session_of(a_model_with(head), a_phantom_volume, tmp_path) as cached:
        cached.add_support(a_drawn_slice(6), 6)
        cached.encode()
        first, again = cached.segment(), cached.segment()
    with session_of(a_model_with(head), a_phantom_volume, tmp_path, cache_budget_bytes=0) as uncached:
        uncached._cache._spilling = False
        uncached.add_support(a_drawn_slice(6), 6)
        assert same(first, uncached.segment())
        assert uncached.encoded_count == 0
    assert same(first, again)
    assert 0 < (first.labelmap.array == 1).mean() < 1


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_slice_alone_equals_the_slice_of_the_volume(
    head, batch_size, a_model_with, a_phantom_volume, a_drawn_slice, tmp_path
):
    with session_of(a_model_with(head), a_phantom_volume, tmp_path, batch_size=batch_size) as session:
        session.add_support(a_drawn_slice(6), 6)
        whole = session.segment(consistency=False)
        for index in (0, 5, 11):
            alone = session.segment(slice_range=(index, index + 1), consistency=False)
            assert np.array_equal(alone.labelmap.array[index], whole.labelmap.array[index])
            assert np.array_equal(alone.slice_probabilities(index)[1], whole.slice_probabilities(index)[1])
            assert alone.mean_uncertainty == {index: whole.mean_uncertainty[index]}


def test_batches_of_one_and_of_four_agree(a_model_with, a_phantom_volume, a_drawn_slice, tmp_path):
    results = []
    for batch_size in (1, 4):
        with session_of(a_model_with("lms"), a_phantom_volume, tmp_path, batch_size=batch_size) as session:
            session.add_support(a_drawn_slice(6), 6)
            results.append(session.segment(consistency=False))
    difference = results[0].probabilities[1].array.astype(float) - results[1].probabilities[1].array
    assert np.abs(difference).max() < 2e-3


def test_batches_have_one_size(a_model_with, a_phantom_volume, a_drawn_slice, tmp_path):
    model = a_model_with()
    with session_of(model, a_phantom_volume, tmp_path, batch_size=5) as session:
        session.add_support(a_drawn_slice(6), 6)
        session.segment()
    assert set(model.batches) == {5}


@pytest.mark.parametrize("consistency", [False, True])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_the_last_streamed_slices_are_those_of_the_result(
    batch_size, consistency, a_model, a_phantom_volume, a_drawn_slice, tmp_path
):
    with session_of(a_model, a_phantom_volume, tmp_path, batch_size=batch_size) as session:
        session.add_support(a_drawn_slice(8), 8)
        session.add_support(a_drawn_slice(5, 2), 5, label=2)
        silent, streamed = session.segment(consistency=consistency), []
        result = session.segment(on_slice=lambda *arguments: streamed.append(arguments), consistency=consistency)
    assert same(silent, result)
    assert len(streamed) == (24 if consistency else 12)
    assert sorted(index for index, _ in streamed[-12:]) == list(range(12))
    for index, by_label in streamed[-12:]:
        for label, probability in by_label.items():
            assert np.array_equal(probability.astype(np.float16), result.probabilities[label].array[index])


def test_slices_arrive_nearest_to_the_drawn_one_first(a_session, a_drawn_slice):
    a_session.add_support(a_drawn_slice(8), 8)
    order = []
    a_session.segment(on_slice=lambda index, _: order.append(index), consistency=False)
    distances = [abs(index - 8) for index in order]
    assert distances == sorted(distances)


def test_the_order_of_drawing_changes_nothing(a_model, a_phantom_volume, a_drawn_slice, tmp_path):
    results = []
    for order in ((4, 6, 8), (8, 4, 6)):
        with session_of(a_model, a_phantom_volume, tmp_path) as session:
            for index in order:
                session.add_support(a_drawn_slice(index), index)
            results.append(session.segment(assignment="all"))
    assert same(*results)


# What a change costs


def test_a_change_of_supports_costs_only_the_heads(a_session, a_model, a_drawn_slice):
    first = a_session.add_support(a_drawn_slice(6), 6)
    a_session.segment()
    assert a_model.encoded == 12
    a_session.replace_support(first, a_drawn_slice(6, 2))
    a_session.segment()
    a_session.add_support(a_drawn_slice(4), 4)
    a_session.segment(assignment="all")
    a_session.remove_support(first)
    a_session.segment()
    assert a_model.encoded == 12


def test_the_same_volume_set_again_is_not_encoded_again(a_session, a_model, a_phantom_volume):
    a_session.encode()
    a_session.set_volume(a_phantom_volume.like(a_phantom_volume.array.copy()))
    assert a_session.encoded_count == 12
    a_session.set_volume(a_phantom_volume, plane="sagittal")
    assert a_session.encoded_count == 0
    a_session.set_volume(a_phantom_volume.like(a_phantom_volume.array + 1))
    assert a_session.encoded_count == 0
    assert a_model.encoded == 12


def test_voxels_changed_in_place_are_noticed(a_session, a_phantom_volume):
    a_session.encode()
    a_phantom_volume.array[...] = a_phantom_volume.array[::-1].copy()
    a_session.set_volume(a_phantom_volume)
    assert a_session.encoded_count == 0


def test_summaries_are_computed_once_for_each_set_of_supports(a_session, a_model, a_drawn_slice):
    calls = []
    original = a_model.network.summarize
    a_model.network.summarize = lambda *arguments: calls.append(1) or original(*arguments)
    for index in (3, 6, 9):
        support = a_session.add_support(a_drawn_slice(index), index)
    a_session.segment()
    assert len(calls) == 3
    a_session.segment()
    assert len(calls) == 3
    a_session.replace_support(support, a_drawn_slice(6))
    a_session.segment()
    assert len(calls) == 4


def test_several_labels_share_the_encoder(a_session, a_model, a_drawn_slice):
    a_session.add_support(a_drawn_slice(6), 6, label=1)
    a_session.add_support(a_drawn_slice(6, 2), 6, label=2)
    a_session.segment()
    assert a_model.encoded == 12


# Planes and orientations


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("flips", [(), (0, 2), (0, 1, 2)])
def test_an_oblique_flipped_volume_gives_the_same_mask(
    plane, flips, a_model, a_phantom_volume, a_phantom_labelmap, tmp_path
):
    """The patient is the same, the file's order and directions are not: the mask comes back in the same voxels."""
    order = (1, 2, 0)
    turned = [flip_and_transpose(volume, flips, order) for volume in (a_phantom_volume, a_phantom_labelmap)]
    results = []
    for volume, labelmap in ((a_phantom_volume, a_phantom_labelmap), turned):
        with session_of(a_model, volume, tmp_path) as session:
            session.set_volume(volume, plane=plane)
            middle = labelmap.array.shape[session.slice_axis] // 2
            if session.slice_axis in [order.index(axis) for axis in flips] and volume is turned[0]:
                middle = labelmap.array.shape[session.slice_axis] - 1 - middle
            session.add_support(np.take(labelmap.array, middle, axis=session.slice_axis) == 1, middle)
            results.append(session.segment(consistency=False))
    back = (
        np.flip(results[1].labelmap.array.transpose(np.argsort(order)), flips)
        if flips
        else (results[1].labelmap.array.transpose(np.argsort(order)))
    )
    assert (back == results[0].labelmap.array).mean() > 0.999
    assert results[0].labelmap.array.any()
    assert np.array_equal(results[1].labelmap.ijk_to_ras, turned[0].ijk_to_ras)


def flip_and_transpose(volume: Volume, flips: tuple[int, ...], order: tuple[int, ...]) -> Volume:
    """The same voxels in the same places with (K, J, I) axes flipped and then permuted, turned by 9 degrees."""
    matrix = volume.ijk_to_ras.copy()
    for axis in flips:
        column = 2 - axis
        matrix[:3, 3] += matrix[:3, column] * (volume.shape[axis] - 1)
        matrix[:3, column] *= -1
    columns = [2 - order[2 - column] for column in range(3)]
    matrix[:3, :3] = matrix[:3, columns]
    angle = np.deg2rad(9)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    array = np.flip(volume.array, flips) if flips else volume.array
    return Volume(np.ascontiguousarray(array.transpose(order)), turn @ matrix, volume.name)


# Suggestion


def test_the_slice_that_helps_most_is_suggested_and_none_that_is_drawn_or_skipped(a_session, a_drawn_slice):
    a_session.add_support(a_drawn_slice(6), 6)
    result = a_session.segment()
    helps = help_of_drawing(result.uncertain_area[1], {6})
    first = a_session.suggest_next_slice()
    assert first == max(helps, key=helps.get) != 6
    without = help_of_drawing(result.uncertain_area[1], {6, first})
    second = max(without, key=without.get)
    assert a_session.suggest_next_slice(skip=[first]) == second not in (6, first)
    a_session.add_support(a_drawn_slice(6), first)
    assert a_session.suggest_next_slice() == second


def test_a_suggestion_for_one_of_several_labels(a_session, a_drawn_slice):
    a_session.add_support(a_drawn_slice(6), 6)
    a_session.add_support(a_drawn_slice(6, 2), 6, label=2)
    a_session.add_support(a_drawn_slice(8, 2), 8, label=2)
    result = a_session.segment()
    for label, known in ((1, {6}), (2, {6, 8})):
        helps = help_of_drawing(result.uncertain_area[label], known)
        assert a_session.suggest_next_slice(label) == max(helps, key=helps.get)
    with pytest.raises(InputError, match="Label 3 was not segmented"):
        a_session.suggest_next_slice(3)


def test_a_suggestion_needs_a_result_and_an_open_slice(a_session, a_drawn_slice):
    with pytest.raises(InputError, match="no result yet"):
        a_session.suggest_next_slice()
    a_session.add_support(a_drawn_slice(6), 6)
    a_session.segment(slice_range=(6, 7))
    with pytest.raises(InputError, match="nothing left"):
        a_session.suggest_next_slice()


# Iterates


def test_iterates_are_kept_when_asked_for(a_model_with, a_phantom_volume, a_drawn_slice, tmp_path):
    with session_of(a_model_with("lms"), a_phantom_volume, tmp_path) as session:
        session.add_support(a_drawn_slice(6), 6)
        plain, kept = session.segment(keep_drawn=False), session.segment(keep_drawn=False, keep_iterates=True)
    assert same(plain, kept) and plain.iterates is None
    assert sorted(kept.iterates[1]) == list(range(12))
    stages = kept.iterate_slices(1, 3)
    assert len(stages) == 3 and stages[0]["foreground"].shape == (40, 48)
    assert ((stages[-1]["entropy"] >= 0) & (stages[-1]["entropy"] <= 1)).all()
    with pytest.raises(InputError, match="iterates of label 1"):
        plain.iterate_slices(1, 3)
