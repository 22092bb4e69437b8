"""A complete few-shot training run: from a recipe and unlabelled volumes to a model file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from momentumseg.errors import Cancelled, InputError
from momentumseg.io.read import read_volume
from momentumseg.networks.few_shot import FewShotNetwork
from momentumseg.networks.registry import build_few_shot_network
from momentumseg.objectives.few_shot import FewShotObjective
from momentumseg.optimizers.registry import build_optimizer, build_schedule
from momentumseg.strategies.episodic import Episodes, Episodic
from momentumseg.training.episodes import EligibilityRules, EpisodeDataset
from momentumseg.training.phantoms import generate_phantom_volume
from momentumseg.training.preparation import RegionSource, prepare_volume
from momentumseg.training.prepared_volume import PreparedVolume
from momentumseg.training.progress import TrainingProgress
from momentumseg.training.settings import TrainingSettings
from momentumseg.training.trainer import Trainer
from momentumseg.transforms.episode_augmentation import AugmentationConfig
from momentumseg.transforms.slices import slices_to_images
from momentumseg.weights.loading import load_backbone_weights, save_few_shot_model
from momentumseg.weights.store import WeightsStore


@dataclass(frozen=True)
class RunOptions:
    """Where and on what a run trains.

    Attributes:
        folder: of checkpoints and the model; an unfinished run in it is continued.
        images: unlabelled volumes by case name.
        device, devices: see :class:`Trainer`.
        cache_folder: of the supervoxels; None computes them anew.
        on_prepared: called with the number of prepared volumes and of all.
        on_progress: called every few iterations.
        cancelled: asked between iterations and volumes.
    """

    folder: Path
    images: Mapping[str, Path]
    device: str = "cpu"
    devices: int = 1
    cache_folder: Path | None = None
    store: WeightsStore | None = None
    on_prepared: Callable[[int, int], None] = field(default=lambda done, total: None)
    on_progress: Callable[[TrainingProgress], None] | None = None
    cancelled: Callable[[], bool] = field(default=lambda: False)


def run_few_shot_training(recipe: Mapping[str, Any], options: RunOptions) -> Path:
    """Train as the recipe says and return the path of the model file.

    Raises:
        InputError: unusable recipe or volumes.
        Cancelled: the user stopped; the same call continues.
        OutputError, WeightsError: files that cannot be written or loaded.
    """
    recipe = with_training_cases(recipe, options.images)
    seed = TrainingSettings.of(recipe).seed
    torch.manual_seed(seed)
    network = build_few_shot_network(recipe.get("network", {}))
    _check_tables(recipe, network)
    volumes = prepare_volumes(recipe, options)
    dataset = build_episodes(recipe, volumes)
    trainer = few_shot_trainer(
        network, dataset, recipe, options.folder, card_of(recipe), options.device, options.devices
    )
    if not trainer.resume():
        initialize(network, recipe, volumes, options.store, seed)
        trainer.restart_average()
    return trainer.run(options.on_progress, options.cancelled)


def few_shot_trainer(
    network: FewShotNetwork,
    episodes: Episodes,
    recipe: Mapping[str, Any],
    folder: Path,
    card: Mapping[str, Any],
    device: str = "cpu",
    devices: int = 1,
) -> Trainer:
    """Trainer of a few-shot network on episodes; ``card`` is the model card, see :mod:`momentumseg.weights.cards`.

    Raises:
        InputError: the recipe's tables do not fit.
        DependencyError: several devices without Lightning Fabric.
    """

    def write_model(_: nn.Module, path: Path, metrics: Mapping[str, float]) -> None:
        save_few_shot_model(network, path, recipe=recipe, card=card)

    strategy = Episodic(FewShotObjective.from_mapping(network, recipe.get("objective", {})), episodes)
    return Trainer(strategy, recipe, folder, write_model, device, devices)


def with_training_cases(recipe: Mapping[str, Any], names: Mapping[str, Path] | Sequence[str]) -> dict[str, Any]:
    """The recipe with the names of the volumes it was run on: an evaluation refuses to test on them."""
    return {**recipe, "data": {**recipe.get("data", {}), "training_cases": sorted(names)}}


def prepare_volumes(recipe: Mapping[str, Any], options: RunOptions) -> list[PreparedVolume]:
    """Normalised stacks and regions of the volumes, and the recipe's generated phantoms.

    Raises:
        InputError: no volume at all, or one that cannot be used.
        Cancelled: the user stopped.
    """
    data = recipe.get("data", {})
    sources = _region_sources(recipe)
    phantoms = int(data.get("phantoms", 0))
    total = len(options.images) + phantoms
    if total == 0:
        raise InputError("There is nothing to train on; give a folder with volumes.")
    prepared = []
    for case in sorted(options.images):
        _stop_if(options.cancelled)
        volume = read_volume(options.images[case])
        prepared.append(
            prepare_volume(
                volume,
                size=data.get("size", 256),
                plane=data.get("plane", "acquisition"),
                sources=sources,
                cache_folder=options.cache_folder,
            )
        )
        options.on_prepared(len(prepared), total)
    for index in range(phantoms):
        _stop_if(options.cancelled)
        prepared.append(generate_phantom_volume(np.random.default_rng([7, index])))
        options.on_prepared(len(prepared), total)
    return prepared


def build_episodes(recipe: Mapping[str, Any], volumes: Sequence[PreparedVolume]) -> EpisodeDataset:
    """Episodes of the recipe's ``[episodes]`` and ``[augmentation]`` tables.

    Raises:
        InputError: unknown option, or no usable region.
    """
    settings = TrainingSettings.of(recipe)
    return EpisodeDataset(
        volumes,
        seed=settings.seed,
        length=settings.iterations,
        context=recipe.get("episodes", {}).get("context", "single"),
        augmentation=AugmentationConfig.from_mapping(recipe.get("augmentation", {})),
        rules=_eligibility_rules(recipe),
    )


def initialize(
    network: FewShotNetwork,
    recipe: Mapping[str, Any],
    volumes: Sequence[PreparedVolume],
    store: WeightsStore | None,
    seed: int,
) -> None:
    """Pretrained backbone and whitened projections, as the recipe's ``[weights]`` table says."""
    table = recipe.get("weights", {})
    if "backbone" in table:
        load_backbone_weights(network.backbone, table["backbone"], store)
    count = int(table.get("whiten_slices", 0))
    whiten = getattr(network.backbone, "whiten", None)
    if count and callable(whiten):
        whiten(_sample_slices(volumes, count, seed), seed=seed)


