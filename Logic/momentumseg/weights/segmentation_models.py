"""Write and read automatic models: a segmentation network with all that applying it to a new volume needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from momentumseg.errors import InputError, WeightsError
from momentumseg.networks.registry import build_segmentation_network
from momentumseg.networks.segmentation import SegmentationNetwork
from momentumseg.transforms.data_statistics import DataStatistics
from momentumseg.weights.cards import ModelCard
from momentumseg.weights.checksums import sha256_of
from momentumseg.weights.model_files import (
    AUTOMATIC,
    fill_network,
    read_description,
    table_of,
    weights_path,
    write_model_file,
)
from momentumseg.weights.store import WeightsStore


@dataclass(frozen=True)
class LoadedSegmentationModel:
    """An automatic model that is ready to run.

    Attributes:
        network: in evaluation mode, float32, on the device that was asked for.
        card: licence, training data and metrics.
        sha256: of the file.
        recipe: the training recipe that made it.
        statistics: of the training data: grid, patch, intensities, labels and their names.
        path: the file it came from.
    """

    network: SegmentationNetwork
    card: ModelCard
    sha256: str
    recipe: dict[str, Any]
    statistics: DataStatistics
    path: Path


def save_segmentation_model(
    network: SegmentationNetwork,
    path: Path | str,
    *,
    recipe: Mapping[str, Any],
    card: ModelCard | Mapping[str, Any],
    statistics: Mapping[str, Any],
) -> None:
    """Write a network with its recipe, card and data statistics to one safetensors file, see :func:`write_model_file`.

    Args:
        network: that :func:`build_segmentation_network` built: its ``config`` table is what builds it again.
        statistics: :meth:`DataStatistics.to_mapping`.

    Raises:
        OutputError: the file cannot be written.
    """
    write_model_file(network, path, AUTOMATIC, table=network.config, recipe=recipe, card=card, statistics=statistics)


def load_segmentation_model(
    reference: Path | str, device: torch.device | str = "cpu", store: WeightsStore | None = None
) -> LoadedSegmentationModel:
    """Return the automatic model of a catalogue name or of a ``.safetensors`` file that our trainer wrote.

    Raises:
        WeightsError: unknown name, missing, damaged or unsafe file, a few-shot model, or tensors that do not fit.
    """
    path = weights_path(reference, store)
    description = read_description(path, AUTOMATIC)
    card = ModelCard.from_mapping(table_of(description, "card", path))
    try:
        statistics = DataStatistics.from_mapping(table_of(description, "statistics", path))
        network = build_segmentation_network(table_of(description, "network", path))
        _check_fit(network, statistics)
    except InputError as error:
        raise WeightsError(
            f"The file {path.name} describes a model that this version cannot run ({error}); "
            "update MomentumSeg or choose another model."
        ) from error
    fill_network(network, path, card.name)
    network.to(device).eval()
    return LoadedSegmentationModel(
        network, card, sha256_of(path), table_of(description, "recipe", path), statistics, path
    )


def _check_fit(network: SegmentationNetwork, statistics: DataStatistics) -> None:
    """Whether the network can have been trained on these data. Raises `InputError`."""
    if network.dimensions != statistics.dimensions or network.classes != statistics.classes:
        raise InputError(
            f"its network is for {network.dimensions}D images and {network.classes} classes, its data have patches of "
            f"{statistics.dimensions} sides and {statistics.classes} classes"
        )
    if network.in_channels != statistics.in_channels and (network.in_channels, statistics.in_channels) != (3, 1):
        raise InputError(f"its network takes {network.in_channels} channels, its data have {statistics.in_channels}")
