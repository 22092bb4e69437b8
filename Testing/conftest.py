"""Fixtures of all rooms. Names read as sentences: ``a_phantom_volume``, ``shared_data``."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import settings

from momentumseg.volumes.volume import Volume

if TYPE_CHECKING:
    from momentumseg.networks.sam.sam import SamNetwork

ROOT = Path(__file__).resolve().parents[1]

# A busy machine must not fail a test; examples are the same on every run, so that a failure can be repeated.
settings.register_profile("house", deadline=None, derandomize=True)
settings.load_profile("house")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real volumes that lie beside the repository; see their MANIFEST.md."""
    folder = Path(os.environ.get("MOMENTUMSEG_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real volumes at {folder} (set MOMENTUMSEG_SHARED_DATA)")
    return folder


@pytest.fixture(scope="session")
def a_chaos_case(shared_data: Path) -> tuple[Path, Path]:
    """Image and label map of one abdominal MRI (256x256, 1.25x1.25x7.7 mm)."""
    images = sorted((shared_data / "chaos_t2" / "images").glob("*.nii.gz"))
    if not images:
        pytest.skip(f"no abdominal MRI in {shared_data}")
    return images[0], shared_data / "chaos_t2" / "labels" / images[0].name


@pytest.fixture(scope="session")
def a_hippocampus_case(shared_data: Path) -> tuple[Path, Path]:
    """Image and label map of one small brain MRI (about 35x51x35, 1 mm)."""
    images = sorted((shared_data / "hippocampus" / "images").glob("*.nii.gz"))
    if not images:
        pytest.skip(f"no hippocampus MRI in {shared_data}")
    return images[0], shared_data / "hippocampus" / "labels" / images[0].name


@pytest.fixture
def a_geometry() -> np.ndarray:
    """IJK-to-RAS of an axial scan, 1.5 x 1.5 x 5 mm, i to the left, j to the back, k to the head."""
    matrix = np.diag((-1.5, -1.5, 5.0, 1.0))
    matrix[:3, 3] = (30.0, 40.0, -20.0)
    return matrix


@pytest.fixture
def a_phantom_labelmap(a_geometry: np.ndarray) -> Volume:
    """Label map (12, 40, 48): an ellipsoid (1) and a smaller box (2) beside it."""
    k, j, i = np.ogrid[:12, :40, :48]
    labels = ((((k - 6) / 4) ** 2 + ((j - 20) / 12) ** 2 + ((i - 16) / 10) ** 2) <= 1).astype(np.uint8)
    labels[3:9, 12:26, 34:42] = 2
    return Volume(labels, a_geometry, "phantom labels")


@pytest.fixture
def a_phantom_volume(a_phantom_labelmap: Volume) -> Volume:
    """Int16 image (12, 40, 48) of the phantom: each label has a brightness of its own, with noise."""
    rng = np.random.default_rng(7)
    brightness = np.array((20, 200, 120))[a_phantom_labelmap.array]
    noisy = brightness + rng.normal(0, 5, brightness.shape)
    return a_phantom_labelmap.like(noisy.astype(np.int16), "phantom")


@pytest.fixture(scope="session")
def prompt_fakes() -> ModuleType:
    """The module ``prompt_model.py`` beside this file."""
    return _beside("prompt_model")


@pytest.fixture(scope="session")
def automatic_fakes() -> ModuleType:
    """The module ``automatic_model.py`` beside this file."""
    return _beside("automatic_model")


def _beside(stem: str) -> ModuleType:
    """A module of this folder, which is no package."""
    name = f"momentumseg_fakes_{stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{stem}.py"))
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture
def a_tiny_sam() -> SamNetwork:
    """A random network of the SAM family: images of 64 px, embeddings (32, 4, 4), logits of 16 x 16."""
    import torch

    from momentumseg.networks.sam.sam import SamNetwork

    torch.manual_seed(0)
    encoder = torch.nn.Conv2d(3, 32, 16, 16)
    encoder.stride = 16  # type: ignore[assignment]  # one number, as the encoders of the family say it
    return SamNetwork(encoder, 64).eval()
