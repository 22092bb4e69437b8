"""Workers that die, hang, answer rubbish or never start: each job ends once, in words, and the next one works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from MomentumSegLib.errors import UserError
from MomentumSegLib.worker_client import Job, WorkerClient

posix_only = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@posix_only
def test_a_killed_worker_fails_its_jobs_and_the_next_request_starts_another(a_client_of, a_launch) -> None:
    worker = a_client_of(a_launch())
    running, waiting = worker.send("test_wait"), worker.send("test_echo")
    worker.wait_until(lambda: running.state == "running")
    generation, pid = worker.client.generation, worker.client.hello["pid"]
    os.kill(pid, signal.SIGKILL)
    worker.wait(running, waiting)
    for job in (running, waiting):
        failure = worker.end_of(job)[1]
        assert job.state == "failed" and failure.kind == "crashed"
        assert "signal 9" in failure.sentence and "nothing was changed" in failure.sentence
        assert "memory" in failure.sentence
    assert worker.client.state == "stopped" and worker.client.hello is None
    assert worker.call("test_echo", {"again": 1})[0] == {"again": 1}
    assert worker.client.generation == generation + 1 and worker.client.hello["pid"] != pid


@posix_only
def test_a_hung_worker_is_ended_after_the_grace_period(a_client_of, a_launch) -> None:
    """The whole process stands still, so that it reads nothing; a large volume waits in front of the cancel."""
    worker = a_client_of(a_launch(), grace_seconds=0.5)
    running = worker.send("test_hang")
    worker.wait_until(lambda: running.state == "running")
    pid = worker.client.hello["pid"]
    os.kill(pid, signal.SIGSTOP)
    behind = worker.send("test_echo", {}, {"large": np.zeros(8 << 20, np.uint8)})
    running.cancel()
    assert running.state == "cancelling"
    worker.wait(running, behind)
    assert running.state == "cancelled" and worker.end_of(running)[1].kind == "cancelled"
    assert worker.end_of(behind)[1].kind == "crashed" and "did not stop" in worker.end_of(behind)[1].sentence
    worker.wait_until(lambda: not _is_alive(pid))


def test_a_job_that_does_not_listen_is_ended_with_its_worker(a_client_of, a_stand_in) -> None:
    launch = a_stand_in("""
        hello(); ready()
        send(kind="started", id=request().header["id"])
        time.sleep(600)
    """)
    worker = a_client_of(launch, grace_seconds=0.3)
    job = worker.send("deaf")
    worker.wait_until(lambda: job.state == "running")
    job.cancel()
    worker.wait(job)
    assert job.state == "cancelled" and worker.client.state == "stopped"


class _SlowLine:
    """A connection on which a frame is still being written."""

    def __init__(self) -> None:
        self.last_write = 0.0
        self.written = 0

    def is_written(self, number: int) -> bool:
        return self.written >= number


def test_a_volume_on_a_slow_line_is_no_reason_to_end_the_worker() -> None:
    """The wish to cancel waits behind the volume: the grace period begins when the worker can read it."""
    client = WorkerClient(lambda: pytest.fail("no worker is needed"), grace_seconds=8.0)
    line = client._connection = _SlowLine()
    job = Job(1, "set_volume", client, state="cancelling", _cancel_number=2, _cancel_read=100.0)
    line.last_write = 150.0  # a piece of the volume went through
    assert not client._is_overdue(job, 157.0)
    line.written = 2
    assert not client._is_overdue(job, 159.0) and not client._is_overdue(job, 166.0)
    assert client._is_overdue(job, 167.5)


def test_a_line_on_which_nothing_moves_is_given_up() -> None:
    client = WorkerClient(lambda: pytest.fail("no worker is needed"), grace_seconds=8.0)
    client._connection = _SlowLine()
    job = Job(1, "set_volume", client, state="cancelling", _cancel_number=2, _cancel_read=100.0)
    assert not client._is_overdue(job, 107.0) and client._is_overdue(job, 108.5)


@pytest.mark.parametrize("rubbish", ["b'Segmentation fault; core dumped, or so'", "b'MSEG' + bytes(12)", "bytes(100)"])
def test_rubbish_ends_the_worker_in_words(a_client_of, a_stand_in, rubbish) -> None:
    worker = a_client_of(a_stand_in(f"hello(); ready(); request(); out.write({rubbish}); time.sleep(600)"))
    failure = worker.fail("noop")
    assert failure.kind == "protocol" and "is no message" in failure.sentence and "\n" not in failure.sentence
    assert worker.client.state == "stopped"


@pytest.mark.parametrize(
    "header",
    [
        {"kind": "result", "id": 999, "values": {}},
        {"kind": "partial", "id": 999, "values": {}},
        {"kind": "cancelled", "id": 999},
        {"kind": "ready", "devices": [], "capabilities": []},
    ],
)
def test_messages_about_nothing_known_are_passed_over(a_client_of, a_stand_in, header) -> None:
    lines = f"hello(); ready(); job = request().header['id']; send(**{header!r})\n"
    worker = a_client_of(a_stand_in(lines + "send(kind='result', id=job, values={'x': 1}); time.sleep(600)"))
    assert worker.call("noop")[0] == {"x": 1}


def test_a_worker_that_dies_in_the_middle_of_a_message_has_crashed(a_client_of, a_stand_in) -> None:
    lines = "hello(); ready(); request(); out.write(b'MSEG' + (500).to_bytes(4, 'little') + bytes(20)); os._exit(7)"
    failure = a_client_of(a_stand_in(lines)).fail("noop")
    assert failure.kind == "crashed" and "exit code 7" in failure.sentence


def test_a_worker_that_cannot_start_says_its_last_words(a_client_of, a_stand_in) -> None:
    launch = a_stand_in("sys.exit('the licence server of this Python is on holiday')")
    failure = a_client_of(launch).fail("noop")
    assert failure.kind == "start" and "exit code 1" in failure.sentence
    assert "the licence server of this Python is on holiday" in failure.sentence
    assert failure.log == launch.log and Path(launch.log).is_file()


def test_another_version_is_refused(a_client_of, a_stand_in) -> None:
    failure = a_client_of(a_stand_in("hello(version='99.9'); ready(); time.sleep(600)")).fail("noop")
    assert failure.kind == "start" and failure.reason == "version"
    assert "99.9" in failure.sentence and "same version" in failure.sentence


@pytest.mark.parametrize("lines", ["time.sleep(600)", "hello(); time.sleep(600)"])
def test_a_worker_that_never_gets_ready_is_ended(a_client_of, a_stand_in, lines) -> None:
    worker = a_client_of(a_stand_in(lines), hello_seconds=0.6, ready_seconds=0.3)
    failure = worker.fail("noop")
    assert failure.kind == "start" and "did not start within" in failure.sentence


def test_a_program_that_does_not_exist_is_named(a_client_of) -> None:
    def launch() -> subprocess.Popen:
        raise UserError("There is no Python here: choose another.")

    failure = a_client_of(launch).fail("noop")
    assert (failure.kind, failure.sentence) == ("start", "There is no Python here: choose another.")
    missing = a_client_of(lambda: subprocess.Popen(["/no such program"], stdin=-1, stdout=-1)).fail("noop")
    assert missing.kind == "start" and "no such program" in missing.sentence


def test_cancelling_while_the_worker_starts_needs_no_answer(a_client_of, a_stand_in) -> None:
    worker = a_client_of(a_stand_in("time.sleep(600)"))
    job = worker.send("noop")
    job.cancel()
    worker.wait(job)
    assert job.state == "cancelled" and worker.client.state == "starting"
    job.cancel()
    assert worker.client.poll() == 0, "a job that has ended cannot end again"


def test_a_result_that_crosses_the_cancel_is_not_delivered(a_client_of, a_stand_in) -> None:
    lines = """
        hello(); ready()
        job = request().header["id"]
        send(kind="started", id=job); send(kind="progress", id=job, fraction=0.5, message="", remaining_seconds=None)
        request()  # the cancel, which comes too late
        send(kind="progress", id=job, fraction=1.0, message="", remaining_seconds=None)
        send(kind="result", id=job, values={})
        time.sleep(600)
    """
    worker = a_client_of(a_stand_in(lines))
    job = worker.send("noop")
    worker.wait_until(lambda: bool(worker.of(job, "progress")))
    job.cancel()
    worker.wait(job)
    assert job.state == "cancelled" and len(worker.of(job, "progress")) == 1 and not worker.of(job, "result")


def test_stop_ends_a_worker_that_does_not_read(a_client_of, a_stand_in) -> None:
    worker = a_client_of(a_stand_in("hello(); ready(); time.sleep(600)"))
    worker.client.start()
    worker.wait_until(lambda: worker.client.state == "ready")
    pid = worker.client.hello["pid"]
    job = worker.send("set_volume", {}, {"voxels": np.zeros(32 << 20, np.uint8)})
    worker.client.stop()
    assert job.state == "cancelled" and worker.client.state == "stopped" and not worker.client.jobs
    worker.wait_until(lambda: not _is_alive(pid))


@posix_only
def test_the_interpreter_behind_a_launcher_is_ended_too(a_client_of, a_stand_in) -> None:
    """As PythonSlicer: the process that was started is not the one that works."""
    real = a_stand_in("hello(); ready(); request(); send(kind='nonsense'); time.sleep(600)")
    lines = f"import subprocess, sys; sys.exit(subprocess.run({list(real.command)!r}).returncode)"
    worker = a_client_of(replace(real, command=(sys.executable, "-c", lines)))
    worker.client.start()
    worker.wait_until(lambda: worker.client.state == "ready")
    pid = worker.client.hello["pid"]
    assert _is_alive(pid)
    assert worker.fail("noop").kind == "protocol"
    worker.wait_until(lambda: not _is_alive(pid))


def test_a_callback_that_raises_loses_no_other_message(a_worker) -> None:
    def clumsy(*facts: object) -> None:
        raise RuntimeError("a fault of the panel")

    broken = a_worker.client.request("noop", on_result=clumsy)
    with pytest.raises(RuntimeError, match="a fault of the panel"):
        a_worker.wait(broken)
    assert broken.state == "done"
    a_worker.call("noop")


def test_a_callback_may_ask_for_more_and_polls_do_not_nest(a_worker) -> None:
    more: list = []

    def ask_again(*facts: object) -> None:
        assert a_worker.client.poll() == 0
        more.append(a_worker.send("test_echo", {"second": True}))

    first = a_worker.client.request("noop", on_result=ask_again)
    a_worker.wait(first)
    a_worker.wait(*more)
    assert a_worker.end_of(more[0])[1] == {"second": True}


def test_listeners_hear_of_every_change(a_client_of, a_stand_in) -> None:
    worker = a_client_of(a_stand_in("hello(); ready(); request(); os._exit(0)"))
    heard: list[str] = []
    worker.client.listeners.append(lambda: heard.append(worker.client.state))
    worker.fail("noop")
    assert [state for state, before in zip(heard, [None, *heard], strict=False) if state != before] == [
        "starting",
        "ready",
        "stopped",
    ]


def test_a_large_volume_is_written_while_the_main_thread_goes_on(a_client_of, a_stand_in) -> None:
    """`request` and `poll` return although nobody reads: the order of events tells, not the clock."""
    lines = "hello(); ready(); wait = source.read(1); assert wait; time.sleep(0.5); os._exit(3)"
    worker = a_client_of(a_stand_in(lines))
    worker.client.start()
    worker.wait_until(lambda: worker.client.state == "ready")
    job = worker.send("set_volume", {}, {"voxels": np.zeros(200 << 20, np.uint8)})
    assert job.is_active, "it returned before anybody read the volume"
    writers = [thread for thread in threading.enumerate() if thread.name == "momentumseg-worker-writer"]
    assert any(thread.is_alive() for thread in writers)
    worker.wait(job)
    assert worker.end_of(job)[1].kind == "crashed"


def test_the_worker_of_a_client_that_dies_ends_by_itself(worker_environment, a_launch) -> None:
    program = (
        "import os, sys, time\n"
        "from MomentumSegLib.worker_client import Job, WorkerClient\n"
        "from MomentumSegLib.worker_launch import WorkerLaunch\n"
        f"client = WorkerClient(WorkerLaunch({tuple(a_launch().command)!r}))\n"
        "client.request('test_hang')\n"
        "while client.state != 'ready': client.poll()\n"
        "print(client.hello['pid'], flush=True)\n"
        "os._exit(1)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], env=worker_environment, stdout=subprocess.PIPE, check=False
    ).stdout
    pid, end = int(said), time.monotonic() + 60.0
    while _is_alive(pid):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_client_that_does_nothing_has_no_process() -> None:
    client = WorkerClient(lambda: pytest.fail("nobody asked for a worker"))
    assert client.poll() == 0 and client.state == "stopped" and not client.is_busy
    client.stop(1.0)
