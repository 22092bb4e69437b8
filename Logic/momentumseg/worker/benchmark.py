"""What the worker costs beside the computation: getting ready, messages, large volumes, cancelling."""

from __future__ import annotations

import itertools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from momentumseg.errors import MomentumSegError
from momentumseg.evaluation.benchmark_report import BenchmarkReport, Measure
from momentumseg.worker.protocol import TO_CLIENT, Frame, ProtocolError, read_frame, write_frame

_TARGET_READY, _TARGET_ROUND_TRIP_MS, _TARGET_OVERHEAD, _TARGET_CANCEL = 4.0, 5.0, 2.0, 0.5
_ROUND_TRIPS = 50
_CANCEL_AFTER = 3  # slices
_MODEL = "lmsnet-general"
# Reads as many bytes as it is told, and says so with one byte. The memory is new each time, as for every new volume.
_PLAIN_READER = """
import sys
source = open(0, "rb", buffering=0)
for repeat in range(int(sys.argv[2])):
    memory = memoryview(bytearray(int(sys.argv[1])))
    done = 0
    while done < len(memory):
        done += source.readinto(memory[done:])
    sys.stdout.buffer.write(b"!")
    sys.stdout.buffer.flush()
"""


class BlockingWorker:
    """A worker process and one request at a time: for measurements and scripts, not for a window."""

    def __init__(self) -> None:
        self._process = _start([sys.executable, "-m", "momentumseg.worker"])
        self._ids = itertools.count(1)

    def __enter__(self) -> BlockingWorker:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _end(self._process)

    def wait_for(self, *kinds: str) -> Frame:
        """The next frame of one of these kinds.

        Raises:
            MomentumSegError: the worker refused the request, or ended.
        """
        while True:
            frame = _next_frame(self._process)
            if frame.kind in ("error", "failed"):
                raise MomentumSegError(str(frame.header["sentence"]))
            if frame.kind in kinds:
                return frame

    def send(self, method: str, parameters: Mapping[str, Any] | None = None, **arrays: np.ndarray) -> int:
        """Make a request; returns its number."""
        number = next(self._ids)
        header = {"kind": "request", "id": number, "method": method, "parameters": dict(parameters or {})}
        write_frame(_input(self._process).write, header, arrays)
        return number

    def call(self, method: str, parameters: Mapping[str, Any] | None = None, **arrays: np.ndarray) -> dict[str, Any]:
        """The values of a request's result."""
        self.send(method, parameters, **arrays)
        values: dict[str, Any] = self.wait_for("result").header["values"]
        return values

    def cancel(self, number: int) -> None:
        """Cancel a request and wait until it has ended."""
        write_frame(_input(self._process).write, {"kind": "cancel", "id": number})
        self.wait_for("cancelled")


def bench_worker(
    shape: tuple[int, int, int] = (400, 512, 512),
    repeats: int = 5,
    progress: Callable[[str, float], None] | None = None,
) -> BenchmarkReport:
    """All measures in one run.

    Args:
        shape: (K, J, I) of the int16 volume that is sent.
        repeats: of each; the median is reported, for the volume the shortest time.
        progress: receives (what is being measured, fraction of all done).
    """
    report = progress or (lambda name, part: None)
    report("ready", 0.0)
    ready = statistics.median(_ready_seconds() for _ in range(min(repeats, 3)))
    volume = np.random.default_rng(0).integers(-1000, 2000, shape, dtype=np.int16)
    with BlockingWorker() as worker:
        worker.call("noop")
        report("round trip", 0.4)
        round_trip = statistics.median(_seconds(lambda: worker.call("noop")) for _ in range(_ROUND_TRIPS))
        report("volume", 0.5)
        plain, sent = _volume_seconds(worker, volume, repeats)
        report("cancel", 0.8)
        cancel = statistics.median(_cancel_seconds(worker) for _ in range(repeats))
    k, j, i = shape
    measures = [
        Measure("worker ready for its first job", ready, "s", at_most=_TARGET_READY),
        Measure("no-op job, round trip", round_trip * 1000, "ms", at_most=_TARGET_ROUND_TRIP_MS),
        Measure("the volume through a plain pipe", plain, "s"),
        Measure("the volume to the worker", sent, "s"),
        Measure("ratio of the two", sent / plain, "x", at_most=_TARGET_OVERHEAD),
        Measure("cancelling a segmentation", cancel, "s", at_most=_TARGET_CANCEL),
    ]
    settings = {"volume": f"{i}x{j}x{k} int16", "repeats": repeats, "cores": os.cpu_count()}
    return BenchmarkReport("The worker beside what it computes", settings, measures)


