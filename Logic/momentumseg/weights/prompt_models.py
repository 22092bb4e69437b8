"""Load a model for prompts: network, preprocessing and card that belong together.

SAM and MedSAM have the same tensors and need different preprocessing; the catalogue's cards say which is which, see
:func:`load_prompt_model`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from momentumseg.errors import InputError, WeightsError
from momentumseg.networks.sam.sam import SamNetwork, lite_medsam, mobile_sam, sam_vit_b
from momentumseg.transforms.prompt_preprocessing import PromptPreprocessing
from momentumseg.weights.cards import ModelCard
from momentumseg.weights.catalogue import CatalogueEntry
from momentumseg.weights.checksums import sha256_of
from momentumseg.weights.key_report import KeyReport
from momentumseg.weights.model_files import weights_path
from momentumseg.weights.prompt_decoders import FineTunedDecoder, read_prompt_decoder
from momentumseg.weights.sam_files import (
    LITE_MEDSAM,
    LVM_MED,
    MOBILE_SAM,
    SAM_DECODER,
    SAM_VIT_B,
    SamFile,
    fill_decoder,
    fill_encoder,
    fill_network,
    read_sam_file,
)
from momentumseg.weights.store import WeightsStore

PROMPTS = ("points", "negative points", "boxes", "mask", "multimask")
Precision = Literal["auto", "single", "half"]
_DEFAULT_SIZE = {SAM_VIT_B: 1024, LVM_MED: 1024, MOBILE_SAM: 1024, LITE_MEDSAM: 256}


@dataclass(frozen=True)
class LoadedPromptModel:
    """A model for prompts that is ready to run.

    Attributes:
        network: in evaluation mode on the device that was asked for; images, embeddings and logits are float32.
        preprocessing: what its images must look like.
        card: licence, training data, limits; ``card.extra["notice"]`` must be shown before use where there is one.
        sha256: identifies the weights in caches (of both files where two were given).
        capabilities: which of :data:`PROMPTS` it takes.
        experimental: those of them that it was not trained for.
        recipe: layout, image size, preprocessing and checksums as plain data.
        path: the file it came from.
        reports: what each file gave to the network.
    """

    network: SamNetwork
    preprocessing: PromptPreprocessing
    card: ModelCard
    sha256: str
    capabilities: frozenset[str]
    experimental: frozenset[str]
    recipe: dict[str, Any]
    path: Path
    reports: tuple[KeyReport, ...]

    @property
    def notice(self) -> str:
        """What must be shown before use; empty for most models."""
        return str(self.card.extra.get("notice", ""))

    @property
    def embedding_sha256(self) -> str:
        """Identifies weights and precision of the encoder: another decoder needs no new embeddings."""
        return f"{self.recipe['encoder_sha256']}-{self.recipe['precision']}"

    def require(self, prompt: str) -> None:
        """Refuse a kind of prompt that the model does not take.

        Raises:
            InputError: it does not; the sentence says what it takes.
        """
        if prompt not in self.capabilities:
            taken = ", ".join(name for name in PROMPTS if name in self.capabilities)
            raise InputError(f"The model {self.card.name} takes no {prompt}, only {taken}; choose another model.")


def load_prompt_model(
    reference: Path | str,
    *,
    device: torch.device | str = "cpu",
    store: WeightsStore | None = None,
    decoder: Path | str | None = None,
    family: str | None = None,
    image_size: int | None = None,
    precision: Precision = "auto",
) -> LoadedPromptModel:
    """Return the prompt model of a catalogue name, of a file of the SAM family, or of a decoder that we fine-tuned.

    A file that is none of the catalogue's is recognised by its tensors. Where two models share them (SAM and MedSAM)
    ``family`` decides, then the checksum, then the file's name, then SAM is assumed.

    Args:
        reference: a fine-tuned decoder is completed by its encoder, which must be on this computer.
        decoder: name or file whose prompt encoder and mask decoder are used. LVM-Med is only an image encoder and takes
            SAM ViT-B's by default. One that was fine-tuned on another encoder is refused.
        family: preprocessing of the card: 'sam', 'medsam', 'lite-medsam' or 'lvm-med'.
        image_size: pixels of the network's image; the published one by default, smaller is quicker and worse.
        precision: of the image encoder: 'single', 'half' (bfloat16, the decoder stays single), or 'auto': half on a CPU
            that computes with it, where it takes less than half the time and masks stay the same within 1 %.

    Raises:
        WeightsError: unknown name, missing, damaged or unsafe file, or tensors that do not fit.
        InputError: a family, image size or precision that does not exist.
    """
    store = store or WeightsStore()
    entry = _named_entry(reference, store)
    path = weights_path(reference, store)
    tuned = read_prompt_decoder(path) if path.is_file() else None
    if tuned is not None and decoder is None:
        return load_prompt_model(
            tuned.encoder.reference(path, store),
            device=device,
            store=store,
            decoder=path,
            family=family or tuned.encoder.preprocessing,
            image_size=image_size or tuned.encoder.image_size,
            precision=precision,
        )
    file = read_sam_file(path)
    sha256 = sha256_of(path)
    card = _card(file, sha256, entry, _candidates(file, store), family)
    network = _build(file.layout, image_size or _DEFAULT_SIZE.get(file.layout, 0), path)
    reports, decoder_sha256, tuned = _fill(network, file, sha256, decoder, store)
    if tuned is not None:
        card = replace(tuned.card, extra={**card.extra, **tuned.card.extra})
    network.to(device).eval().requires_grad_(False)
    encoder_dtype = encoder_precision(precision, device)
    network.image_encoder.to(encoder_dtype)
    recipe = {
        "layout": file.layout,
        "image_size": network.image_size,
        "preprocessing": card.extra["preprocessing"],
        "precision": str(encoder_dtype).removeprefix("torch."),
        "encoder_sha256": sha256,
        "decoder_sha256": decoder_sha256 or sha256,
    }
    both = hashlib.sha256(f"{sha256}{decoder_sha256}".encode()).hexdigest()
    return LoadedPromptModel(
        network=network,
        preprocessing=PromptPreprocessing.of(recipe["preprocessing"], network.image_size, network.mask_size),
        card=card,
        sha256=both if decoder_sha256 else sha256,
        capabilities=_prompts(card, "prompts"),
        experimental=_prompts(card, "experimental"),
        recipe=recipe,
        path=path,
        reports=reports,
    )


def prompt_entries(store: WeightsStore | None = None) -> Mapping[str, CatalogueEntry]:
    """Return the catalogue's models for prompts by name."""
    catalogue = (store or WeightsStore()).catalogue
    return {name: entry for name, entry in catalogue.items() if entry.kind == "sam"}


