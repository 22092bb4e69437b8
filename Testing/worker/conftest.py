"""Real worker processes: with test methods beside the real ones, with a tiny model, and stand-ins that misbehave."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "SlicerMomentumSeg"))

from momentumseg.networks.registry import build_few_shot_network  # noqa: E402
from momentumseg.volumes.volume import Volume  # noqa: E402
from momentumseg.weights.loading import save_few_shot_model  # noqa: E402
from MomentumSegLib.worker_client import Job, WorkerClient  # noqa: E402
from MomentumSegLib.worker_launch import WorkerLaunch  # noqa: E402

SIZE = 48
PATIENCE = 120.0  # seconds; never part of what is tested


class Caller:
    """A client and what came back, in order."""

    def __init__(self, client: WorkerClient) -> None:
        self.client = client
        self.events: list[tuple[Any, ...]] = []

    def send(self, method: str, parameters: dict | None = None, arrays: dict | None = None) -> Job:
        """Make a request without waiting."""
        job = self.client.request(
            method,
            parameters,
            arrays,
            on_progress=lambda *facts: self.events.append((job, "progress", *facts)),
            on_partial=lambda *facts: self.events.append((job, "partial", *facts)),
            on_result=lambda *facts: self.events.append((job, "result", *facts)),
            on_error=lambda failure: self.events.append((job, "error", failure)),
        )
        return job

    def wait(self, *jobs: Job) -> None:
        """Poll until these jobs have ended."""
        self.wait_until(lambda: not any(job.is_active for job in jobs))

    def wait_until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            self.client.poll()
            assert time.monotonic() < end, f"nothing happened; so far: {[event[:3] for event in self.events]}"

    def call(self, method: str, parameters: dict | None = None, arrays: dict | None = None) -> tuple[dict, dict]:
        """Make a request, and the values and arrays of its result."""
        job = self.send(method, parameters, arrays)
        self.wait(job)
        kind, *facts = self.end_of(job)
        assert kind == "result", facts
        return facts[0], facts[1]

    def fail(self, method: str, parameters: dict | None = None, arrays: dict | None = None) -> Any:
        """Make a request that is to fail, and its failure."""
        job = self.send(method, parameters, arrays)
        self.wait(job)
        kind, *facts = self.end_of(job)
        assert kind == "error", facts
        return facts[0]

    def end_of(self, job: Job) -> tuple[Any, ...]:
        ends = [event[1:] for event in self.events if event[0] is job and event[1] in ("result", "error")]
        assert len(ends) == 1, "a job ends exactly once"
        return ends[0]

    def of(self, job: Job, kind: str) -> list[tuple[Any, ...]]:
        return [event[2:] for event in self.events if event[0] is job and event[1] == kind]

    @staticmethod
    def set_volume(identity: str, volume: Volume) -> tuple[str, dict, dict]:
        """The request that sends a volume."""
        parameters = {"volume": identity, "name": volume.name, "ijk_to_ras": volume.ijk_to_ras.tolist()}
        return "set_volume", parameters, {"voxels": volume.array}

    @staticmethod
    def segment(
        identity: str, model: Path, drawn: list[tuple[int, int, np.ndarray]], **options: Any
    ) -> tuple[str, dict, dict]:
        """The request that segments a volume from (slice, label, mask)."""
        arrays = {f"mask{n}": mask.astype(np.uint8) for n, (_, _, mask) in enumerate(drawn)}
        supports = [
            {"volume": identity, "label": label, "slice_index": index, "mask": f"mask{n}"}
            for n, (index, label, _) in enumerate(drawn)
        ]
        fixed = {"volume": identity, "model": str(model), "device": "cpu", "plane": "axial", "supports": supports}
        free = {"slice_range": None, "box": None, "consistency": False, "keep_iterates": False}
        return "segment", {**fixed, **free, **options}, arrays


@pytest.fixture(scope="session")
def worker_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables of the worker: its logs and weights lie in a folder of the tests, whose name is not plain."""
    home = tmp_path_factory.mktemp("Zuhause mit Leerzeichen äöü")
    paths = os.pathsep.join([str(ROOT / "Logic"), str(ROOT / "SlicerMomentumSeg")])
    return {**os.environ, "PYTHONPATH": paths, "MOMENTUMSEG_HOME": str(home), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def a_launch(
    worker_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., WorkerLaunch]:
    """Makes the launch of a real worker that has test methods too."""

    def launch(*arguments: str) -> WorkerLaunch:
        script = Path(__file__).with_name("worker_with_test_methods.py")
        log = tmp_path_factory.mktemp("log") / "worker.log"
        return WorkerLaunch((sys.executable, str(script), *arguments), worker_environment, log=str(log))

    return launch


@pytest.fixture(scope="session")
def a_shared_client(a_launch: Callable[..., WorkerLaunch]) -> Iterator[WorkerClient]:
    client = WorkerClient(a_launch(), grace_seconds=PATIENCE)
    client.start()
    yield client
    client.stop(10.0)


@pytest.fixture
def a_worker(a_shared_client: WorkerClient) -> Iterator[Caller]:
    """The worker that well-behaved tests share."""
    generation = a_shared_client.generation
    caller = Caller(a_shared_client)
    yield caller
    caller.wait(*a_shared_client.jobs)
    assert a_shared_client.generation == generation, "the test ended the worker that others use"


@pytest.fixture
def a_client_of() -> Iterator[Callable[..., Caller]]:
    """Makes a client of a launch; its worker ends with the test."""
    clients = []

    def make(launch: Any, **settings: float) -> Caller:
        client = WorkerClient(launch, **{"grace_seconds": PATIENCE, **settings})
        clients.append(client)
        return Caller(client)

    yield make
    for client in clients:
        client.stop(0.2)


@pytest.fixture
def a_stand_in(worker_environment: dict[str, str], tmp_path: Path) -> Callable[[str], WorkerLaunch]:
    """Makes the launch of a program instead of the worker: lines of Python after those that say hello and ready."""
    prelude = """
        import os, sys, time
        from momentumseg import __version__
        from momentumseg.worker.protocol import TO_WORKER, VERSION, read_frame, write_frame
        out, source = open(1, "wb", buffering=0, closefd=False), open(0, "rb", buffering=0, closefd=False)
        def send(**header): write_frame(out.write, header)
        def hello(version=__version__, pid=os.getpid()):
            send(kind="hello", protocol=VERSION, version=version, pid=pid, python="3")
        def ready(): send(kind="ready", devices=[], capabilities=[])
        def request(): return read_frame(source.readinto, TO_WORKER)
    """

    def launch(lines: str) -> WorkerLaunch:
        program = tmp_path / "stand in.py"
        program.write_text(textwrap.dedent(prelude) + textwrap.dedent(lines), encoding="utf-8")
        log = str(tmp_path / "stand in.log")
        return WorkerLaunch((sys.executable, str(program)), worker_environment, log=log)

    return launch


@pytest.fixture(scope="session")
def a_model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network with random weights, in a folder whose name has blanks, quotes and foreign letters."""
    torch.manual_seed(0)
    network = build_few_shot_network({"head": {"name": "prototype"}, "backbone": {"name": "tiny"}})
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 4:
                parameter.add_(torch.randn_like(parameter) * 0.05)
        network.head.score.threshold.fill_(16.0)
    path = tmp_path_factory.mktemp("Modelle it's „groß“") / "tiny.safetensors"
    save_few_shot_model(network.eval(), path, {"data": {"size": SIZE}}, {"name": "tiny"})
    return path


@pytest.fixture
def a_sent_volume(a_worker: Caller, a_phantom_volume: Volume) -> Iterator[str]:
    """Id of the phantom in the worker."""
    a_worker.call(*a_worker.set_volume("phantom", a_phantom_volume))
    yield "phantom"
    a_worker.call("forget_volume", {"volume": "phantom"})
