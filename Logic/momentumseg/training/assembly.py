"""The parts of a training run of an automatic model, put together as a recipe says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from momentumseg.errors import InputError
from momentumseg.networks.registry import build_segmentation_network
from momentumseg.networks.segmentation import SegmentationNetwork
from momentumseg.objectives.registry import build_objective
from momentumseg.strategies.base import Strategy
from momentumseg.strategies.registry import build_strategy
from momentumseg.training.data_settings import DataSettings
from momentumseg.training.patches import PatchSampler
from momentumseg.training.prepared_case import PreparedCase
from momentumseg.training.progress import Validator
from momentumseg.training.settings import TrainingSettings
from momentumseg.training.splits import Split
from momentumseg.training.trainer import ModelWriter
from momentumseg.training.validation import SlidingWindowValidator, metrics_of
from momentumseg.transforms.data_statistics import DataStatistics
from momentumseg.transforms.patch_augmentation import PatchAugmentation
from momentumseg.weights.pretrained_starts import load_start, notice_of
from momentumseg.weights.segmentation_models import save_segmentation_model

if TYPE_CHECKING:
    from momentumseg.training.run import RunOptions


@dataclass(frozen=True)
class RunData:
    """The cases of a run, ready to be learnt from.

    Attributes:
        cases: prepared, by name.
        statistics: of the labelled ones.
        split: which case is for what.
        settings: the recipe's [data] table.
        options: of the run.
    """

    cases: Mapping[str, PreparedCase]
    statistics: DataStatistics
    split: Split
    settings: DataSettings
    options: RunOptions

    def part(self, name: str) -> list[PreparedCase]:
        """Cases of "train", "unlabelled", "validation" or "test"."""
        return [self.cases[case] for case in self.split.part(name)]


@dataclass(frozen=True)
class Assembly:
    """The parts that a :class:`Trainer` needs.

    Attributes:
        recipe: complete, with what the data decided (channels, classes).
        strategy: what an iteration computes.
        validator: tries the network; None without validation cases.
        write_model: writes the finished model.
        begin: called once before the first iteration with the model to begin from; loads pretrained weights and returns
            sentences for the user.
    """

    recipe: dict[str, Any]
    strategy: Strategy
    validator: Validator | None
    write_model: ModelWriter
    begin: Callable[[str | Path | None], list[str]]


def assemble_segmentation(recipe: Mapping[str, Any], data: RunData) -> Assembly:
    """Parts of a run that trains a segmentation network.

    Raises:
        InputError: tables of the recipe that do not fit each other or the data.
    """
    recipe = {**recipe, "network": network_table(recipe, data.statistics)}
    settings = TrainingSettings.of(recipe)
    network = build_segmentation_network(recipe["network"])
    _check_fit(network, data.settings, settings, data.options.devices)
    sampler = PatchSampler(
        [*data.part("train"), *data.part("unlabelled")],
        data.settings,
        PatchAugmentation.from_mapping(recipe.get("augmentation", {}), data.settings.dimensions),
        settings.seed,
    )
    objective = build_objective(recipe.get("objective", {}), data.statistics.classes)
    strategy = build_strategy(recipe.get("strategy", {}), network, objective, sampler)

    def write_model(trained: nn.Module, path: Path, metrics: Mapping[str, float]) -> None:
        network.load_state_dict(trained.state_dict())
        card = card_of(recipe, data, metrics)
        save_segmentation_model(network, path, recipe=recipe, card=card, statistics=data.statistics.to_mapping())

    def begin(init: str | Path | None) -> list[str]:
        return load_start(network, recipe.get("weights", {}), init, data.options.store)

    return Assembly(recipe, strategy, _validator(recipe, data), write_model, begin)


def network_table(recipe: Mapping[str, Any], statistics: DataStatistics) -> dict[str, Any]:
    """The recipe's [network] table with the channels and classes of the data, where it does not say others.

    Raises:
        InputError: the recipe's own number does not fit the data.
    """
    table = dict(recipe.get("network", {}))
    classes = table.setdefault("classes", statistics.classes)
    if classes != statistics.classes:
        raise InputError(
            f"The recipe's network has {classes} classes, but the data have {statistics.classes} with the background; "
            "leave network.classes out."
        )
    # a pretrained encoder has seen pictures with three channels; such networks repeat a single one
    channels = 3 if recipe.get("weights", {}).get("encoder") and statistics.in_channels == 1 else statistics.in_channels
    table.setdefault("in_channels", channels)
    return table


def card_of(recipe: Mapping[str, Any], data: RunData, metrics: Mapping[str, float]) -> dict[str, Any]:
    """Model card of a run: the recipe's [card] table with what the run itself knows."""
    settings = TrainingSettings.of(recipe)
    title = data.options.title or str(recipe.get("title", "untitled"))
    table = {"name": title, "licence": "that of the training data", **recipe.get("card", {})}
    known = {
        "description": f"Segments {', '.join(data.statistics.labels.names)} by itself.",
        "training_data": f"{len(data.split.train)} labelled and {len(data.split.unlabelled)} unlabelled own cases",
        "metrics": metrics_of(metrics),
    }
    extra = {
        "training_cases": sorted((*data.split.train, *data.split.unlabelled, *data.split.validation)),
        "iterations": settings.iterations,
        "seed": settings.seed,
    }
    notice = notice_of(recipe.get("weights", {}), data.options.init, data.options.store)
    if notice:
        extra["notice"] = notice
    return {**known, **table, "extra": {**extra, **table.get("extra", {})}}


def _validator(recipe: Mapping[str, Any], data: RunData) -> Validator | None:
    if not data.split.validation:
        return None
    return SlidingWindowValidator(
        data.part("validation"),
        data.statistics.labels.names,
        data.statistics.patch,
        device=data.options.device,
        # a device that left validation alone would leave the others waiting for ever
        cancelled=data.options.cancelled if data.options.devices == 1 else None,
    )


def _check_fit(network: SegmentationNetwork, data: DataSettings, training: TrainingSettings, devices: int) -> None:
    """Network, patch and batch. Raises `InputError` when they do not fit each other."""
    if network.dimensions != data.dimensions:
        raise InputError(
            f"The network is for {network.dimensions}D images, but the patch {list(data.patch)} has {data.dimensions} "
            "sides; change data.patch and data.plane, or the network."
        )
    if any(side % network.divisor for side in data.patch):
        raise InputError(
            f"The patch {list(data.patch)} does not fit the network; every side must be a multiple of "
            f"{network.divisor}: change data.patch."
        )
    own = (training.batch or devices) // devices
    if own == 1 and any(isinstance(part, _BatchNorm) for part in network.modules()):
        raise InputError(
            "The network normalises over the batch, and a batch of one has nothing to compare; set training.batch to 2 "
            "or more, or network.norm to 'instance' where the network has that option."
        )
