"""Write and read the few-shot models of our trainer, and put published weights into a backbone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from momentumseg.errors import InputError, WeightsError
from momentumseg.networks.few_shot import FewShotNetwork
from momentumseg.networks.registry import build_few_shot_network
from momentumseg.weights.cards import ModelCard
from momentumseg.weights.checksums import sha256_of
from momentumseg.weights.key_report import KeyReport, select_tensors
from momentumseg.weights.layouts import fill_backbone, needed_tensors
from momentumseg.weights.model_files import (
    FEW_SHOT,
    fill_network,
    read_description,
    table_of,
    weights_path,
    write_model_file,
)
from momentumseg.weights.reading import read_tensors
from momentumseg.weights.store import WeightsStore


@dataclass(frozen=True)
class LoadedModel:
    """A few-shot model that is ready to run.

    Attributes:
        network: in evaluation mode, float32, on the device that was asked for.
        card: licence, training data and metrics.
        sha256: of the file; identifies the weights in feature caches.
        recipe: the training recipe that made it.
        path: the file it came from.
    """

    network: FewShotNetwork
    card: ModelCard
    sha256: str
    recipe: dict[str, Any]
    path: Path


def save_few_shot_model(
    network: FewShotNetwork, path: Path | str, recipe: Mapping[str, Any], card: ModelCard | Mapping[str, Any]
) -> None:
    """Write a network with its recipe and card to one safetensors file, see :func:`write_model_file`.

    Raises:
        OutputError: the file cannot be written.
    """
    write_model_file(network, path, FEW_SHOT, table=network.config, recipe=recipe, card=card)


def load_few_shot_model(
    reference: Path | str, device: torch.device | str = "cpu", store: WeightsStore | None = None
) -> LoadedModel:
    """Return the few-shot model of a catalogue name or of a ``.safetensors`` file that our trainer wrote.

    Raises:
        WeightsError: unknown name, missing, damaged or unsafe file, or tensors that do not fit the network.
    """
    path = weights_path(reference, store)
    description = read_description(path, FEW_SHOT)
    card = ModelCard.from_mapping(table_of(description, "card", path))
    try:
        network = build_few_shot_network(table_of(description, "network", path))
    except InputError as error:
        raise WeightsError(
            f"The file {path.name} describes a network that this version does not know ({error}); "
            "update MomentumSeg or choose another model."
        ) from error
    fill_network(network, path, card.name)
    network.to(device).eval()
    return LoadedModel(network, card, sha256_of(path), table_of(description, "recipe", path), path)


def load_backbone_weights(backbone: nn.Module, reference: Path | str, store: WeightsStore | None = None) -> KeyReport:
    """Put published weights (a catalogue name or a file) into a backbone, in place.

    Which tensors are needed is the backbone's own knowledge, see :mod:`momentumseg.weights.layouts`. The file may
    put one common prefix before their names (``backbone.``, ``image_encoder.``, ``module.``) and may hold more.

    Returns:
        The report of matched and unexpected names; nothing is missing in it.

    Raises:
        WeightsError: missing, damaged or unsafe file, or not all needed tensors in it; the backbone is unchanged.
    """
    path = weights_path(reference, store)
    tensors = read_tensors(path)
    _, report = select_tensors(tensors, needed_tensors(backbone), path.name)
    report.require_complete(type(backbone).__name__)
    prefix = report.prefix
    fill_backbone(backbone, {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)})
    return report
