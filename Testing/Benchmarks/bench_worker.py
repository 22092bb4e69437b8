"""The worker's costs as an application has them, through `WorkerClient` polled by a timer: ``python bench_worker.py``.

``momentumseg bench worker`` measures the protocol alone, and compares with targets.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "SlicerMomentumSeg"), str(ROOT / "Logic")]

from MomentumSegLib.worker_client import WorkerClient  # noqa: E402
from MomentumSegLib.worker_launch import local_launch  # noqa: E402

_TIMER_SECONDS = 0.02


def main() -> None:
    """Print start, a volume, and how long a poll held the main thread at most."""
    client = WorkerClient(local_launch())
    held: list[float] = []

    def wait(method: str, parameters: dict | None = None, arrays: dict | None = None) -> float:
        start = time.perf_counter()
        job = client.request(method, parameters, arrays)
        held.append(time.perf_counter() - start)
        while job.is_active:
            began = time.perf_counter()
            client.poll()
            held.append(time.perf_counter() - began)
            time.sleep(_TIMER_SECONDS)
        return time.perf_counter() - start

    volume = np.random.default_rng(0).integers(-1000, 2000, (400, 512, 512), dtype=np.int16)
    place = {"volume": "v", "name": "v", "ijk_to_ras": np.eye(4).tolist()}
    lines = [
        f"start and first job      {wait('noop'):8.3f} s",
        f"no-op                    {min(wait('noop') for _ in range(20)) * 1000:8.1f} ms (timer of 20 ms included)",
        f"512x512x400 int16        {min(wait('set_volume', place, {'voxels': volume}) for _ in range(3)):8.3f} s",
        f"main thread held at most {max(held) * 1000:8.1f} ms",
    ]
    client.stop(5.0)
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
