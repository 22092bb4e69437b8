"""Fine-tuned decoders: saved with the identity of their encoder, loaded with it, refused for another one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from momentumseg.errors import WeightsError
from momentumseg.networks.sam.box_decoder import BoxDecoder
from momentumseg.networks.sam.sam import lite_medsam, sam_vit_b
from momentumseg.weights import prompt_models
from momentumseg.weights.cards import ModelCard
from momentumseg.weights.catalogue import load_catalogue
from momentumseg.weights.checksums import sha256_of
from momentumseg.weights.loading import load_few_shot_model
from momentumseg.weights.prompt_decoders import (
    EncoderIdentity,
    missing_encoder,
    read_prompt_decoder,
    save_prompt_decoder,
)
from momentumseg.weights.prompt_models import LoadedPromptModel, load_prompt_model
from momentumseg.weights.store import WeightsStore

FILE = "lite_medsam.pth"


@pytest.fixture(scope="module")
def lite() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {name: value.clone() for name, value in lite_medsam(64).state_dict().items()}


@pytest.fixture
def store(tmp_path: Path, lite: dict[str, torch.Tensor]) -> WeightsStore:
    """A store with LiteMedSAM in it; sizes and checksums of the catalogue are left open for the files made here."""
    entries = {name: replace(entry, size_bytes=0, sha256="") for name, entry in load_catalogue().items()}
    (tmp_path / "store").mkdir()
    torch.save(lite, tmp_path / "store" / FILE)
    return WeightsStore(tmp_path / "store", entries)


@pytest.fixture
def tune(store: WeightsStore) -> Callable[..., Path]:
    """Writes a decoder whose mask tokens were moved."""

    def write(name: str = "mine.safetensors", encoder: str = "lite-medsam", folder: Path | None = None) -> Path:
        model = small("lite-medsam", store)
        decoder = BoxDecoder(model.network)
        with torch.no_grad():
            decoder.mask_decoder.mask_tokens.weight += 1
        identity = EncoderIdentity(encoder, model.recipe["encoder_sha256"], "lite-medsam", 64)
        card = ModelCard("mine", licence="CC BY 4.0", extra={"prompts": ["boxes"], "experimental": []})
        path = (folder or store.folder) / name
        save_prompt_decoder(decoder, path, encoder=identity, recipe={"title": "t"}, card=card)
        return path

    return write


def small(reference: Path | str, store: WeightsStore, **options: object) -> LoadedPromptModel:
    return load_prompt_model(reference, store=store, image_size=64, precision="single", **options)


def test_it_holds_the_decoder_and_nothing_of_the_encoder(tune: Callable[..., Path], store: WeightsStore) -> None:
    path = tune()
    model = small("lite-medsam", store)
    tuned = small("lite-medsam", store, decoder=path)
    assert path.stat().st_size < 18e6
    before, after = model.network.state_dict(), tuned.network.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"mask_decoder.mask_tokens.weight"}  # bit for bit: nothing was rounded to half precision
    assert tuned.embedding_sha256 == model.embedding_sha256 and tuned.sha256 != model.sha256
    assert not any(value.requires_grad for value in tuned.network.parameters())


def test_it_says_what_it_is(tune: Callable[..., Path], store: WeightsStore) -> None:
    path = tune()
    told = read_prompt_decoder(path)
    assert told is not None
    assert (told.encoder.name, told.encoder.sha256) == ("lite-medsam", sha256_of(store.folder / FILE))
    assert (told.card.licence, told.recipe) == ("CC BY 4.0", {"title": "t"})
    assert read_prompt_decoder(store.folder / FILE) is None


@pytest.mark.parametrize("by_name", [True, False])
def test_alone_it_is_a_model_with_its_own_card(tune: Callable[..., Path], store: WeightsStore, by_name: bool) -> None:
    path = tune()
    model = load_prompt_model("mine" if by_name else path, store=store, precision="single")
    assert (model.card.name, model.card.licence) == ("mine", "CC BY 4.0")
    assert model.network.image_size == 64 and model.preprocessing.kind == "lite-medsam"
    assert model.capabilities == {"boxes"}
    expected = small("lite-medsam", store, decoder=path)
    assert model.sha256 == expected.sha256


def test_for_another_encoder_it_is_refused(
    tune: Callable[..., Path], store: WeightsStore, lite: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tune()
    other = tmp_path / "other.pth"
    torch.save({name: value + 1 for name, value in lite.items()}, other)
    for reference in (other, "other"):
        if reference == "other":
            torch.save(torch.load(other), store.folder / "other.pth")
        with pytest.raises(WeightsError, match=r"mine\.safetensors was fine-tuned on the encoder lite-medsam") as told:
            small(reference, store, decoder=path)
        assert "\n" not in str(told.value) and "other.pth" in str(told.value)


def test_another_file_under_the_encoders_name_is_refused(
    tune: Callable[..., Path], store: WeightsStore, lite: dict[str, torch.Tensor]
) -> None:
    path = tune()
    torch.save({name: value + 1 for name, value in lite.items()}, store.folder / FILE)
    with pytest.raises(WeightsError, match="fine-tuned on the encoder lite-medsam"):
        load_prompt_model(path, store=store)


def test_without_its_encoder_it_says_what_to_get(
    tune: Callable[..., Path], store: WeightsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tune()
    assert missing_encoder(path, store) == ""
    (store.folder / FILE).unlink()
    monkeypatch.setattr("momentumseg.weights.store.fetch", lambda *_: pytest.fail("fetched"))
    with pytest.raises(WeightsError, match=r"needs the encoder.*lite-medsam.*models download lite-medsam") as told:
        load_prompt_model("mine", store=store)
    assert missing_encoder(path, store) == str(told.value)


def test_encoder_of_ones_own_is_found_beside_it_or_in_the_store(
    tune: Callable[..., Path], store: WeightsStore, tmp_path: Path
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    path = tune(encoder="hospital.pth", folder=folder)
    with pytest.raises(WeightsError, match=r"import the file hospital\.pth"):
        load_prompt_model(path, store=store)
    (folder / "hospital.pth").write_bytes((store.folder / FILE).read_bytes())
    assert load_prompt_model(path, store=store).card.name == "mine"
    (folder / "hospital.pth").rename(store.folder / "hospital.pth")
    assert load_prompt_model(path, store=store).card.name == "mine"


def test_on_lvm_med_it_needs_no_file_of_sam_and_keeps_the_notice(
    store: WeightsStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = {"depth": 1, "global_blocks": (), "trained_size": 64}
    monkeypatch.setattr(prompt_models, "sam_vit_b", functools.partial(sam_vit_b, **short))
    encoder = sam_vit_b(64, absolute_positions=False, **short).image_encoder
    torch.save(encoder.state_dict(), store.folder / "lvmmed_vit.pth")
    torch.save(sam_vit_b(64, **short).state_dict(), tmp_path / "sam.pth")
    model = small("lvm-med-vit", store, decoder=tmp_path / "sam.pth")
    identity = EncoderIdentity("lvm-med-vit", model.recipe["encoder_sha256"], "lvm-med", 64)
    card = ModelCard("tuned", licence="mine")
    path = store.folder / "tuned.safetensors"
    save_prompt_decoder(BoxDecoder(model.network), path, encoder=identity, recipe={}, card=card)
    tuned = load_prompt_model("tuned", store=store, precision="single")
    assert tuned.preprocessing.kind == "lvm-med" and "non-commercial" in tuned.notice
    same = zip(model.network.state_dict().values(), tuned.network.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in same)


def test_it_is_no_few_shot_model(tune: Callable[..., Path], store: WeightsStore) -> None:
    with pytest.raises(WeightsError, match="fine-tuned decoder for prompts"):
        load_few_shot_model(tune(), store=store)


def test_a_decoder_is_no_encoder(tune: Callable[..., Path], store: WeightsStore) -> None:
    path = tune()
    with pytest.raises(WeightsError, match="only a prompt encoder and a mask decoder"):
        small(path, store, decoder=path)
