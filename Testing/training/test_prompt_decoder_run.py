"""A whole run that fine-tunes a decoder: from a folder of labelled volumes to a model for prompts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from momentumseg.errors import Cancelled, InputError, WeightsError
from momentumseg.io.write import write_volume
from momentumseg.networks.sam.sam import lite_medsam
from momentumseg.recipes.reading import read_recipe
from momentumseg.training.progress import TrainingProgress
from momentumseg.training.run import RunOptions, TrainedModel, run_training
from momentumseg.volumes.volume import Volume
from momentumseg.weights.catalogue import load_catalogue
from momentumseg.weights.prompt_decoders import read_prompt_decoder
from momentumseg.weights.prompt_models import load_prompt_model
from momentumseg.weights.store import WeightsStore

TINY = (
    "weights.image_size=64",
    "training.iterations=4",
    "training.epoch=2",
    "training.batch=2",
    "data.validation=1",
    "strategy.margin=1",
    "strategy.jitter=1",
)


@pytest.fixture(scope="module")
def a_store(tmp_path_factory: pytest.TempPathFactory) -> WeightsStore:
    """A store that knows a random LiteMedSAM."""
    entries = {name: replace(entry, size_bytes=0, sha256="") for name, entry in load_catalogue().items()}
    folder = tmp_path_factory.mktemp("store")
    torch.manual_seed(0)
    torch.save(lite_medsam(64).state_dict(), folder / "lite_medsam.pth")
    return WeightsStore(folder, entries)


@pytest.fixture(scope="module")
def a_data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three patients, 3 thick slices each, with two structures of which one is on two slices only."""
    folder = tmp_path_factory.mktemp("data")
    matrix = np.diag((-1.5, -1.5, 8.0, 1.0))
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for number in range(3):
        labels = np.zeros((3, 40, 48), dtype=np.uint8)
        labels[:, 10 : 28 + number, 8:24] = 1
        labels[1:, 12:24, 30:42] = 2
        noise = np.random.default_rng(number).normal(0, 5, labels.shape)
        image = (np.array((20, 200, 120))[labels] + noise).astype(np.int16)
        write_volume(Volume(image, matrix), folder / "images" / f"patient{number}.nii.gz")
        write_volume(Volume(labels, matrix), folder / "labels" / f"patient{number}.nii.gz")
    return folder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared cases and embeddings, which all runs share."""
    return tmp_path_factory.mktemp("prepared")


@pytest.fixture
def options(tmp_path: Path, a_data_folder: Path, a_store: WeightsStore, prepared: Path) -> RunOptions:
    return RunOptions(tmp_path / "run", a_data_folder, store=a_store, cache_folder=prepared)


@pytest.fixture(scope="module")
def a_finished_run(
    tmp_path_factory: pytest.TempPathFactory, a_data_folder: Path, a_store: WeightsStore, prepared: Path
) -> tuple[TrainedModel, list[TrainingProgress]]:
    told: list[TrainingProgress] = []
    options = RunOptions(
        tmp_path_factory.mktemp("run"),
        a_data_folder,
        store=a_store,
        cache_folder=prepared,
        title="Phantoms",
        on_progress=told.append,
    )
    return run_training(recipe("card.licence='CC BY 4.0'"), options), told


def recipe(*settings: str) -> dict[str, Any]:
    return read_recipe("prompt-decoder-litemedsam", [*TINY, *settings])


def test_the_model_takes_the_place_of_the_one_it_was_made_from(
    a_finished_run: tuple[TrainedModel, list[TrainingProgress]], a_store: WeightsStore
) -> None:
    trained, told = a_finished_run
    start = load_prompt_model("lite-medsam", store=a_store, image_size=64)
    tuned = load_prompt_model(trained.path, store=a_store)
    before, after = start.network.state_dict(), tuned.network.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.startswith("mask_decoder.") for name in changed)
    assert tuned.network.image_size == 64
    report = told[-1].validation
    assert report is not None and set(report.dice) == {"label 1", "label 2"} and 0 <= report.score <= 1
    assert report.image.shape == report.reference.shape == report.predicted.shape
    assert set(np.unique(report.reference)) == {0, 1, 2}


def test_its_card_says_what_follows_from_the_encoder(
    a_finished_run: tuple[TrainedModel, list[TrainingProgress]],
) -> None:
    trained, _ = a_finished_run
    told = read_prompt_decoder(trained.path)
    assert told is not None and told.encoder.name == "lite-medsam"
    card = told.card
    assert (card.name, card.licence) == ("Phantoms", "CC BY 4.0; encoder LiteMedSAM: Apache-2.0")
    assert "LiteMedSAM" in card.description and "experimental" in card.limits
    assert "boxes" in card.extra["prompts"] and "boxes" not in card.extra["experimental"]
    assert "notice" not in card.extra
    assert card.metrics["validation Dice, mean"] == pytest.approx(trained.metrics["best_score"])
    assert len(card.extra["training_cases"]) == 3


def test_a_notice_of_the_encoder_stays_and_says_that_nothing_may_be_published(
    options: RunOptions, a_store: WeightsStore
) -> None:
    """The encoder's card is what decides, so a small model with the notice of LVM-Med stands for it."""
    entries = dict(a_store.catalogue)
    extra = {**entries["lite-medsam"].card.extra, "notice": entries["lvm-med-vit"].card.extra["notice"]}
    card = replace(entries["lite-medsam"].card, extra=extra, licence=entries["lvm-med-vit"].card.licence)
    entries["lite-medsam"] = replace(entries["lite-medsam"], card=card)
    store = WeightsStore(a_store.folder, entries)
    said: list[str] = []
    short = recipe("training.iterations=1", "data.validation=0")
    trained = run_training(short, replace(options, store=store, on_said=said.append))
    tuned = load_prompt_model(trained.path, store=store)
    assert "non-commercial" in tuned.notice and "must not be published" in tuned.notice
    assert "Not for commercial use" in tuned.card.licence
    assert any("non-commercial" in sentence for sentence in said)


