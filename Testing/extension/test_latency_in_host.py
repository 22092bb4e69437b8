"""While a volume is segmented, the window's thread is never held long by the module: each callback is measured.

Measured is processor time of the main thread, which a busy machine does not lengthen.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from bridge import oriented_image
from module_in_host import Module, add_volume

LONGEST_MILLISECONDS = 50.0
SHAPE = (100, 512, 512)
IJK_TO_RAS = np.array([[-0.7, 0, 0, 180], [0, -0.7, 0, 180], [0, 0, 2.0, -100], [0, 0, 0, 1.0]])
MIDDLE, SLICES = 50, (42, 58)


class Stopwatch:
    """Processor time of the main thread in each call of the functions that it wraps."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, str]] = []

    def wrap(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def timed(*args: Any, **options: Any) -> Any:
            start = time.thread_time()
            try:
                return function(*args, **options)
            finally:
                self.calls.append((1000 * (time.thread_time() - start), name))

        return timed

    def longest(self, count: int = 5) -> list[tuple[float, str]]:
        return sorted(self.calls, reverse=True)[:count]


@pytest.fixture
def a_stopwatch(the_module: Module, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Wraps all through which the event loop enters the module during a run: steps, pump, refresh, the button."""
    from MomentumSegLib import ticks

    watch, panel = Stopwatch(), the_module.panel
    later = ticks.QtTicks.later

    def timed_later(self: Any, step: Callable[[], None]) -> None:
        code = getattr(step, "__code__", None)
        name = ", ".join(code.co_names) if code else getattr(step, "__qualname__", repr(step))
        later(self, watch.wrap(step, f"step: {name}"))

    monkeypatch.setattr(ticks.QtTicks, "later", timed_later)
    monkeypatch.setattr(panel._client, "poll", watch.wrap(panel._client.poll, "pump"))
    monkeypatch.setattr(panel._run, "_on_apply", watch.wrap(panel._run._on_apply, "apply"))
    timed_refresh = watch.wrap(panel.refresh, "refresh")
    panel._refresh_timer.disconnect("timeout()", panel.refresh)
    panel._refresh_timer.connect("timeout()", timed_refresh)
    yield watch
    panel._refresh_timer.disconnect("timeout()", timed_refresh)
    panel._refresh_timer.connect("timeout()", panel.refresh)


def a_large_scan() -> np.ndarray:
    """Int16, an organ of half a litre in noise."""
    k, j, i = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    organ = ((k - MIDDLE) / 20) ** 2 + ((j - 250) / 90) ** 2 + ((i - 230) / 110) ** 2 <= 1
    noise = np.random.default_rng(3).integers(-15, 16, SHAPE, dtype=np.int16)
    return np.where(organ, 150, 40).astype(np.int16) + noise


def test_no_callback_holds_the_window(the_module, a_stopwatch):
    import slicer

    scan = a_large_scan()
    the_module.choose(add_volume(scan, IJK_TO_RAS, "large scan"))
    drawn = (scan[MIDDLE : MIDDLE + 1, 150:350, 110:350] > 95).astype(np.uint8)
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    image = oriented_image(drawn, (MIDDLE, 150, 110), IJK_TO_RAS)
    logic.SetBinaryLabelmapToSegment(image, the_module.segmentation, the_module.segment_id(), logic.MODE_REPLACE)
    the_module.rest()
    parameters = the_module.panel._parameters
    parameters.limitSlices, parameters.firstSlice, parameters.lastSlice = True, *SLICES
    the_module.rest()
    the_module.apply()
    assert the_module.status.startswith("Done in"), the_module.status
    assert the_module.voxels().any(axis=(1, 2)).sum() > (SLICES[1] - SLICES[0]) // 2
    parameters.showUncertainty = True
    the_module.until(
        lambda: slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")[-1].GetName().endswith("uncertainty")
    )
    the_module.rest()
    # The surface is 3D Slicer's own conversion, made when the run is over and the slices show its result.
    ours = [(ms, name) for ms, name in a_stopwatch.longest(20) if "_show_surface" not in name]
    too_long = [(round(ms), name) for ms, name in ours if ms > LONGEST_MILLISECONDS]
    assert too_long == []
