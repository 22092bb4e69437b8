"""What a well-behaved client gets from a real worker."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from momentumseg import __version__


def test_hello_tells_who_the_worker_is_and_what_it_can(a_worker) -> None:
    a_worker.call("noop")
    hello = a_worker.client.hello
    assert hello["version"] == __version__ and hello["pid"] > 0
    assert {"id", "name", "total_bytes", "free_bytes"} == set(hello["devices"][0])
    assert hello["devices"][0]["id"] == "cpu"
    needed = {"set_volume", "encode", "segment", "iterates", "list_models", "download_model", "status", "free_memory"}
    assert needed <= set(hello["capabilities"])


def test_values_and_arrays_arrive_as_they_were_sent(a_worker) -> None:
    arrays = {"a": np.arange(24, dtype=">i2").reshape(2, 3, 4), "b": np.zeros((0, 5), bool), "c": np.float32(1.5)}
    arrays["d"] = np.arange(12.0).reshape(3, 4).T
    values, back = a_worker.call("test_echo", {"text": "Größe ✓", 1: [None, True]}, arrays)
    assert values == {"text": "Größe ✓", "1": [None, True]}
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)


def test_what_libraries_print_does_not_disturb_the_messages(a_worker) -> None:
    assert a_worker.call("test_print")[0] == {"read": ""}
    assert a_worker.call("test_echo", {"still": "here"})[0] == {"still": "here"}


def test_an_unexpected_error_is_one_sentence_and_the_log_has_the_traceback(a_worker) -> None:
    failure = a_worker.fail("test_fail")
    assert failure.kind == "user" and failure.error == "ValueError"
    assert "Something went wrong in the worker (reference " in failure.sentence
    assert "secret" not in failure.sentence and "Traceback" not in failure.sentence
    reference = failure.sentence.partition("reference ")[2][:8]
    log = Path(failure.log).read_text(encoding="utf-8")
    assert reference in log and "a secret of the inside" in log and "Traceback" in log
    a_worker.call("noop")


def test_used_up_memory_says_what_to_do(a_worker) -> None:
    failure = a_worker.fail("test_no_memory")
    assert "memory of the graphics card is used up" in failure.sentence and "smaller range" in failure.sentence
    a_worker.call("noop")


@pytest.mark.parametrize(
    ("method", "parameters", "words"),
    [
        ("no_such_method", {}, "has no method 'no_such_method'"),
        ("encode", {"volume": "nowhere", "plane": "axial", "model": "lmsnet-general"}, "does not have the volume"),
        ("forget_volume", {"volume": 5}, "must be a text"),
        ("set_volume", {"volume": "v", "ijk_to_ras": np.eye(4).tolist()}, "no array 'voxels'"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused_in_words(a_worker, method, parameters, words) -> None:
    failure = a_worker.fail(method, parameters)
    assert failure.kind == "user" and words in failure.sentence


@pytest.mark.parametrize(
    ("voxels", "matrix", "words"),
    [
        (np.zeros((3, 4, 5), np.int16), np.eye(4), "Leber has the same value in every voxel"),
        (np.full((3, 4, 5), np.nan, np.float32), np.eye(4), "only NaN or infinite"),
        (np.arange(20.0).reshape(4, 5), np.eye(4), "2 dimensions"),
        (np.arange(60).reshape(3, 4, 5), np.eye(3), r"shape (3, 3)"),
        (np.arange(60).reshape(3, 4, 5), np.zeros((4, 4)), "give an affine matrix"),
    ],
)
def test_a_volume_that_cannot_be_segmented_is_refused(a_worker, voxels, matrix, words) -> None:
    parameters = {"volume": "bad", "name": "Leber", "ijk_to_ras": matrix.tolist()}
    assert words in a_worker.fail("set_volume", parameters, {"voxels": voxels}).sentence
    assert "bad" not in a_worker.call("status")[0]["volumes"]


def test_voxels_that_are_no_numbers_are_told(a_worker) -> None:
    voxels = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    voxels[1, 1, :2] = np.nan, np.inf
    parameters = {"volume": "holes", "name": "CT", "ijk_to_ras": np.eye(4).tolist()}
    values, _ = a_worker.call("set_volume", parameters, {"voxels": voxels})
    assert values["warnings"] == ["CT has 2 NaN or infinite voxels; they count as its smallest value."]
    a_worker.call("forget_volume", {"volume": "holes"})


def test_a_running_job_is_cancelled_and_the_next_one_runs(a_worker) -> None:
    running, behind = a_worker.send("test_wait"), a_worker.send("test_echo", {"n": 2})
    a_worker.wait_until(lambda: running.state == "running")
    running.cancel()
    assert running.state == "cancelling" and running.is_active
    a_worker.wait(running, behind)
    assert running.state == "cancelled" and a_worker.end_of(running)[1].kind == "cancelled"
    assert behind.state == "done"


def test_a_waiting_job_is_cancelled_before_the_running_one_ends(a_worker) -> None:
    running, waiting = a_worker.send("test_wait"), a_worker.send("test_echo")
    a_worker.wait_until(lambda: running.state == "running")
    waiting.cancel()
    a_worker.wait(waiting)
    assert waiting.state == "cancelled" and running.state == "running"
    running.cancel()
    a_worker.wait(running)


def test_a_hundred_rapid_requests_and_cancels(a_worker) -> None:
    jobs = []
    for number in range(100):
        jobs.append(a_worker.send("test_wait" if number % 2 else "test_echo", {"number": number}))
        if number % 2 or number % 3 == 0:
            jobs[-1].cancel()
    a_worker.wait(*jobs)
    for number, job in enumerate(jobs):
        was_cancelled = bool(number % 2 or number % 3 == 0)
        assert job.state == ("cancelled" if was_cancelled else "done")
        assert a_worker.end_of(job)[0] == ("error" if was_cancelled else "result")
    assert not a_worker.client.jobs


def test_background_work_gives_way_and_goes_on_afterwards(a_worker) -> None:
    background = a_worker.send("test_background")
    a_worker.wait_until(lambda: background.state == "running")
    assert a_worker.call("test_echo", {"in": "between"})[0] == {"in": "between"}
    assert background.is_active
    later = a_worker.send("test_background")
    a_worker.wait(background)
    assert a_worker.end_of(background) == ("result", {"interrupted": True}, {})
    assert later.is_active
    later.cancel()
    a_worker.wait(later)
    assert later.state == "cancelled"


def test_of_each_kind_the_last_two_are_kept(a_worker) -> None:
    before = a_worker.call("test_keep", {"key": "a"})[0]["closed"]
    assert a_worker.call("test_keep", {"key": "b"})[0]["closed"] == before
    assert a_worker.call("test_keep", {"key": "a"})[0]["closed"] == before
    assert a_worker.call("test_keep", {"key": "c"})[0]["closed"] == before + 1
    a_worker.call("free_memory")
    assert a_worker.call("test_closed")[0]["closed"] == before + 3


def test_an_idle_worker_gives_its_memory_back(a_client_of, a_launch: Callable) -> None:
    worker = a_client_of(a_launch("--idle-seconds", "0.2"))
    worker.call("test_keep", {"key": "a"})
    worker.wait_until(lambda: bool(_closed_after(worker, seconds=0.6)))
    worker.client.stop(10.0)


def _closed_after(worker, seconds: float) -> int:
    """How much was given back after a time without requests."""
    time.sleep(seconds)
    return worker.call("test_closed")[0]["closed"]


def test_logs_lie_in_the_users_folder_and_old_ones_go(worker_environment, a_worker) -> None:
    a_worker.call("noop")
    log = Path(a_worker.fail("test_fail").log)
    assert log.parent == Path(worker_environment["MOMENTUMSEG_HOME"]) / "logs"
    assert str(a_worker.client.hello["pid"]) in log.name
    assert len(list(log.parent.glob("worker-*"))) <= 11


def test_the_worker_ends_when_its_input_closes(a_client_of, a_launch: Callable) -> None:
    worker = a_client_of(a_launch())
    busy = worker.send("test_wait")
    worker.wait_until(lambda: busy.state == "running")
    pid = worker.client.hello["pid"]
    worker.client.stop(60.0)
    assert busy.state == "cancelled" and worker.client.state == "stopped"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert worker.of(busy, "error") == [], "no callback is called after stop"
