"""From a click into the slice view to the mask on screen, in the stand-alone window with the real worker.

python Testing/Benchmarks/bench_click.py [--clicks 10]

The slice is encoded before. Prints, for boxes and for clicks, the time from the press of the mouse to the mask being
drawn, the part of it that the worker took, and the processor time of the window, which a busy machine does not change.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("Logic", "SlicerMomentumSeg", "Standalone", "Testing/standalone")]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from momentumseg_standalone.host import start_host  # noqa: E402

SLICE = 21


def main(count: int) -> None:
    """Print the times."""
    host = start_host(testing=True)
    try:
        import slicer
        from driving import Mouse, add_volume, pixel_of, settle

        from MomentumSegLib.phantom import generate_abdomen

        host.layout_manager.setLayout(host.core.layout_logic.GetLayoutNode().SlicerLayoutOneUpRedSliceView)
        host.window.resize(1000, 700)
        host.show("MomentumSeg")
        body = generate_abdomen()
        volume = add_volume(body.voxels, body.ijk_to_ras, "Abdomen")
        panel = slicer.modules.MomentumSegWidget.panel
        ui, controller = panel.ui, panel._prompts.controller
        ui.inputVolumeSelector.setCurrentNode(volume)
        ui.methodComboBox.setCurrentIndex(ui.methodComboBox.findData("prompts"))
        ui.methodComboBox.activated.emit(ui.methodComboBox.currentIndex)
        wait(lambda: panel._prompts._request is not None)
        rows, columns = np.nonzero(body.labels[SLICE] == 1)
        view = host.layout_manager.sliceWidget("Red").sliceView()
        view.mrmlSliceNode().JumpSliceByOffsetting(*ras(body, rows.mean(), columns.mean()))
        ends = [ras(body, rows.min() - 3, columns.min() - 3), ras(body, rows.max() + 3, columns.max() + 3)]
        mouse = Mouse(view)
        wait(lambda: ui.boxButton.enabled)

        def box(shift: int) -> None:
            for end in ends:
                x, y = pixel_of(view, end)
                mouse.click(x + shift, y)

        def point(shift: int) -> None:
            x, y = pixel_of(view, ras(body, rows.mean(), columns.mean()))
            mouse.click(x + shift, y)

        ui.boxButton.click()
        box(0)
        wait(lambda: controller.waiting)
        wait(lambda: panel._prompts._encoding._job is None, 600)  # all slices around are encoded, too
        for name, act, button in (("box", box, ui.boxButton), ("click", point, ui.insidePointButton)):
            times, worker, own = [], [], []
            for number in range(count):  # another place each time: what was answered before is not asked again
                controller.clear()
                button.click()
                settle()
                start, processor = time.perf_counter(), time.process_time()
                act(2 * number + 2)
                wait(lambda: controller.waiting)
                settle()
                times.append(time.perf_counter() - start)
                own.append(time.process_time() - processor)
                worker.append(next(iter(controller.waiting.values())).seconds)
                panel._prompts.end_tool()
            say(name, times, worker, own)
    finally:
        host.stop()


def say(name: str, times: list[float], worker: list[float], own: list[float]) -> None:
    """One line of figures."""
    sys.stdout.write(
        f"{name}: {np.median(times):.3f} s from the press to the mask (median of {len(times)}), of which "
        f"{np.median(worker):.3f} s in the worker; {np.median(own):.3f} s of processor time in the window\n"
    )


def wait(condition: Any, seconds: float = 300.0) -> None:
    """Run the event loop until a condition holds."""
    from PySide6 import QtWidgets

    end = time.monotonic() + seconds
    while not condition():
        QtWidgets.QApplication.processEvents()
        time.sleep(0.001)
        if time.monotonic() > end:
            raise SystemExit("Given up: the machine is too busy, or the model LiteMedSAM is not on this computer.")


def ras(body: Any, row: float, column: float) -> np.ndarray:
    """World position of a place on the slice."""
    return (body.ijk_to_ras @ (column, row, SLICE, 1.0))[:3]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clicks", type=int, default=10)
    main(parser.parse_args().clicks)