def encoder_precision(precision: Precision, device: torch.device | str) -> torch.dtype:
    """Return the type that an encoder computes in.

    Raises:
        InputError: an unknown precision.
    """
    if precision not in get_args(Precision):
        raise InputError(f"There is no precision {precision!r}; choose one of {', '.join(get_args(Precision))}.")
    is_half = precision == "half" or (
        precision == "auto" and torch.device(device).type == "cpu" and _cpu_has_bfloat16()
    )
    return torch.bfloat16 if is_half else torch.float32


def _cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies in bfloat16 (torch asks it in private functions only, which it may drop)."""
    questions = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name, bool)()) for name in questions)


def _named_entry(reference: Path | str, store: WeightsStore) -> CatalogueEntry | None:
    entry = store.catalogue.get(str(reference)) if isinstance(reference, str) else None
    if entry is not None and entry.kind != "sam":
        names = ", ".join(prompt_entries(store))
        raise WeightsError(f"The model {entry.name} is a {entry.kind} model and takes no prompts; choose {names}.")
    return entry


def _candidates(file: SamFile, store: WeightsStore) -> Sequence[CatalogueEntry]:
    return [entry for entry in prompt_entries(store).values() if entry.card.extra.get("layout") == file.layout]


def _build(layout: str, image_size: int, path: Path) -> SamNetwork:
    if layout == SAM_VIT_B:
        return sam_vit_b(image_size)
    if layout == LVM_MED:
        return sam_vit_b(image_size, absolute_positions=False)
    if layout == MOBILE_SAM:
        return mobile_sam(image_size)
    if layout == LITE_MEDSAM:
        return lite_medsam(image_size)
    raise WeightsError(
        f"The file {path.name} holds only a prompt encoder and a mask decoder; give it as the decoder of a model."
    )


def _fill(
    network: SamNetwork, file: SamFile, sha256: str, decoder: Path | str | None, store: WeightsStore
) -> tuple[tuple[KeyReport, ...], str, FineTunedDecoder | None]:
    """Fill the network and return the reports, and of a decoder in another file its checksum and what it says."""
    is_encoder = file.layout == LVM_MED
    report = fill_encoder(network, file) if is_encoder else fill_network(network, file)
    if decoder is None and not is_encoder:
        return (report,), "", None
    path = _decoder_path(decoder, store)
    tuned = read_prompt_decoder(path) if path.is_file() else None
    if tuned is not None:
        tuned.encoder.check(path, file.path, sha256)
    second = read_sam_file(path)
    if second.layout not in (SAM_VIT_B, SAM_DECODER, MOBILE_SAM, LITE_MEDSAM):
        raise WeightsError(f"The file {path.name} has no prompt encoder and mask decoder; give the file of SAM ViT-B.")
    return (report, fill_decoder(network, second)), sha256_of(path), tuned


def _decoder_path(decoder: Path | str | None, store: WeightsStore) -> Path:
    if decoder is not None:
        return weights_path(decoder, store)
    try:
        return store.path_of(SAM_VIT_B, download=False)
    except WeightsError as error:
        raise WeightsError(
            f"LVM-Med is only an image encoder and needs the prompt encoder and mask decoder of SAM ViT-B: {error}"
        ) from error


def _card(
    file: SamFile, sha256: str, entry: CatalogueEntry | None, candidates: Sequence[CatalogueEntry], family: str | None
) -> ModelCard:
    """The catalogue's card of this very file, or a card of its own with the facts that its kind has."""
    if file.layout == SAM_DECODER:
        return ModelCard(file.path.stem)  # never used: such a file is refused with its own sentence
    if entry is not None and entry not in candidates:
        raise WeightsError(
            f"The file {file.path.name} is not {entry.name} but of the kind {file.layout}; get it again from "
            f"{entry.source.place()}."
        )
    kind = entry or _kind_of(file, sha256, candidates, family)
    if entry is not None or _is_file_of(kind, file.path, sha256):
        return kind.card
    return replace(
        kind.card,
        name=file.path.stem,
        description=f"The file {file.path.name}, of the kind {kind.title}.",
        licence=kind.licence if kind.card.extra.get("notice") else "",
        training_data="",
        metrics={},
    )


def _kind_of(file: SamFile, sha256: str, candidates: Sequence[CatalogueEntry], family: str | None) -> CatalogueEntry:
    if family is not None:
        chosen = [entry for entry in candidates if entry.card.extra["preprocessing"] == family]
        if not chosen:
            families = ", ".join(str(entry.card.extra["preprocessing"]) for entry in candidates)
            raise InputError(f"The file {file.path.name} cannot be used as '{family}'; choose {families}.")
        return chosen[0]
    same = [entry for entry in candidates if _is_file_of(entry, file.path, sha256)]
    named = [entry for entry in candidates if str(entry.card.extra["preprocessing"]) in file.path.name.lower()]
    longest = sorted(named, key=lambda entry: len(str(entry.card.extra["preprocessing"])), reverse=True)
    return (same or longest or list(candidates))[0]


def _is_file_of(entry: CatalogueEntry, path: Path, sha256: str) -> bool:
    """By checksum where the publisher made one known, else by the file's name."""
    return sha256.startswith(entry.sha256) if entry.sha256 else path.name == entry.file


def _prompts(card: ModelCard, key: str) -> frozenset[str]:
    return frozenset(str(name) for name in card.extra.get(key, ()))
