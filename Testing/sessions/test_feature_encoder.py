"""Encoding ahead of time: order, priority, cancellation, errors, spilling."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from momentumseg.errors import Cancelled, InputError
from momentumseg.sessions.few_shot import FewShotSession

WAIT = 30  # seconds after which a test that waits for a thread gives up


def wait_for(condition) -> None:
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end, "the thread did not get there"
        time.sleep(0.01)


@pytest.fixture
def a_gate(a_model):
    """The encoder waits before each batch until the gate is open."""
    gate, original = threading.Event(), a_model.network.encode

    def waiting(images):
        assert gate.wait(WAIT)
        return original(images)

    a_model.network.encode = waiting
    yield gate
    gate.set()


def test_encoding_reports_progress_and_is_done_once(a_session, a_model):
    seen = []
    a_session.encode(progress=lambda done, count: seen.append((done, count)))
    assert seen == [(done, 12) for done in range(1, 13)] and a_session.encoded_count == 12
    a_session.encode()
    assert a_model.encoded == 12


def test_the_nearest_slices_are_encoded_first(a_session):
    with pytest.raises(Cancelled):
        a_session.encode(first_slice=9, cancelled=lambda: a_session.encoded_count == 5)
    encoded = [s for s in range(12) if a_session._encoder.key(a_session._current, s) in a_session._cache]
    assert encoded == [7, 8, 9, 10, 11]


def test_a_cancelled_encoding_goes_on_where_it_was(a_session, a_model):
    with pytest.raises(Cancelled):
        a_session.encode(cancelled=lambda: a_session.encoded_count == 5)
    a_session.encode()
    assert a_model.encoded == 12


def test_the_thread_encodes_everything(a_session, a_model):
    a_session.start_encoding(first_slice=3)
    wait_for(lambda: not a_session.is_encoding)
    assert a_session.encoded_count == a_model.encoded == 12


def test_stopping_the_thread_keeps_what_is_encoded(a_session, a_model, a_gate):
    a_session.start_encoding()
    stopper = threading.Thread(target=a_session.stop_encoding)
    stopper.start()
    a_gate.set()
    stopper.join(WAIT)
    assert not stopper.is_alive() and not a_session.is_encoding
    assert a_session.encoded_count == a_model.encoded <= 2
    a_session.encode()
    assert a_model.encoded == 12


def test_a_request_goes_first(a_session, a_model, a_gate, a_drawn_slice):
    """The thread starts at slice 0; the slices that are asked for meanwhile are at hand before it goes on."""
    a_session.add_support(a_drawn_slice(6), 6)
    a_session.start_encoding(first_slice=0)
    encoded_when_done = []

    def segment() -> None:
        a_session.segment(slice_range=(8, 11))
        encoded_when_done.append(a_model.encoded)

    request = threading.Thread(target=segment)
    request.start()
    wait_for(lambda: a_session._encoder._requests == 1)
    a_gate.set()
    request.join(WAIT)
    # slices 8, 9, 10 and the drawn one; the thread had one slice under way, and may have begun another at the end
    assert 4 <= encoded_when_done[0] <= 7
    wait_for(lambda: not a_session.is_encoding)
    assert a_session.encoded_count == a_model.encoded == 12


def test_an_error_in_the_thread_surfaces_once_at_the_next_call(a_session, a_model, a_drawn_slice):
    original = a_model.network.encode

    def failing(images):
        raise RuntimeError("out of memory")

    a_model.network.encode = failing
    a_session.start_encoding()
    wait_for(lambda: not a_session.is_encoding)
    a_model.network.encode = original
    with pytest.raises(RuntimeError, match="out of memory"):
        a_session.add_support(a_drawn_slice(6), 6)
    a_session.add_support(a_drawn_slice(6), 6)
    assert (a_session.segment().labelmap.array == 1).any()


def test_another_volume_ends_the_encoding_of_the_first(a_session, a_phantom_volume, a_gate):
    a_session.start_encoding()
    a_gate.set()
    a_session.set_volume(a_phantom_volume.like(a_phantom_volume.array * 2))
    assert not a_session.is_encoding and a_session.encoded_count == 0


def test_no_such_first_slice(a_session):
    with pytest.raises(InputError, match="Slice 12 does not exist"):
        a_session.encode(first_slice=12)


@pytest.mark.parametrize("stop_after", [0, 1, 3, 12])
def test_a_cancelled_segmentation_leaves_the_session_usable(stop_after, a_session, a_drawn_slice):
    a_session.add_support(a_drawn_slice(6), 6)
    expected = a_session.segment()
    suggestion = a_session.suggest_next_slice()
    asked = []
    with pytest.raises(Cancelled):
        a_session.segment(cancelled=lambda: asked.append(1) or len(asked) > stop_after)
    assert a_session.suggest_next_slice() == suggestion
    assert np.array_equal(a_session.segment().labelmap.array, expected.labelmap.array)


def test_an_error_in_a_callback_leaves_the_session_usable(a_session, a_drawn_slice):
    a_session.add_support(a_drawn_slice(6), 6)
    with pytest.raises(ZeroDivisionError):
        a_session.segment(on_slice=lambda *_: 1 / 0)
    a_session.start_encoding()
    wait_for(lambda: not a_session.is_encoding)
    assert a_session.encoded_count == 12


def test_a_support_removed_meanwhile_does_not_disturb_a_result(a_session, a_drawn_slice, a_phantom_volume):
    other = a_phantom_volume.like(a_phantom_volume.array * 2)
    support = a_session.add_support(a_drawn_slice(6), 6, volume=other)
    expected = a_session.segment()
    removed = []

    def remove_once(*_) -> None:
        if not removed:
            removed.append(a_session.remove_support(support))

    result = a_session.segment(on_slice=remove_once)
    assert np.array_equal(result.labelmap.array, expected.labelmap.array)
    assert a_session.supports == []


def test_spilled_and_kept_features_give_the_same_result(a_model, a_phantom_volume, a_drawn_slice, tmp_path):
    results = []
    for budget in (1 << 30, 3 * 12 * 12 * 32 * 2):
        with FewShotSession(a_model, cache_folder=tmp_path, cache_budget_bytes=budget) as session:
            session.set_volume(a_phantom_volume)
            session.add_support(a_drawn_slice(6), 6)
            session.encode()
            before = a_model.encoded
            results.append(session.segment())
            assert a_model.encoded == before
            assert (session._cache.disk_bytes > 0) == (budget < 1 << 30)
    assert np.array_equal(results[0].probabilities[1].array, results[1].probabilities[1].array)
    assert list(tmp_path.iterdir()) == []
