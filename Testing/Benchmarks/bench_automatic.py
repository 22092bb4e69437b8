"""Peak memory of an automatic segmentation beside what it holds: ``python bench_automatic.py [KxJxI [classes]]``.

The network does next to nothing, so that what is measured is the way there and back.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Logic"))

from momentumseg.evaluation.process_memory import peak_memory_bytes  # noqa: E402
from momentumseg.networks.segmentation import SegmentationNetwork  # noqa: E402
from momentumseg.sessions.automatic import AutomaticSession  # noqa: E402
from momentumseg.transforms.data_statistics import DataStatistics, LabelTable  # noqa: E402
from momentumseg.volumes.volume import Volume  # noqa: E402

GIB = 1 << 30


class OfVoxels(SegmentationNetwork):
    """Logits of a voxel from its own intensity."""

    dimensions, divisor = 3, 1

    def __init__(self, classes: int) -> None:
        super().__init__(1, classes)
        self.mix = nn.Conv3d(1, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.mix(self.checked(images))


def main() -> None:
    """Print one row for a grid of the volume's own spacing and one for a coarser grid."""
    shape = tuple(int(side) for side in (sys.argv[1:2] or ["250x512x512"])[0].split("x"))
    classes = int((sys.argv[2:3] or ["10"])[0])
    voxels = np.random.default_rng(0).integers(-1000, 2000, shape, dtype=np.int16)
    volume = Volume(voxels, np.diag((0.7, 0.7, 1.0, 1.0)))
    whole = voxels.size * classes * 4 / GIB
    print(f"{shape} int16 {voxels.nbytes / GIB:.2f} GiB; all probabilities would be {whole:.2f} GiB")  # noqa: T201
    for spacing in ((2.0, 1.4, 1.4), (None, None, None)):
        statistics = DataStatistics(
            spacing=spacing,
            plane="volume",
            patch=(32, 256, 256),
            channels=("CT",),
            intensity=[-1000.0, 2000.0],
            labels=LabelTable.of({label: f"label {label}" for label in range(1, classes)}),
        )
        torch.manual_seed(0)
        model = SimpleNamespace(
            network=OfVoxels(classes), statistics=statistics, recipe={"inference": {"overlap": 0.0}}
        )
        began = time.process_time()
        with AutomaticSession(model) as session:
            session.set_volume(volume)
            session.segment()
        seconds = time.process_time() - began
        peak = (peak_memory_bytes() or 0) / GIB
        print(f"grid {spacing}: peak {peak:.2f} GiB so far, {seconds:.0f} s of processor time")  # noqa: T201


if __name__ == "__main__":
    main()