def test_a_stopped_run_goes_on_to_the_same_decoder(
    options: RunOptions, a_finished_run: tuple[TrainedModel, list[TrainingProgress]]
) -> None:
    stop: list[bool] = []

    def after_two(now: TrainingProgress) -> None:
        stop.append(now.iteration >= 2)

    same = recipe("card.licence='CC BY 4.0'")
    watched = replace(options, title="Phantoms", on_progress=after_two, cancelled=lambda: any(stop))
    with pytest.raises(Cancelled):
        run_training(same, watched)
    resumed = run_training(same, replace(options, title="Phantoms"))
    assert resumed.path.read_bytes() == a_finished_run[0].path.read_bytes()


def test_it_can_begin_with_a_decoder_that_was_fine_tuned_before(
    options: RunOptions, a_finished_run: tuple[TrainedModel, list[TrainingProgress]]
) -> None:
    first, _ = a_finished_run
    still = recipe("optimizer.lr=0.0", "data.validation=0", "training.iterations=1")
    second = run_training(still, replace(options, init=first.path))
    one, other = (load_prompt_model(found.path, store=options.store) for found in (first, second))
    for name, value in one.network.state_dict().items():
        assert torch.equal(value, other.network.state_dict()[name]), name


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("data.spacing=median", "data.spacing is 'median'.*slices as they are"),
        ("data.intensity=zscore", "data.intensity is 'zscore'"),
        ("objective.name=dice_ce", "objective 'prompt_mask'"),
        ("weights.prompt_model=3", "weights.prompt_model is 3"),
        ("strategy.jitter=-2", "strategy.jitter is -2"),
    ],
)
def test_recipes_that_cannot_work_are_refused(options: RunOptions, setting: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        run_training(recipe(setting), options)


def test_an_encoder_that_is_not_here_is_named(options: RunOptions) -> None:
    with pytest.raises(WeightsError, match="lvm-med-vit are not on this computer"):
        run_training(read_recipe("prompt-decoder-lvm-med"), options)