def card_of(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Model card of a run: the recipe's ``[card]`` table with what the run itself knows."""
    card = {"name": "untitled", "licence": "that of the training data", **recipe.get("card", {})}
    settings = TrainingSettings.of(recipe)
    extra = {
        "training_cases": recipe["data"]["training_cases"],
        "iterations": settings.iterations,
        "seed": settings.seed,
        **card.get("extra", {}),
    }
    return {**card, "extra": extra}


def _check_tables(recipe: Mapping[str, Any], network: FewShotNetwork) -> None:
    """Try every table of a recipe: a mistake in one must not wait for minutes of preparation."""
    FewShotObjective.from_mapping(network, recipe.get("objective", {}))
    build_optimizer(network.parameters(), recipe.get("optimizer", {}))
    build_schedule(recipe.get("schedule", {}), TrainingSettings.of(recipe).iterations)
    AugmentationConfig.from_mapping(recipe.get("augmentation", {}))
    _eligibility_rules(recipe)
    _region_sources(recipe)


def _region_sources(recipe: Mapping[str, Any]) -> tuple[RegionSource, ...]:
    try:
        return tuple(RegionSource(**table) for table in recipe.get("data", {}).get("regions", [{}]))
    except TypeError as error:
        raise InputError(f"The recipe's data.regions has an unknown option: {error}.") from error


def _eligibility_rules(recipe: Mapping[str, Any]) -> EligibilityRules:
    table = {key: value for key, value in recipe.get("episodes", {}).items() if key != "context"}
    try:
        return EligibilityRules(**table)
    except TypeError as error:
        raise InputError(f"The recipe's [episodes] table has an unknown option: {error}.") from error


def _sample_slices(volumes: Sequence[PreparedVolume], count: int, seed: int) -> torch.Tensor:
    rng = np.random.default_rng([seed, 1])
    chosen = [volumes[int(rng.integers(len(volumes)))] for _ in range(count)]
    images = [slices_to_images(volume.stack, [int(rng.integers(len(volume.stack)))]) for volume in chosen]
    return torch.from_numpy(np.concatenate(images))


def _stop_if(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise Cancelled("Training was stopped before it began; nothing was written.")
