"""Fine-tuned decoders of prompted networks: a small file that says which encoder it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from momentumseg.errors import WeightsError
from momentumseg.weights.cards import ModelCard
from momentumseg.weights.model_files import (
    PROMPTED,
    model_inside,
    read_description,
    table_of,
    write_model_file,
)
from momentumseg.weights.store import WeightsStore

_SHOWN_DIGITS = 12


@dataclass(frozen=True)
class EncoderIdentity:
    """The frozen encoder that a decoder was fine-tuned on.

    Attributes:
        name: in the catalogue, or of a file that its user has.
        sha256: of its file.
        preprocessing: of its images, see :mod:`momentumseg.transforms.prompt_preprocessing`.
        image_size: pixels of its images.
    """

    name: str
    sha256: str
    preprocessing: str
    image_size: int

    def reference(self, decoder: Path, store: WeightsStore) -> Path:
        """The encoder's file: of the store, or beside the decoder; nothing is downloaded.

        Raises:
            WeightsError: it is not on this computer; the sentence says which file it is.
        """
        beside = decoder.parent / self.name
        if beside.is_file():
            return beside
        is_known = self.name in store.catalogue
        try:
            return store.path_of(self.name if is_known else Path(self.name).stem, download=False)
        except WeightsError as error:
            told = str(error) if is_known else f"import the file {self.name} (momentumseg models import)."
            raise WeightsError(
                f"The decoder {decoder.name} needs the encoder that it was fine-tuned on, {self.name} (sha256 "
                f"{self.sha256[:_SHOWN_DIGITS]}): {told}"
            ) from error

    def check(self, decoder: Path, encoder: Path, sha256: str) -> None:
        """Refuse another encoder than the one that the decoder was fine-tuned on.

        Raises:
            WeightsError: another checksum.
        """
        if sha256 != self.sha256:
            raise WeightsError(
                f"The decoder {decoder.name} was fine-tuned on the encoder {self.name} (sha256 "
                f"{self.sha256[:_SHOWN_DIGITS]}) and does not belong to {encoder.name} "
                f"({sha256[:_SHOWN_DIGITS]}): choose the model {self.name}."
            )


@dataclass(frozen=True)
class FineTunedDecoder:
    """What the file of a fine-tuned decoder says of itself."""

    path: Path
    encoder: EncoderIdentity
    card: ModelCard
    recipe: dict[str, Any]


def save_prompt_decoder(
    decoder: nn.Module,
    path: Path | str,
    *,
    encoder: EncoderIdentity,
    recipe: Mapping[str, Any],
    card: ModelCard | Mapping[str, Any],
) -> None:
    """Write prompt encoder and mask decoder, in single precision, with the identity of their encoder.

    Args:
        decoder: tensors below ``prompt_encoder.`` and ``mask_decoder.`` and nothing else.

    Raises:
        OutputError: the file cannot be written.
    """
    write_model_file(decoder, path, PROMPTED, table=vars(encoder), recipe=recipe, card=card, half=False)


def read_prompt_decoder(path: Path) -> FineTunedDecoder | None:
    """What a file that :func:`save_prompt_decoder` wrote says of itself; None for every other file.

    Raises:
        WeightsError: such a file of another version.
    """
    inside = model_inside(path)
    if inside is None or inside[0] != PROMPTED:
        return None
    description = read_description(path, PROMPTED)
    try:
        encoder = EncoderIdentity(**table_of(description, "network", path))
    except TypeError as error:
        raise WeightsError(
            f"The decoder {path.name} does not say which encoder it belongs to ({error}); get the file again."
        ) from error
    return FineTunedDecoder(path, encoder, inside[1], table_of(description, "recipe", path))


def missing_encoder(path: Path, store: WeightsStore) -> str:
    """The sentence about the encoder that a fine-tuned decoder needs and that is not here; else empty."""
    decoder = read_prompt_decoder(path)
    if decoder is None:
        return ""
    try:
        decoder.encoder.reference(path, store)
    except WeightsError as error:
        return str(error)
    return ""
