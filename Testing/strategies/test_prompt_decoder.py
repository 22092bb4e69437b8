"""Decoder-only fine-tuning: what a sample is, what is trained, and that nothing is computed twice."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from momentumseg.errors import Cancelled, InputError, OutputError
from momentumseg.geometry.canonical_grid import CanonicalGrid
from momentumseg.networks.sam.box_decoder import BoxDecoder
from momentumseg.networks.sam.sam import SamNetwork
from momentumseg.objectives.prompt_mask import PromptMaskObjective
from momentumseg.strategies.prompt_decoder import PromptDecoder
from momentumseg.strategies.prompted_slices import EmbeddingStore, PromptedSlices, grown_box
from momentumseg.strategies.registry import build_strategy, strategy_names
from momentumseg.training.trainer import Trainer
from momentumseg.transforms.prompt_preprocessing import PromptPreprocessing
from momentumseg.transforms.prompt_slices import PromptSlices
from momentumseg.volumes.volume import Volume

PREPROCESSING = PromptPreprocessing.of("lite-medsam", 64, 16)
RECIPE: dict[str, Any] = {
    "optimizer": {"name": "adam", "amsgrad": True, "lr": 1e-3},
    "schedule": {"name": "constant"},
    "training": {"iterations": 6, "epoch": 2, "batch": 2, "seed": 3},
}


def a_case(number: int, labels: bool = True) -> Any:
    """Bright ellipses on 5 slices of 40 x 48 pixels, 1.5 x 1.5 mm; the first slice is empty."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:40, :48]
    marks = np.zeros((5, 40, 48), dtype=np.uint8)
    for index in range(1, 5):
        marks[index][((y - 18) / (6 + index)) ** 2 + ((x - 22) / 9) ** 2 <= 1] = 1
        marks[index][((y - 18) / 3) ** 2 + ((x - 22) / 4) ** 2 <= 1] = 2
    image = np.array((50.0, 200.0, 400.0))[marks] + rng.normal(0, 10, marks.shape)
    return SimpleNamespace(
        name=f"case {number}",
        image=image[None].astype(np.float32),
        labels=marks if labels else None,
        spacing=(8.0, 1.5, 1.5),
    )


@pytest.fixture
def a_store(a_tiny_sam: SamNetwork, tmp_path: Path) -> EmbeddingStore:
    return EmbeddingStore(a_tiny_sam, "tiny", tmp_path / "embeddings")


@pytest.fixture
def some_slices(a_store: EmbeddingStore) -> PromptedSlices:
    return PromptedSlices([a_case(1), a_case(2), a_case(3, labels=False)], PREPROCESSING, a_store, seed=5)


@pytest.fixture
def a_strategy(a_tiny_sam: SamNetwork, some_slices: PromptedSlices) -> PromptDecoder:
    return PromptDecoder(BoxDecoder(a_tiny_sam), PromptMaskObjective(iou=1.0), some_slices, margin=1, jitter=2)


def test_recipes_can_name_it(a_tiny_sam: SamNetwork, some_slices: PromptedSlices) -> None:
    assert "prompt_decoder" in strategy_names()
    table = {"name": "prompt_decoder", "jitter": 3, "margin": 2}
    built = build_strategy(table, BoxDecoder(a_tiny_sam), PromptMaskObjective(), some_slices)
    assert isinstance(built, PromptDecoder) and built.margin == 2


def test_a_sample_is_a_structure_with_the_box_around_it(a_strategy: PromptDecoder, some_slices: PromptedSlices) -> None:
    for index in range(12):
        embedding, box, target = a_strategy.sample(index)
        structure = a_strategy.structure(index)
        assert (embedding.dtype, embedding.shape) == (np.float16, (32, 4, 4))
        assert (box.shape, target.shape, target.dtype) == ((4,), (1, 16, 16), np.float32)
        covered = PromptSlices(some_slices._volume(structure.case), "axial", PREPROCESSING).to_logits(
            some_slices.reference(structure)
        )
        np.testing.assert_array_equal(target[0] > 0, covered >= 0)
        assert 0 < target.sum() < 256


def test_same_index_gives_the_same_sample_whatever_was_drawn_before(
    a_strategy: PromptDecoder, a_tiny_sam: SamNetwork, some_slices: PromptedSlices
) -> None:
    backwards = {index: a_strategy.sample(index) for index in reversed(range(20))}
    again = PromptDecoder(BoxDecoder(a_tiny_sam), PromptMaskObjective(), some_slices, margin=1, jitter=2)
    for index in range(20):
        for one, other in zip(backwards[index], again.sample(index), strict=True):
            np.testing.assert_array_equal(one, other)


def test_every_structure_comes_once_before_any_comes_again(a_strategy: PromptDecoder) -> None:
    count = len(a_strategy.structures)
    first = [a_strategy.structure(index) for index in range(count)]
    second = [a_strategy.structure(index) for index in range(count, 2 * count)]
    assert set(first) == set(second) == set(a_strategy.structures)
    assert first != second
    assert all(found.area >= 20 and found.case < 2 for found in a_strategy.structures)


