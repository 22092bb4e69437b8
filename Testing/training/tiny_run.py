"""A training run of a second; the tests import it and start it as a program that they kill.

``python tiny_run.py FOLDER [--devices N] [--stop-at I] [table.key=value ...]`` prints a line before every iteration.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from momentumseg.networks.registry import build_few_shot_network
from momentumseg.recipes.reading import read_recipe
from momentumseg.training.episodes import Episode
from momentumseg.training.few_shot_run import few_shot_trainer
from momentumseg.training.trainer import Trainer

SETTINGS = (
    'network.backbone={name = "tiny", channels = 8}',
    "schedule.warmup=2",
    "training.epoch=5",
    "training.iterations=22",
)
SIZE = 32


class Discs:
    """Episodes of a bright disc somewhere in noise; each depends on its index alone."""

    def __getitem__(self, index: int) -> Episode:
        rng = np.random.default_rng([17, index])
        return Episode(*_disc(rng), *_disc(rng))


def _disc(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.ogrid[:SIZE, :SIZE]
    centre, radius = rng.uniform(10, SIZE - 10, 2), rng.uniform(5, 9)
    mask = ((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2).astype(np.uint8)
    image = 2 * mask + rng.normal(0, 0.5, mask.shape)
    return np.repeat(image[None].astype(np.float32), 3, axis=0), mask


def recipe_with(*settings: str, recipe: str = "lms-laptop") -> dict[str, Any]:
    """The laptop recipe, made tiny, then changed by ``settings``."""
    return read_recipe(recipe, (*SETTINGS, *settings))


def make_trainer(folder: Path, *settings: str, recipe: str = "lms-laptop", devices: int = 1) -> Trainer:
    """Trainer of an untrained network, the same at every call."""
    table = recipe_with(*settings, recipe=recipe)
    torch.manual_seed(0)
    network = build_few_shot_network(table["network"])
    card = {"name": "tiny", "licence": "none", "training_data": "generated discs"}
    return few_shot_trainer(network, Discs(), table, folder, card, devices=devices)


def main(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--stop-at", type=int, help="the last of the devices asks to stop at this iteration")
    parser.add_argument("settings", nargs="*")
    options = parser.parse_intermixed_args(arguments)
    trainer = make_trainer(options.folder, *options.settings, devices=options.devices)
    trainer.resume()

    def tell() -> bool:
        sys.stdout.write(f"{trainer.iteration}\n")
        sys.stdout.flush()
        return trainer.engine.rank == options.devices - 1 and trainer.iteration == options.stop_at

    trainer.run(cancelled=tell)


if __name__ == "__main__":
    main(sys.argv[1:])
