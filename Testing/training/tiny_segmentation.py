"""A supervised run of a second; the tests import it and start it as a program that they kill.

``python tiny_segmentation.py FOLDER [--devices N] [table.key=value ...]`` prints a line before every iteration.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from momentumseg.networks.registry import build_segmentation_network
from momentumseg.objectives.registry import build_objective
from momentumseg.strategies.registry import build_strategy
from momentumseg.training.progress import ValidationReport
from momentumseg.training.trainer import Trainer

SIZE = 32
RECIPE: dict[str, Any] = {
    "network": {
        "name": "resunet",
        "in_channels": 1,
        "classes": 2,
        "widths": [4, 8],
        "units": 2,
        "norm": "instance",
        "momentum": 0.9,
    },
    "optimizer": {"name": "adamw", "lr": 1e-2},
    "schedule": {"name": "cosine", "warmup": 2},
    "training": {"iterations": 22, "epoch": 5, "batch": 4},
}


class Discs:
    """Bright discs in noise, and their masks; each depends on its index alone."""

    def labelled(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng([17, index])
        rows, columns = np.ogrid[:SIZE, :SIZE]
        centre, radius = random.uniform(10, SIZE - 10, 2), random.uniform(5, 9)
        mask = ((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2).astype(np.int64)
        return (2 * mask + random.normal(0, 0.5, mask.shape))[None].astype(np.float32), mask

    def unlabelled(self, index: int) -> np.ndarray:
        return self.labelled(10_000 + index)[0]


class DiscValidator:
    """Dice on three discs that no iteration sees."""

    def __call__(self, network: nn.Module) -> ValidationReport:
        images, masks = zip(*(Discs().labelled(5000 + index) for index in range(3)), strict=True)
        with torch.no_grad():
            found = network(torch.as_tensor(np.stack(images))).argmax(1).numpy()
        truth = np.stack(masks)
        dice = 2.0 * float((found * truth).sum()) / float(found.sum() + truth.sum())
        picture = (found[0] * 255).astype(np.uint8)
        return ValidationReport(dice, {"disc": dice}, "disc_5000", picture, truth[0].astype(np.uint8), picture)


def recipe_with(*settings: str) -> dict[str, Any]:
    """The tiny recipe, changed by ``table.key=value``."""
    recipe = {name: dict(table) for name, table in RECIPE.items()}
    for setting in settings:
        path, _, text = setting.partition("=")
        table, _, key = path.partition(".")
        recipe.setdefault(table, {})[key] = _value(text)
    return recipe


def _value(text: str) -> Any:
    try:
        return float(text) if "." in text or "e" in text else int(text)
    except ValueError:
        return text


def write_tensors(network: nn.Module, path: Path, metrics: Mapping[str, float]) -> None:
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)


def make_trainer(
    folder: Path,
    *settings: str,
    devices: int = 1,
    validates: bool = True,
    sampler: object | None = None,
    change: Callable[[nn.Module], None] = lambda network: None,
) -> Trainer:
    """Trainer of an untrained network, the same at every call."""
    recipe = recipe_with(*settings)
    torch.manual_seed(0)
    network = build_segmentation_network(recipe["network"])
    change(network)
    objective = build_objective(recipe.get("objective", {}), 2)
    strategy = build_strategy(recipe.get("strategy", {}), network, objective, sampler or Discs())
    validator = DiscValidator() if validates else None
    return Trainer(strategy, recipe, folder, write_tensors, devices=devices, validator=validator)


def main(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("settings", nargs="*")
    options = parser.parse_intermixed_args(arguments)
    trainer = make_trainer(options.folder, *options.settings, devices=options.devices)
    trainer.resume()

    def tell() -> bool:
        sys.stdout.write(f"{trainer.iteration}\n")
        sys.stdout.flush()
        return False

    trainer.run(cancelled=tell)


if __name__ == "__main__":
    main(sys.argv[1:])
