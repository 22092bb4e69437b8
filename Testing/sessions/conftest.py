"""A tiny network with random weights whose encoder counts the slices it is given, and sessions around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from momentumseg.networks.few_shot import FewShotNetwork
from momentumseg.networks.registry import build_few_shot_network
from momentumseg.sessions.few_shot import FewShotSession
from momentumseg.volumes.volume import Volume

SIZE = 48


@dataclass
class Model:
    """What a session needs of a loaded model."""

    network: FewShotNetwork
    sha256: str = "weights"
    recipe: dict[str, Any] = field(default_factory=lambda: {"data": {"size": SIZE}})
    encoded: int = 0
    batches: list[int] = field(default_factory=list)


def make_model(head: str = "prototype", context: str = "single") -> Model:
    torch.manual_seed(0)
    network = build_few_shot_network({"head": {"name": head}, "backbone": {"name": "tiny"}})
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 4:  # no layer may be the identity, or a mistake in its use would not show
                parameter.add_(torch.randn_like(parameter) * 0.05)
        if head == "prototype":
            network.head.score.threshold.fill_(16.0)
    model = Model(network.eval())
    model.recipe["episodes"] = {"context": context}
    original = network.encode

    def counting(images: torch.Tensor) -> torch.Tensor:
        model.encoded += len(images)
        model.batches.append(len(images))
        return original(images)

    network.encode = counting
    return model


@pytest.fixture
def a_model_with() -> Callable[..., Model]:
    """Makes a model with a head and a slice context."""
    return make_model


@pytest.fixture
def a_model() -> Model:
    return make_model()


@pytest.fixture
def a_session(a_model: Model, a_phantom_volume: Volume, tmp_path: Path) -> Iterator[FewShotSession]:
    """Session with the phantom as its volume and nothing drawn."""
    with FewShotSession(a_model, cache_folder=tmp_path) as session:
        session.set_volume(a_phantom_volume)
        yield session


@pytest.fixture
def a_drawn_slice(a_phantom_labelmap: Volume) -> Callable[..., np.ndarray]:
    """Mask of one label on one slice of the phantom."""

    def drawn(slice_index: int, label: int = 1) -> np.ndarray:
        return a_phantom_labelmap.array[slice_index] == label

    return drawn
