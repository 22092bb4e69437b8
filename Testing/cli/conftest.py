"""A command line, a model without training and a drawn slice: what the tests of commands need."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from momentumseg.cli.app import app
from momentumseg.io.write import write_volume
from momentumseg.networks.registry import build_few_shot_network
from momentumseg.volumes.volume import Volume
from momentumseg.weights.loading import save_few_shot_model

DRAWN_SLICE = 6


@dataclass(frozen=True)
class Answer:
    """What a command said and returned."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    @property
    def sentence(self) -> str:
        """The last thing said on stderr, which must be one line."""
        return self.stderr.strip().splitlines()[-1]


Command = Callable[..., Answer]


@pytest.fixture
def momentumseg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command in this process, with a weights folder of its own."""
    monkeypatch.setenv("MOMENTUMSEG_HOME", str(tmp_path / "home"))

    def run(*arguments: object) -> Answer:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture(scope="session")
def a_model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few-shot model with random weights that sees slices of 64x64 pixels."""
    torch.manual_seed(0)
    network = build_few_shot_network({"backbone": {"name": "tiny"}, "head": {"name": "lms"}})
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_few_shot_model(network, path, recipe={"data": {"size": 64}}, card={"name": "tiny", "licence": "none"})
    return path


@dataclass(frozen=True)
class DrawnCase:
    """Files of a volume and of one drawn slice of it, in a folder that receives the outputs too."""

    folder: Path
    volume: Path
    support: Path
    image: Volume
    labels: Volume

    def write(self, name: str, array: np.ndarray, ijk_to_ras: np.ndarray | None = None) -> Path:
        path = self.folder / name
        write_volume(Volume(array, self.image.ijk_to_ras if ijk_to_ras is None else ijk_to_ras), path)
        return path

    def arguments(self, model: Path, **changed: object) -> list[object]:
        """Arguments of ``fewshot``; keyword arguments replace options or add some."""
        options = {"support": self.support, "model": model, "output": self.folder / "mask.nrrd", **changed}
        volume = options.pop("volume", self.volume)
        pairs = [[f"--{name.replace('_', '-')}", value] for name, value in options.items()]
        return ["fewshot", volume, *(part for pair in pairs for part in pair)]


@pytest.fixture
def a_drawn_case(tmp_path: Path, a_phantom_volume: Volume, a_phantom_labelmap: Volume) -> DrawnCase:
    folder = tmp_path / "a folder ü"
    folder.mkdir()
    drawn = np.zeros_like(a_phantom_labelmap.array)
    drawn[DRAWN_SLICE] = a_phantom_labelmap.array[DRAWN_SLICE]
    case = DrawnCase(folder, folder / "volume.nii.gz", folder / "drawn.nii.gz", a_phantom_volume, a_phantom_labelmap)
    case.write("volume.nii.gz", a_phantom_volume.array)
    case.write("drawn.nii.gz", drawn)
    return case
