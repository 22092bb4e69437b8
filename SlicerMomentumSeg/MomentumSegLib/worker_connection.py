"""One worker process: its pipes, and the two threads that only move bytes between them and queues.

Python threads get no time while Slicer's event loop idles. A thread therefore makes as few and as large system calls
as possible (they run without Python), and the main thread lets the threads in for a moment at each poll.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from MomentumSegLib.engine import add_engine_to_path
from MomentumSegLib.errors import UserError

add_engine_to_path()

from momentumseg.worker import protocol  # noqa: E402  (its folder is known only now)

_CHUNK = 16 << 20  # a write of this size shows progress on a slow line, and costs no time on a pipe
_GRACE_SECONDS = 10.0  # for a worker to end by itself once its input is closed


class Event(NamedTuple):
    """What a connection reports.

    Attributes:
        connection: that reports it.
        kind: "frame", "end" (the process closed its output), "rubbish" (no frame) or "unlaunched".
        frame: of a "frame".
        sentence: of "rubbish" and "unlaunched".
    """

    connection: WorkerConnection
    kind: str
    frame: protocol.Frame | None = None
    sentence: str = ""


class WorkerConnection:
    """Starts a process in a thread and exchanges frames with it; everything it reports goes to ``events``.

    Args:
        launch: starts the process with pipes for its standard input and output, unbuffered.
        events: receives :class:`Event`.
    """

    def __init__(self, launch: Callable[[], subprocess.Popen], events: queue.SimpleQueue[Event]) -> None:
        self._launch = launch
        self._events = events
        self._outbox: queue.SimpleQueue[tuple[dict[str, Any], dict[str, Any]] | None] = queue.SimpleQueue()
        self._process: subprocess.Popen | None = None
        self._killed = threading.Event()
        self._writing = False
        self._reading = False
        self._sent = self._written = 0  # frames; each is counted by one thread only
        self.last_write = time.monotonic()
        self.worker_pid: int | None = None
        self._writer = threading.Thread(target=self._run_writer, name="momentumseg-worker-writer", daemon=True)
        self._writer.start()

    # Main thread

    @property
    def is_moving_bytes(self) -> bool:
        """Whether a frame is on its way in either direction."""
        return self._writing or self._reading or self._process is None

    @property
    def has_unwritten(self) -> bool:
        """Whether something that was sent has not reached the pipe yet."""
        return self._written < self._sent

    def is_written(self, number: int) -> bool:
        """Whether the frame to which `send` gave this number has reached the pipe."""
        return self._written >= number

    @property
    def exit_code(self) -> int | None:
        """Of the process; negative is the signal that ended it. None while it runs, or was never started."""
        return None if self._process is None else self._process.poll()

    def send(self, header: Mapping[str, Any], arrays: Mapping[str, Any] | None = None) -> int:
        """Queue a frame; returns its number. The arrays are not copied: leave them unchanged until the answer."""
        self._sent += 1
        self._outbox.put((dict(header), dict(arrays or {})))
        return self._sent

    def close(self) -> None:
        """Close the worker's input when all is written; it ends by itself."""
        self._outbox.put(None)

    def kill(self) -> None:
        """End the process now, also the interpreter behind a launcher such as PythonSlicer."""
        self._killed.set()
        process = self._process
        if process is None:
            return  # the writer thread looks at the flag once the process is there
        if self.worker_pid not in (None, process.pid) and process.poll() is None:
            _kill(self.worker_pid)
        if process.poll() is None:
            process.kill()

    def wait(self, seconds: float) -> bool:
        """Whether the process ended within so many seconds; the threads run meanwhile."""
        self._writer.join(seconds)
        return not self._writer.is_alive()

    # Writer thread

    def _run_writer(self) -> None:
        try:
            process = self._launch()
        except (OSError, ValueError, UserError) as error:
            sentence = str(error) if isinstance(error, UserError) else f"The worker cannot be started: {error}."
            self._events.put(Event(self, "unlaunched", sentence=sentence))
            return
        self._process = process
        threading.Thread(target=self._run_reader, name="momentumseg-worker-reader", daemon=True).start()
        if self._killed.is_set():
            process.kill()
        try:
            self._write_frames(process.stdin.fileno())
            process.stdin.close()
            process.wait(_GRACE_SECONDS)
        except (OSError, ValueError):
            return  # the process is gone; the reader tells
        except subprocess.TimeoutExpired:
            self.kill()

    def _write_frames(self, descriptor: int) -> None:
        while True:
            item = self._outbox.get()
            if item is None:
                return
            header, arrays = item
            self._writing = True
            self.last_write = time.monotonic()
            for buffer in protocol.frame_buffers(header, {name: _in_order(array) for name, array in arrays.items()}):
                rest = memoryview(buffer)
                while rest.nbytes:
                    rest = rest[os.write(descriptor, rest[:_CHUNK]) :]
                    self.last_write = time.monotonic()
            del item, arrays
            self._written += 1
            self._writing = False

    # Reader thread

    def _run_reader(self) -> None:
        process = self._process
        try:
            while (frame := protocol.read_frame(self._read, protocol.TO_CLIENT, _empty)) is not None:
                self._reading = False
                self._events.put(Event(self, "frame", frame))
        except protocol.ProtocolError as error:
            kind = "end" if self._ended_by_itself() else "rubbish"
            self._events.put(Event(self, kind, sentence=str(error)))
        except (OSError, ValueError):
            self._events.put(Event(self, "end"))
        else:
            self._ended_by_itself()
            self._events.put(Event(self, "end"))
        finally:
            self._reading = False
            process.stdout.close()

    def _read(self, buffer: memoryview) -> int | None:
        count = self._process.stdout.readinto(buffer)
        self._reading = True
        return count

    def _ended_by_itself(self) -> bool:
        """Whether the process has ended or does so shortly: a frame that it left unfinished is then no rubbish."""
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return False
        return True


def _in_order(array: np.ndarray) -> np.ndarray:
    """The array in C order and little endian; the same one where it is so already."""
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(array.shape)


def _empty(length: int) -> np.ndarray:
    return np.empty(length, dtype=np.uint8)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))  # on Windows both end the process at once
    except OSError:
        return  # it ended meanwhile
