"""What a network can begin with instead of random weights: a pretrained encoder, or a model of our own trainer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from momentumseg.errors import InputError, WeightsError
from momentumseg.networks.segmentation import SegmentationNetwork
from momentumseg.weights.catalogue import CatalogueEntry
from momentumseg.weights.key_report import KeyReport, select_tensors
from momentumseg.weights.layouts import copy_tensors
from momentumseg.weights.loading import load_backbone_weights
from momentumseg.weights.model_files import AUTOMATIC, read_description, table_of, weights_path
from momentumseg.weights.reading import read_tensors
from momentumseg.weights.store import WeightsStore

_RESNET_50 = ("resnet50-imagenet", "lvm-med-resnet50")
_HEADS = ("head.", "segmentation_head.")
_CHANNELS = 3  # of the images that published encoders have seen


@dataclass(frozen=True)
class Starts:
    """Pretrained starts of a network.

    Attributes:
        encoder: which published encoder the network has; empty where none exists.
        names: of the catalogue.
        sentence: for the user.
    """

    encoder: str
    names: tuple[str, ...]
    sentence: str


_ENCODERS = {
    "unet_resnet50": ("ResNet-50", _RESNET_50),
    "transnetr": ("ResNet-50", _RESNET_50),
    "pvtformer": ("PVT v2 B3", ("pvt-v2-b3-imagenet",)),
}


def starts_of(network_name: str) -> Starts:
    """What a network of the registry can begin with."""
    encoder, names = _ENCODERS.get(network_name, ("", ()))
    if not encoder:
        return Starts("", (), f"There is no pretrained start for {network_name}: it begins with random weights.")
    choice = " or ".join(f"weights.encoder={name}" for name in names)
    return Starts(encoder, names, f"The encoder of {network_name} can begin as a published {encoder}: {choice}.")


def load_start(
    network: SegmentationNetwork,
    table: Mapping[str, Any],
    init: str | Path | None = None,
    store: WeightsStore | None = None,
) -> list[str]:
    """Put into a network what it begins with, in place; nothing if neither table nor ``init`` names anything.

    Args:
        table: the recipe's [weights]: ``encoder`` is a catalogue name or a file, or empty.
        init: a model of our trainer; with it the encoder's file is not needed.
        store: of catalogue names.

    Returns:
        Sentences for the user: what was taken from where, and a notice that must be shown.

    Raises:
        InputError: an unknown entry of the table, or an encoder for a network that has none.
        WeightsError: missing, unsafe or damaged file, or one that does not fit; the network is unchanged.
    """
    unknown = sorted(set(table) - {"encoder"})
    if unknown:
        raise InputError(f"The recipe's [weights] table has the unknown option {unknown[0]!r}; it knows encoder.")
    reference = table.get("encoder", "")
    if not isinstance(reference, str):
        raise InputError(f"The recipe's weights.encoder is {reference!r}; give the name or the file of an encoder.")
    if init is not None:
        return load_model_start(network, init, store)[1]
    return load_encoder_start(network, reference, store)[1] if reference else []


def load_encoder_start(
    network: SegmentationNetwork, reference: str | Path, store: WeightsStore | None = None
) -> tuple[KeyReport, list[str]]:
    """Put a published file into the encoder of a network, see :func:`load_start`.

    The file may wrap its tensors (``state_dict``, ``model``), put a prefix before their names (``module.``,
    ``backbone.``, ``encoder.``) and hold more (``fc.*``, stages that the network leaves out).
    """
    name = _name(network)
    starts = starts_of(name)
    if not starts.encoder:
        raise InputError(f"{starts.sentence} Remove weights.encoder from the recipe.")
    if network.in_channels != _CHANNELS:
        raise InputError(
            f"A pretrained {starts.encoder} takes images of {_CHANNELS} channels, not {network.in_channels}; remove "
            "weights.encoder from the recipe, which begins with random weights then."
        )
    path = weights_path(reference, store)
    report = load_backbone_weights(cast(nn.Module, network.encoder), path)
    sentences = [f"The encoder begins as {path.name}: {len(report.matched)} tensors; the rest of it is random."]
    if float(network.config.get("momentum", 0.0)) > 0:
        sentences.append("With momentum these weights are a start that needs fine-tuning: the features move otherwise.")
    return report, [*sentences, *_notice(path, store)]


def load_model_start(
    network: SegmentationNetwork, reference: str | Path, store: WeightsStore | None = None
) -> tuple[KeyReport, list[str]]:
    """Put a model of our trainer into a network of the same build, see :func:`load_start`.

    The last layer begins anew where the model has another number of classes; everything else must fit.
    """
    path = weights_path(reference, store)
    description = read_description(path, AUTOMATIC)
    of_file = table_of(description, "network", path)
    state = network.state_dict(keep_vars=True)
    chosen, report = select_tensors(read_tensors(path), state, path.name)
    new = [key for key in report.wrong_shape if key.startswith(_HEADS)]
    has_other_classes = of_file.get("classes") != network.classes
    if report.missing or report.unexpected or len(new) < len(report.wrong_shape) or (new and not has_other_classes):
        raise WeightsError(
            f"The model {path.name} is a {of_file.get('name')!r} and does not fit this {_name(network)!r}: "
            f"{len(report.matched)} of {len(state)} tensors match, {len(report.missing)} are missing, "
            f"{len(report.wrong_shape)} have another shape, {len(report.unexpected)} are too many; choose the recipe "
            "that made it, or another model."
        )
    with torch.no_grad():
        copy_tensors(chosen, state)
    sentences = [f"The network begins as {path.name}."]
    if new:
        sentences.append(
            f"Its last layer is new: the model has {of_file.get('classes')} classes with the background, these data "
            f"{network.classes}."
        )
    notice = table_of(description, "card", path).get("extra", {}).get("notice")
    return report, [*sentences, *([str(notice)] if notice else [])]


def notice_of(table: Mapping[str, Any], init: str | Path | None = None, store: WeightsStore | None = None) -> str:
    """What the card of a model that began so must say, such as that it is not for commercial use; mostly nothing.

    Args:
        table, init, store: see :func:`load_start`; files need not be there any more.
    """
    if init is not None:
        try:
            card = table_of(read_description(weights_path(init, store), AUTOMATIC), "card", Path(init))
        except WeightsError:
            return ""
        return str(card.get("extra", {}).get("notice", ""))
    reference = str(table.get("encoder", ""))
    entry = (store or WeightsStore()).catalogue.get(reference)
    return " ".join(_notice(Path(entry.file if entry is not None else reference), store)) if reference else ""


def _notice(path: Path, store: WeightsStore | None) -> list[str]:
    """What must be shown before a file of the catalogue is used, whatever folder it lies in."""
    entries: Mapping[str, CatalogueEntry] = (store or WeightsStore()).catalogue
    known = [entry for entry in entries.values() if Path(entry.file).stem == path.stem]
    return [str(entry.card.extra["notice"]) for entry in known if entry.card.extra.get("notice")]


def _name(network: SegmentationNetwork) -> str:
    return str(network.config.get("name", type(network).__name__))
