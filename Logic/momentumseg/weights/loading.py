"""Write and read the few-shot models of our trainer, and put published weights into a backbone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from momentumseg.errors import InputError, OutputError, WeightsError
from momentumseg.io.atomic import atomic_path
from momentumseg.networks.few_shot import FewShotNetwork
from momentumseg.networks.registry import build_few_shot_network
from momentumseg.weights.cards import ModelCard
from momentumseg.weights.checksums import sha256_of
from momentumseg.weights.key_report import KeyReport, select_tensors
from momentumseg.weights.layouts import copy_tensors, fill_backbone, needed_tensors
from momentumseg.weights.reading import parse_json, read_metadata, read_tensors
from momentumseg.weights.store import WEIGHTS_SUFFIXES, WeightsStore

METADATA_KEY = "momentumseg"
FORMAT = 1
_LARGEST_HALF = 65504.0


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
    """Write a network with its recipe and card to one safetensors file, atomically.

    Weight matrices and filters are stored in half precision; vectors (biases, normalisation, statistics) stay
    in single precision: they are few, and running variances leave the range of half precision.

    Raises:
        OutputError: the file cannot be written.
    """
    card = card if isinstance(card, ModelCard) else ModelCard.from_mapping(card)
    description = {
        "format": FORMAT,
        "network": network.config,
        "recipe": dict(recipe),
        "card": card.to_mapping(),
    }
    tensors = {name: _compact(value) for name, value in network.state_dict().items()}
    try:
        with atomic_path(Path(path)) as temporary:
            save_file(tensors, temporary, metadata={METADATA_KEY: json.dumps(description)})
            temporary.chmod(0o644)  # the library writes files that only their owner can read
    except (OSError, SafetensorError) as error:
        raise OutputError(f"The model could not be written to {path} ({error}); choose another folder.") from error


def load_few_shot_model(
    reference: Path | str, device: torch.device | str = "cpu", store: WeightsStore | None = None
) -> LoadedModel:
    """Return the few-shot model of a catalogue name or of a ``.safetensors`` file that our trainer wrote.

    Raises:
        WeightsError: unknown name, missing, damaged or unsafe file, or tensors that do not fit the network.
    """
    path = weights_path(reference, store)
    description = _description(path)
    card = ModelCard.from_mapping(_table(description, "card", path))
    try:
        network = build_few_shot_network(_table(description, "network", path))
    except InputError as error:
        raise WeightsError(
            f"The file {path.name} describes a network that this version does not know ({error}); "
            "update MomentumSeg or choose another model."
        ) from error
    state = network.state_dict(keep_vars=True)
    chosen, report = select_tensors(read_tensors(path), state, path.name)
    report.require_exact(card.name)
    copy_tensors(chosen, state)
    network.to(device).eval()
    return LoadedModel(network, card, sha256_of(path), _table(description, "recipe", path), path)


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


def weights_path(reference: Path | str, store: WeightsStore | None = None) -> Path:
    """Return the file of a catalogue name, a name of the store or a path.

    A path wins over a name when such a file exists or the text looks like a path.

    Raises:
        WeightsError: unknown name, or weights that are not on this computer and may not be fetched.
    """
    path = Path(reference).expanduser()
    if isinstance(reference, Path) or path.suffix in WEIGHTS_SUFFIXES or path.is_file() or len(path.parts) > 1:
        return path
    return (store or WeightsStore()).path_of(str(reference))


def _description(path: Path) -> dict[str, Any]:
    metadata = read_metadata(path)
    if METADATA_KEY not in metadata:
        raise WeightsError(
            f"The file {path.name} was not written by MomentumSeg's trainer (it carries no recipe); choose a model "
            "from 'momentumseg models list' or one that 'momentumseg train' wrote."
        )
    description = parse_json(metadata[METADATA_KEY], path)
    if description.get("format") != FORMAT:
        raise WeightsError(
            f"The file {path.name} has format {description.get('format')!r}, this version reads format {FORMAT}; "
            "update MomentumSeg."
        )
    return description


def _table(description: Mapping[str, Any], key: str, path: Path) -> dict[str, Any]:
    value = description.get(key)
    if not isinstance(value, dict):
        raise WeightsError(f"The description inside {path.name} has no table '{key}'; get the file again.")
    return value


def _compact(value: Tensor) -> Tensor:
    value = value.detach().cpu().contiguous()
    is_matrix = value.ndim >= 2 and value.is_floating_point() and value.numel() > 0
    if not is_matrix or value.abs().max() > _LARGEST_HALF:
        return value.clone()  # safetensors refuses tensors that share memory
    return value.half()
