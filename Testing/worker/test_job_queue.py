"""The order in which a worker takes its requests."""

from __future__ import annotations

import pytest

from momentumseg.worker.job_queue import Job, JobQueue
from momentumseg.worker.protocol import Frame


def _job(identity: int, background: bool = False) -> Job:
    return Job(identity, Frame({"kind": "request"}, []), background)


@pytest.fixture
def a_queue() -> JobQueue:
    return JobQueue()


def _ids(queue: JobQueue) -> list[int]:
    return [job.id for job in iter(lambda: queue.next(0.0), None)]


def test_requests_keep_their_order_and_background_ones_wait_for_all(a_queue: JobQueue) -> None:
    for job in (_job(1, background=True), _job(2), _job(3), _job(4, background=True)):
        a_queue.put(job)
    assert _ids(a_queue) == [2, 3, 1, 4]


def test_a_background_request_gives_way_to_every_later_one(a_queue: JobQueue) -> None:
    a_queue.put(_job(1, background=True))
    running = a_queue.next(0.0)
    assert running is not None and not a_queue.must_give_way(running)
    a_queue.put(_job(2))
    assert a_queue.must_give_way(running)
    assert a_queue.put_back(running)
    assert _ids(a_queue) == [2, 1]


def test_a_later_background_request_takes_the_place_of_an_earlier_one(a_queue: JobQueue) -> None:
    a_queue.put(_job(1, background=True))
    running = a_queue.next(0.0)
    a_queue.put(_job(2, background=True))
    assert running is not None and a_queue.must_give_way(running)
    assert not a_queue.put_back(running)


def test_an_ordinary_request_does_not_give_way(a_queue: JobQueue) -> None:
    a_queue.put(_job(1))
    running = a_queue.next(0.0)
    a_queue.put(_job(2))
    assert running is not None and not a_queue.must_give_way(running)


def test_a_waiting_request_is_cancelled_at_once_and_a_running_one_is_told(a_queue: JobQueue) -> None:
    a_queue.put(_job(1))
    a_queue.put(_job(2))
    running = a_queue.next(0.0)
    waiting = a_queue.cancel(2)
    assert waiting is not None and waiting.id == 2
    assert a_queue.cancel(1) is None and running is not None and running.cancelled.is_set()
    assert a_queue.cancel(99) is None
    assert _ids(a_queue) == []


def test_closing_forgets_what_waits_and_cancels_what_runs(a_queue: JobQueue) -> None:
    a_queue.put(_job(1))
    running = a_queue.next(0.0)
    a_queue.put(_job(2))
    a_queue.close()
    assert running is not None and running.cancelled.is_set()
    assert a_queue.next(None) is None and not a_queue.put_back(running)
