"""A trained model with a card of the user, in the weights folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from momentumseg.errors import WeightsError
from momentumseg.weights.model_files import AUTOMATIC, model_inside, write_model_file
from momentumseg.weights.reading import read_tensors
from momentumseg.weights.saved_models import keep_model
from momentumseg.weights.store import WeightsStore


@pytest.fixture
def a_model(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "model.safetensors"
    path.parent.mkdir()
    torch.manual_seed(0)
    card = {"name": "from the trainer", "licence": "unknown", "metrics": {"Dice": 0.8}, "extra": {"seed": 3}}
    write_model_file(nn.Conv2d(2, 3, 3), path, AUTOMATIC, table={"name": "x"}, recipe={"title": "r"}, card=card)
    return path


@pytest.fixture
def a_store(tmp_path: Path) -> WeightsStore:
    return WeightsStore(tmp_path / "weights", catalogue={})


def test_the_copy_has_the_same_tensors_and_a_new_card(a_model: Path, a_store: WeightsStore) -> None:
    path = keep_model(
        a_model, "mine", {"name": "Mein Modell", "licence": "CC BY 4.0", "training_data": ""}, "run", a_store
    )
    assert path.parent == a_store.folder and path.stem == "mine"
    kind, card = model_inside(path) or ("", None)
    assert kind == AUTOMATIC and card is not None
    assert (card.name, card.licence, card.metrics) == ("Mein Modell", "CC BY 4.0", {"Dice": 0.8})
    assert card.extra == {"seed": 3, "run": "run"}
    before, after = read_tensors(a_model), read_tensors(path)
    assert set(before) == set(after) and all(torch.equal(before[name], after[name]) for name in before)
    assert (model_inside(a_model) or ("", None))[1].name == "from the trainer", "the run's own file stays"


def test_a_name_of_another_model_is_refused_and_that_model_stays(a_model: Path, a_store: WeightsStore) -> None:
    path = keep_model(a_model, "mine", {"name": "first"}, "run A", a_store)
    content = path.read_bytes()
    with pytest.raises(WeightsError, match="There is a model called mine already; choose another title"):
        keep_model(a_model, "mine", {"name": "second"}, "run B", a_store)
    assert path.read_bytes() == content
    keep_model(a_model, "mine", {"name": "third"}, "run A", a_store)
    assert (model_inside(path) or ("", None))[1].name == "third"


def test_what_is_no_model_is_refused(tmp_path: Path, a_model: Path, a_store: WeightsStore) -> None:
    with pytest.raises(WeightsError, match="finish the training first"):
        keep_model(tmp_path / "none.safetensors", "mine", {}, "run", a_store)
    with pytest.raises(WeightsError, match="cannot be used; use letters"):
        keep_model(a_model, "../mine", {}, "run", a_store)
    foreign = tmp_path / "foreign.safetensors"
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, foreign)
    with pytest.raises(WeightsError, match="was not written by MomentumSeg's trainer"):
        keep_model(foreign, "mine", {}, "run", a_store)
    assert not a_store.folder.exists() or not list(a_store.folder.iterdir())