def test_jitter_stays_within_its_bounds(a_strategy: PromptDecoder, some_slices: PromptedSlices) -> None:
    pixel = 64 / 16
    outward = []
    for index in range(400):
        tight = some_slices.box(a_strategy.structure(index))
        box = a_strategy.jittered_box(index)
        quarter = (tight[2:] - tight[:2]) / 4
        moved = (box - tight) * (-1, -1, 1, 1)
        assert np.all(moved <= (1 + 2) * pixel + 1e-4)
        assert np.all(moved >= -np.minimum(np.tile(quarter, 2), (2 - 1) * pixel) - 1e-4)
        assert np.all(box >= 0) and np.all(box <= 63) and np.all(box[:2] < box[2:])
        outward.append(moved)
    assert np.min(outward) < 0 and np.max(outward) > 2 * pixel  # and the bounds are used


def test_a_box_is_never_turned_inside_out() -> None:
    tight = np.array([10.0, 20.0, 18.0, 22.0])
    np.testing.assert_allclose(grown_box(tight, np.full(4, -100.0), 64), [12, 20.5, 16, 21.5])
    np.testing.assert_allclose(grown_box(tight, np.full(4, 100.0), 64), [0, 0, 63, 63])


def test_training_sees_what_a_session_shows(a_store: EmbeddingStore) -> None:
    """A volume in another axis order, prepared on the canonical grid, gives the picture and the box of the session."""
    case = a_case(1)
    matrix = np.array([[0, 0, 8.0, 5], [1.5, 0, 0, 0], [0, -1.5, 0, 7], [0, 0, 0, 1]])  # sagittal slices
    volume = Volume(np.ascontiguousarray(case.image[0]), matrix)
    grid = CanonicalGrid.of(volume.shape, matrix, plane="acquisition")
    labels = grid.forward_labels(case.labels)
    prepared = SimpleNamespace(
        name="turned", image=grid.forward_image(volume.array)[None], labels=labels, spacing=grid.spacing
    )
    slices = PromptedSlices([prepared], PREPROCESSING, a_store)
    session = PromptSlices(volume, "acquisition", PREPROCESSING)
    for structure in slices.structures:
        index = session.space.volume_index(structure.slice_index)
        np.testing.assert_array_equal(slices.slices(0).channels(structure.slice_index), session.channels(index))
        mask = np.moveaxis(case.labels, session.space.slice_axis, 0)[index] == structure.label
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        corners = np.array([(columns[0], rows[0]), (columns[-1], rows[-1])])
        np.testing.assert_allclose(slices.box(structure), session.box_to_network(corners), atol=1e-4)
        np.testing.assert_array_equal(slices.target(structure)[0] > 0, session.to_logits(mask) >= 0)


def test_slices_are_encoded_once(some_slices: PromptedSlices, a_store: EmbeddingStore, a_tiny_sam: SamNetwork) -> None:
    told: list[tuple[int, int]] = []
    some_slices.encode(some_slices.structures, lambda done, total: told.append((done, total)))
    assert a_store.encoded == 8 and told[-1] == (8, 8)  # 4 slices with structures in each of 2 labelled cases
    some_slices.encode(some_slices.structures)
    for structure in some_slices.structures:
        some_slices.embedding(structure)
    assert a_store.encoded == 8
    another = EmbeddingStore(a_tiny_sam, "tiny", a_store._folder)
    PromptedSlices([a_case(2)], PREPROCESSING, another).encode(some_slices.structures[:2])
    assert another.encoded == 0  # another run over the same folder
    other_weights = EmbeddingStore(a_tiny_sam, "another encoder", a_store._folder)
    PromptedSlices([a_case(2)], PREPROCESSING, other_weights).encode(some_slices.structures[:2])
    assert other_weights.encoded == 1


def test_a_slice_that_was_not_encoded_ahead_is_encoded_when_it_is_needed(
    some_slices: PromptedSlices, a_store: EmbeddingStore, a_tiny_sam: SamNetwork
) -> None:
    structure = some_slices.structures[0]
    found = some_slices.embedding(structure)
    image = torch.from_numpy(some_slices.slices(structure.case).channels(structure.slice_index))[None]
    with torch.inference_mode():
        np.testing.assert_array_equal(found, a_tiny_sam.encode(image)[0].half().numpy())
    for path in a_store._folder.rglob("*.npy"):
        path.write_bytes(b"damaged")
    np.testing.assert_array_equal(some_slices.embedding(structure), found)
    assert a_store.encoded == 2


def test_encoding_can_be_stopped_and_goes_on(some_slices: PromptedSlices, a_store: EmbeddingStore) -> None:
    asked = iter([False, False, True])
    with pytest.raises(Cancelled):
        some_slices.encode(some_slices.structures, cancelled=lambda: next(asked))
    assert a_store.encoded == 2
    some_slices.encode(some_slices.structures)
    assert a_store.encoded == 8


