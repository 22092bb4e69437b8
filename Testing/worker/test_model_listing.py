"""What a panel is told about a fine-tuned decoder: a model for prompts of its own, if its encoder is here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from momentumseg.networks.sam.box_decoder import BoxDecoder
from momentumseg.networks.sam.sam import SamNetwork
from momentumseg.weights.catalogue import load_catalogue
from momentumseg.weights.prompt_decoders import EncoderIdentity, save_prompt_decoder
from momentumseg.weights.store import WeightsStore
from momentumseg.worker.model_methods import _described


def test_a_fine_tuned_decoder_is_listed_with_what_it_lacks(tmp_path: Path, a_tiny_sam: SamNetwork) -> None:
    entries = {name: replace(entry, size_bytes=0, sha256="") for name, entry in load_catalogue().items()}
    store = WeightsStore(tmp_path, entries)
    card = {"name": "Heart, boxes", "licence": "CC BY-NC-SA 4.0; encoder LiteMedSAM: Apache-2.0"}
    identity = EncoderIdentity("lite-medsam", "0" * 64, "lite-medsam", 256)
    save_prompt_decoder(BoxDecoder(a_tiny_sam), tmp_path / "heart.safetensors", encoder=identity, recipe={}, card=card)
    told = {model["name"]: model for model in (_described(stored, store) for stored in store.list())}["heart"]
    assert (told["kind"], told["title"], told["state"]) == ("sam", "Heart, boxes", "missing")
    assert "lite-medsam" in told["how_to_get"] and "not for commercial use" in told["notice"]
    (tmp_path / "lite_medsam.pth").write_bytes(b"there")
    told = {model["name"]: model for model in (_described(stored, store) for stored in store.list())}["heart"]
    assert (told["state"], told["how_to_get"]) == ("ready", "")
