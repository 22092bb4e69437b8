"""The timer that polls: with the host's Qt, which is as strict as PythonQt, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_timer_delivers_results_and_is_slow_when_nothing_is_to_do(worker_environment, a_stand_in) -> None:
    answer = "send(kind='result', id=request().header['id'], values={'x': 1})"
    launch = a_stand_in(f"hello(); ready(); {answer}; time.sleep(600)")
    program = f"""
        import momentumseg_standalone
        from momentumseg_standalone.installation import install_all
        install_all()
        import qt
        from PySide6 import QtCore
        application = QtCore.QCoreApplication([])
        from MomentumSegLib.worker_client import WorkerClient
        from MomentumSegLib.worker_launch import WorkerLaunch
        from MomentumSegLib.worker_pump import WorkerPump

        client = WorkerClient(WorkerLaunch({launch.command!r}, log={launch.log!r}))
        pump = WorkerPump(client)
        idle = pump._timer.interval
        client.request("noop", on_result=lambda values, arrays: (print(values), application.quit()))
        busy = pump._timer.interval
        last = qt.QTimer()
        last.connect("timeout()", application.quit)
        last.start(60000)
        application.exec()
        print(busy < idle, pump._timer.interval in (busy, idle), client.is_busy)
        pump._poll()
        print(pump._timer.interval == idle)
        pump.stop()
        print(pump._timer.active, client.listeners)
        client.stop(0.2)
    """
    paths = os.pathsep.join([str(ROOT / "Standalone"), worker_environment["PYTHONPATH"]])
    environment = {**worker_environment, "PYTHONPATH": paths, "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == ["{'x': 1}", "True True False", "True", "False []"], done.stderr