def _ready_seconds() -> float:
    start = time.perf_counter()
    with BlockingWorker() as worker:
        worker.wait_for("ready")
        worker.call("noop")
        return time.perf_counter() - start


def _volume_seconds(worker: BlockingWorker, volume: np.ndarray, repeats: int) -> tuple[float, float]:
    """Shortest times of (plain pipe, worker), measured in turn: fetching memory disturbs both, now and then much."""
    place = {"volume": "bench", "name": "bench", "ijk_to_ras": np.eye(4).tolist()}
    reader = _start([sys.executable, "-c", _PLAIN_READER, str(volume.nbytes), str(repeats)])
    pairs = []
    for _ in range(repeats):
        plain = _seconds(lambda: _through_plain_pipe(reader, volume))
        pairs.append((plain, _seconds(lambda: worker.call("set_volume", place, voxels=volume))))
    _end(reader)
    worker.call("forget_volume", {"volume": "bench"})
    plains, sents = zip(*pairs, strict=True)
    return min(plains), min(sents)


def _through_plain_pipe(reader: subprocess.Popen, volume: np.ndarray) -> None:
    rest = volume.reshape(-1).view(np.uint8).data
    while rest.nbytes:
        rest = rest[_input(reader).write(rest) :]
    if not _output(reader).read(1):
        raise MomentumSegError("The plain reader of the benchmark ended; free some memory and run it again.")


def _cancel_seconds(worker: BlockingWorker) -> float:
    """From the wish to the answer, in the middle of a segmentation whose slices are not encoded yet."""
    k, j, i = np.ogrid[:40, :256, :256]
    ball = ((k - 20) / 15) ** 2 + ((j - 128) / 60) ** 2 + ((i - 128) / 60) ** 2 <= 1
    noise = np.random.default_rng().normal(0, 20, ball.shape)
    place = {"volume": "ball", "name": "ball", "ijk_to_ras": np.eye(4).tolist()}
    worker.call("set_volume", place, voxels=(200 * ball + noise).astype(np.int16))
    support = {"volume": "ball", "label": 1, "slice_index": 20, "mask": "mask"}
    question = {"volume": "ball", "model": _MODEL, "device": "cpu", "plane": "axial", "supports": [support]}
    number = worker.send("segment", question, mask=ball[20].astype(np.uint8))
    for _ in range(_CANCEL_AFTER):
        worker.wait_for("partial")
    return _seconds(lambda: worker.cancel(number))


def _seconds(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def _start(command: list[str]) -> subprocess.Popen:
    package = os.fspath(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": paths}
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0, env=environment
    )


def _next_frame(process: subprocess.Popen) -> Frame:
    try:
        frame = read_frame(_output(process).readinto, TO_CLIENT)  # type: ignore[attr-defined]  # unbuffered: it has it
    except ProtocolError as error:
        raise MomentumSegError(f"The worker answered something that is no message: {error}") from error
    if frame is None:
        raise MomentumSegError(f"The worker ended with exit code {process.wait()}; its log has the details.")
    return frame


def _end(process: subprocess.Popen) -> None:
    _input(process).close()
    try:
        process.wait(10.0)
    except subprocess.TimeoutExpired:
        process.kill()
    _output(process).close()


def _input(process: subprocess.Popen) -> IO[bytes]:
    if process.stdin is None:
        raise ValueError("the process was started without a pipe")
    return process.stdin


def _output(process: subprocess.Popen) -> IO[bytes]:
    if process.stdout is None:
        raise ValueError("the process was started without a pipe")
    return process.stdout
