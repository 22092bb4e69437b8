"""How long the window stands still for the bridge between scene and arrays, on a 512x512x400 scan.

    python Testing/Benchmarks/bench_bridge.py

Needs slicer-core. Target: writing an organ-sized result takes at most 20 ms. Processor time is printed, which is what
it takes on an idle machine; in brackets what passed on this one.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "SlicerMomentumSeg"), str(ROOT / "Testing" / "extension")]

from bridge import Desk, a_desk_of, add_linear_transform, rotation  # noqa: E402

from MomentumSegLib.drawn_slices import DrawnSlices  # noqa: E402
from MomentumSegLib.result_preview import ResultPreview  # noqa: E402
from MomentumSegLib.segmentation_output import Result, Written, write_result  # noqa: E402
from MomentumSegLib.slice_geometry import SliceGeometry  # noqa: E402
from MomentumSegLib.uncertainty_overlay import UncertaintyOverlay  # noqa: E402
from MomentumSegLib.volume_data import copy_in_pieces  # noqa: E402

SCAN = (400, 512, 512)
ORGAN = (120, 180, 180)  # a liver of 1.4 million voxels
ORIGIN = (140, 150, 120)
REPETITIONS = 7


class _Colour:
    segment_id, name, color = "", "organ", (1.0, 0.0, 0.0)


def organ(size: float) -> np.ndarray:
    """(K, J, I) uint8 ellipsoid in a box of an organ's size; ``size`` 1 fills it."""
    k, j, i = (np.linspace(-1, 1, count) for count in ORGAN)
    return (k[:, None, None] ** 2 + j[:, None] ** 2 + i**2 < size**2).astype(np.uint8)


def milliseconds(action: Callable[[], object]) -> tuple[float, float]:
    """Processor time and time that passed."""
    processor, clock = time.process_time(), time.perf_counter()
    action()
    return (time.process_time() - processor) * 1000, (time.perf_counter() - clock) * 1000


def drawn_slice() -> np.ndarray:
    """An organ's box with its middle slice only."""
    drawn = np.zeros(ORGAN, np.uint8)
    drawn[60] = organ(0.9)[60]
    return drawn


def report(name: str, times: list[tuple[float, float]], target: float | None = None) -> None:
    """Print medians, and the worst."""
    processor, clock = (statistics.median(column) for column in zip(*times, strict=True))
    worst = max(processor for processor, _ in times)
    aim = f"  (target {target:g} ms)" if target else ""
    sys.stdout.write(f"{name:<52}{processor:8.1f} ms, worst {worst:6.1f} ms  [{clock:.0f} ms passed]{aim}\n")


def write(desk: Desk, segment_id: str, labelmap: np.ndarray, tracker: DrawnSlices | None = None) -> Written:
    untouched = tracker.collect(desk.volume, "axial").untouched if tracker else {}
    return write_result(
        desk.segmentation,
        desk.volume,
        Result(labelmap, ORIGIN, {1: segment_id}, 0, untouched=untouched),
        editor_node=desk.editor_node,
        volume_node=desk.volume_node,
        save_state=desk.editor.SaveStateForUndo,
    )


def bench_writing(desk: Desk) -> None:
    """Results that grow and shrink, beside another segment in the same layer."""
    segment_id, neighbour = desk.add(), desk.add()
    write(desk, neighbour, organ(0.2))
    masks = [organ(size) for size in np.linspace(0.9, 1.0, REPETITIONS)]
    first = milliseconds(lambda: write(desk, segment_id, masks[0]))
    report("first result into an empty segment", [first], 20)
    report(
        "larger result over a smaller one", [milliseconds(lambda m=m: write(desk, segment_id, m)) for m in masks], 20
    )
    smaller = [milliseconds(lambda m=m: write(desk, segment_id, m)) for m in reversed(masks[:-1])]
    report("smaller result over a larger one", smaller, 20)
    desk.editor_node.SetOverwriteMode(desk.editor_node.OverwriteAllSegments)
    ruled = [milliseconds(lambda m=m: write(desk, segment_id, m)) for m in masks[1:]]
    report("the same by the rules of another overwrite mode", ruled)
    desk.editor_node.SetOverwriteMode(desk.editor_node.OverwriteNone)


def bench_tracking(desk: Desk) -> None:
    segment_id = desk.add()
    write(desk, segment_id, drawn_slice())
    tracker = DrawnSlices(desk.segmentation)
    remembered, collected = [], []
    for size in np.linspace(0.9, 1.0, REPETITIONS):
        written = write(desk, segment_id, organ(float(size)), tracker)
        remembered.append(
            milliseconds(lambda w=written: tracker.remember_result(desk.volume, w.before, w.after, "axial"))
        )
        collected.append(milliseconds(lambda: tracker.collect(desk.volume, "axial", [segment_id])))
    report("remembering what a result left", remembered)
    report("finding what was drawn since", collected)


def bench_preview(desk: Desk) -> None:
    slices = SliceGeometry.of(desk.volume, "axial")
    labels = organ(1.0)[60]
    preview: list[ResultPreview] = []
    start = milliseconds(lambda: preview.append(ResultPreview(desk.scene, desk.segmentation, slices, {1: _Colour()})))
    times = [milliseconds(lambda s=s: preview[0].show_slice(s, (150, 120), labels)) for s in range(100, 220)]
    report("preview: beginning", [start])
    report("preview: one slice", times)
    report("preview: end", [milliseconds(preview[0].remove)])


def bench_overlay(desk: Desk) -> None:
    overlay = UncertaintyOverlay(desk.scene, desk.volume_node.GetID())
    crop = (organ(1.0) * 200).astype(np.uint8)
    times = [milliseconds(lambda: overlay.update(desk.volume, crop, ORIGIN)) for _ in range(REPETITIONS)]
    report("uncertainty overlay", times)


def bench_reading(desk: Desk) -> None:
    times, copied, steps = [], [], copy_in_pieces(desk.volume_node)
    while not copied or copied[-1] is None:
        times.append(milliseconds(lambda: copied.append(next(steps))))
    report(f"copying the scan: one of {len(times)} pieces", times)


def main() -> None:
    desk = a_desk_of(SCAN, np.diag([0.8, 0.8, 1.0, 1.0]))
    bench_writing(desk)
    bench_tracking(desk)
    bench_preview(desk)
    bench_overlay(desk)
    bench_reading(desk)
    moved = add_linear_transform(desk.scene, rotation(10)).GetID()
    desk.volume_node.SetAndObserveTransformNodeID(moved)
    desk.segmentation.SetAndObserveTransformNodeID(moved)
    desk.volume = type(desk.volume)(**{**vars(desk.volume), "ijk_to_ras": rotation(10) @ desk.volume.ijk_to_ras})
    segment_id = desk.add()
    times = [milliseconds(lambda s=s: write(desk, segment_id, organ(s))) for s in (0.9, 0.95, 1.0)]
    report("results under a parent transform", times, 20)


if __name__ == "__main__":
    main()