def test_a_folder_that_cannot_be_made_is_said_in_words(a_tiny_sam: SamNetwork, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = EmbeddingStore(a_tiny_sam, "tiny", tmp_path / "file" / "embeddings")
    slices = PromptedSlices([a_case(1)], PREPROCESSING, store)
    with pytest.raises(OutputError, match="choose another"):
        slices.encode(slices.structures)


def test_a_full_disk_is_said_in_words(
    some_slices: PromptedSlices, a_store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch, pytest.raises(OutputError, match="the disk is full"):
        patch.setattr(Path, "write_bytes", full)
        some_slices.encode(some_slices.structures)
    assert not list(a_store._folder.rglob("*.npy"))
    some_slices.encode(some_slices.structures)
    assert len(list(a_store._folder.rglob("*.npy"))) == 8


def train(strategy: PromptDecoder, folder: Path, cancelled: Callable[[], bool] | None = None) -> Trainer:
    def write_model(network: nn.Module, path: Path, metrics: object) -> None:
        save_file(network.state_dict(), path)

    trainer = Trainer(strategy, RECIPE, folder, write_model)
    trainer.resume()
    trainer.run(cancelled=cancelled)
    return trainer


def test_only_the_decoder_changes(a_strategy: PromptDecoder, a_tiny_sam: SamNetwork, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in a_tiny_sam.state_dict().items()}
    trainer = train(a_strategy, tmp_path / "run")
    after = a_tiny_sam.state_dict()
    trained = {name for name, value in a_strategy.network.named_parameters() if value.requires_grad}
    assert all(torch.equal(before[name], after[name]) for name in before if name not in trained)
    changed = {name for name in trained if not torch.equal(before[name], after[name])}
    # the bias of the keys of an attention moves all its scores alike, so that nothing depends on it
    assert {name for name in trained - changed if "k_proj.bias" not in name} == set()
    assert {"loss", "mask", "dice", "iou_error"} <= set(trainer.log[-1])


def test_it_learns(a_strategy: PromptDecoder) -> None:
    optimizer = torch.optim.Adam(a_strategy.parameters_to_train(), lr=3e-3)
    losses = []
    for step in range(60):
        fields = zip(*(a_strategy.sample(4 * step + part) for part in range(4)), strict=True)
        found = a_strategy(*(torch.from_numpy(np.stack(field)) for field in fields))
        optimizer.zero_grad()
        found["loss"].backward()
        optimizer.step()
        losses.append(float(found["mask"]))
    assert np.mean(losses[-8:]) < 0.6 * np.mean(losses[:4])


def test_a_run_that_was_stopped_goes_on_bit_for_bit(
    some_slices: PromptedSlices, tmp_path: Path, a_tiny_sam: SamNetwork
) -> None:
    start = {name: value.clone() for name, value in a_tiny_sam.state_dict().items()}

    def fresh() -> PromptDecoder:
        a_tiny_sam.load_state_dict(start)
        return PromptDecoder(BoxDecoder(a_tiny_sam), PromptMaskObjective(iou=1.0), some_slices, jitter=2)

    train(fresh(), tmp_path / "whole")
    asked = iter([False] * 3 + [True] * 9)
    with pytest.raises(Cancelled, match="after 3 of 6"):
        train(fresh(), tmp_path / "stopped", lambda: next(asked))
    train(fresh(), tmp_path / "stopped")
    whole, resumed = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "stopped"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_the_checkpoint_holds_no_encoder(a_strategy: PromptDecoder) -> None:
    assert not [name for name in a_strategy.state_dict() if "image_encoder" in name]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"jitter": -1}, "strategy.jitter is -1"),
        ({"margin": "wide"}, "strategy.margin is 'wide'"),
        ({"smallest_area": 10_000}, "No structure has 10000 voxels"),
        ({"noise": 1}, "does not accept"),
    ],
)
def test_options_that_cannot_be_used_are_refused(
    options: dict[str, Any], sentence: str, a_tiny_sam: SamNetwork, some_slices: PromptedSlices
) -> None:
    with pytest.raises(InputError, match=sentence):
        build_strategy(
            {"name": "prompt_decoder", **options}, BoxDecoder(a_tiny_sam), PromptMaskObjective(), some_slices
        )


def test_cases_that_cannot_be_used_are_refused(a_store: EmbeddingStore) -> None:
    with pytest.raises(InputError, match="no labelled structure"):
        PromptedSlices([a_case(1, labels=False)], PREPROCESSING, a_store)
    two = a_case(1)
    two.image = np.concatenate([two.image, two.image])
    with pytest.raises(InputError, match="case 1 has 2 channels"):
        PromptedSlices([two], PREPROCESSING, a_store)
