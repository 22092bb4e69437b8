"""Run by the tests in a fresh Python that knows only the folder of installed modules, as Slicer does.

Prints, as JSON, where things were found and what a worker started from there answers.
"""

from __future__ import annotations

import json
import sys
import time

import momentumseg_standalone

momentumseg_standalone.install()  # qt and ctk, which Slicer would give

import slicer  # noqa: E402

from MomentumSegLib import installation, phantom, sample_data, settings_panel  # noqa: E402, F401
from MomentumSegLib.engine import engine_folder  # noqa: E402
from MomentumSegLib.worker_client import WorkerClient  # noqa: E402
from MomentumSegLib.worker_launch import local_launch  # noqa: E402

WAIT_SECONDS = 120


def main() -> None:
    answers: dict = {}
    client = WorkerClient(local_launch())
    for method, parameters in (("status", {}), ("list_models", {"kind": "few-shot"})):
        client.request(
            method,
            parameters,
            on_result=lambda values, arrays, method=method: answers.update({method: values}),
            on_error=lambda failure, method=method: answers.update({method: f"{failure.kind}: {failure.sentence}"}),
        )
    end = time.monotonic() + WAIT_SECONDS
    while len(answers) < 2 and time.monotonic() < end:
        client.poll()
        time.sleep(0.01)
    client.stop()
    sys.stdout.write(
        json.dumps(
            {
                "engine": str(engine_folder()),
                "requirements": [str(requirement) for requirement in installation.slicer_requirements()],
                "icon": sample_data.PHANTOM_THUMBNAIL.is_file(),
                "ui": settings_panel.UI_FILE.is_file(),
                "heavy": sorted({"torch", "monai"} & set(sys.modules)),
                "mrml": slicer.vtkMRMLScene().GetClassName(),
                **answers,
            }
        )
    )


if __name__ == "__main__":
    main()
