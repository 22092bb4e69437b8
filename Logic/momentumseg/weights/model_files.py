"""The files of our own trainer: tensors in safetensors, and beside them what the network is and how it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from momentumseg.errors import OutputError, WeightsError
from momentumseg.io.atomic import atomic_path
from momentumseg.weights.cards import ModelCard
from momentumseg.weights.key_report import select_tensors
from momentumseg.weights.layouts import copy_tensors
from momentumseg.weights.reading import parse_json, read_metadata, read_tensors
from momentumseg.weights.store import WEIGHTS_SUFFIXES, WeightsStore

METADATA_KEY = "momentumseg"
FORMAT = 1
FEW_SHOT, AUTOMATIC, PROMPTED = "few-shot", "automatic", "sam"  # as the catalogue names them
_LARGEST_HALF = 65504.0
_HOW_TO_USE = {
    FEW_SHOT: "a few-shot model, which needs a drawn slice: use it with the method 'Few-shot' or 'momentumseg fewshot'",
    AUTOMATIC: "an automatic model, which needs nothing drawn: use it with the method 'Automatic' or 'momentumseg "
    "automatic'",
    PROMPTED: "a fine-tuned decoder for prompts: use it with the method 'Prompts' or 'momentumseg prompt --model'",
}


def write_model_file(
    network: nn.Module,
    path: Path | str,
    kind: str,
    *,
    table: Mapping[str, Any],
    recipe: Mapping[str, Any],
    card: ModelCard | Mapping[str, Any],
    half: bool = True,
    **tables: Mapping[str, Any],
) -> None:
    """Write a network with its description to one safetensors file, atomically.

    Weight matrices and filters are stored in half precision; vectors (biases, normalisation, statistics) stay
    in single precision: they are few, and running variances leave the range of half precision.

    Args:
        kind: :data:`FEW_SHOT`, :data:`AUTOMATIC` or :data:`PROMPTED`.
        table: that builds the network, or says what it belongs to.
        half: False keeps everything in single precision.
        tables: further ones that the kind needs, by name.

    Raises:
        OutputError: the file cannot be written.
    """
    card = card if isinstance(card, ModelCard) else ModelCard.from_mapping(card)
    description = {
        "format": FORMAT,
        "kind": kind,
        "network": dict(table),
        "recipe": dict(recipe),
        "card": card.to_mapping(),
        **{name: dict(further) for name, further in tables.items()},
    }
    tensors = {name: _compact(value, half) for name, value in network.state_dict().items()}
    try:
        with atomic_path(Path(path)) as temporary:
            save_file(tensors, temporary, metadata={METADATA_KEY: json.dumps(description)})
            temporary.chmod(0o644)  # the library writes files that only their owner can read
    except (OSError, SafetensorError) as error:
        raise OutputError(f"The model could not be written to {path} ({error}); choose another folder.") from error


def read_description(path: Path, kind: str) -> dict[str, Any]:
    """What a file of this kind says of itself.

    Raises:
        WeightsError: missing, damaged or foreign file, or one of the other kind; the sentence says what it is for.
    """
    metadata = read_metadata(path)
    if METADATA_KEY not in metadata:
        raise WeightsError(
            f"The file {path.name} was not written by MomentumSeg's trainer (it carries no recipe); choose a model "
            "from 'momentumseg models list' or one that 'momentumseg train' wrote."
        )
    description = parse_json(metadata[METADATA_KEY], path)
    if description.get("format") != FORMAT:
        raise WeightsError(
            f"The file {path.name} has format {description.get('format')!r}, this version reads format {FORMAT}; "
            "update MomentumSeg."
        )
    found = kind_of(description)
    if found != kind:
        raise _other_kind(path, found)
    return description


def refuse_own_models(path: Path) -> None:
    """Refuse, in a loader of published weights, what is a model of ours already.

    Raises:
        WeightsError: it is a few-shot or an automatic model; the sentence says what it is for.
    """
    inside = model_inside(path)
    if inside is not None and inside[0] in (FEW_SHOT, AUTOMATIC):
        raise _other_kind(path, inside[0])


def kind_of(description: Mapping[str, Any]) -> str:
    """Kind of the model that a description is of; the first files said nothing of it and are few-shot models."""
    return str(description.get("kind", FEW_SHOT))


def model_inside(path: Path) -> tuple[str, ModelCard] | None:
    """Kind and card of a file that our trainer wrote; None for every other file, damaged ones included."""
    try:
        metadata = read_metadata(path)
        if METADATA_KEY not in metadata:
            return None
        description = parse_json(metadata[METADATA_KEY], path)
        return kind_of(description), ModelCard.from_mapping(table_of(description, "card", path))
    except WeightsError:
        return None


def table_of(description: Mapping[str, Any], key: str, path: Path) -> dict[str, Any]:
    """A table of a description.

    Raises:
        WeightsError: it is not there.
    """
    value = description.get(key)
    if not isinstance(value, dict):
        raise WeightsError(f"The description inside {path.name} has no table '{key}'; get the file again.")
    return value


def fill_network(network: nn.Module, path: Path, name: str) -> None:
    """Put a file's tensors into a network.

    Raises:
        WeightsError: damaged file, or tensors that are not exactly the network's; it is unchanged then.
    """
    state = network.state_dict(keep_vars=True)
    chosen, report = select_tensors(read_tensors(path), state, path.name)
    report.require_exact(name)
    copy_tensors(chosen, state)


def weights_path(reference: Path | str, store: WeightsStore | None = None) -> Path:
    """Return the file of a catalogue name, a name of the store or a path.

    A path wins over a name when such a file exists or the text looks like a path.

    Raises:
        WeightsError: unknown name, or weights that are not on this computer and may not be fetched.
    """
    path = Path(reference).expanduser()
    if isinstance(reference, Path) or path.suffix in WEIGHTS_SUFFIXES or path.is_file() or len(path.parts) > 1:
        return path
    return (store or WeightsStore()).path_of(str(reference))


def _other_kind(path: Path, kind: str) -> WeightsError:
    return WeightsError(f"The file {path.name} is {_HOW_TO_USE.get(kind, f'a model of the kind {kind!r}')}.")


def _compact(value: Tensor, half: bool) -> Tensor:
    value = value.detach().cpu().contiguous()
    is_matrix = half and value.ndim >= 2 and value.is_floating_point() and value.numel() > 0
    if not is_matrix or value.abs().max() > _LARGEST_HALF:
        return value.clone()  # safetensors refuses tensors that share memory
    return value.half()
