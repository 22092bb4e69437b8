"""Recognise weights files of the SAM family by their tensors, and put them into a network.

Every publisher wraps and prefixes differently (``{"model": ...}``, ``module.``, ``image_encoder.``); names and shapes
below the prefix tell what a file is, its own name does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from momentumseg.errors import WeightsError
from momentumseg.networks.sam.sam import SamNetwork
from momentumseg.weights.key_report import KeyReport, select_tensors
from momentumseg.weights.layouts import copy_tensors
from momentumseg.weights.model_files import refuse_own_models
from momentumseg.weights.reading import read_tensors

# Layouts that can be run.
SAM_VIT_B = "sam-vit-b"  # SAM and MedSAM
MOBILE_SAM = "mobile-sam"
LITE_MEDSAM = "lite-medsam"
LVM_MED = "lvm-med"  # an encoder only
SAM_DECODER = "sam-decoder"  # prompt encoder and mask decoder only

_DECODER_MARK = "mask_decoder.iou_token.weight"
_VIT_MARK = "patch_embed.proj.weight"
_TINY_MARK = "patch_embed.seq.0.c.weight"
_RELATIVE_MARK = "blocks.0.attn.rel_pos_h"
_VIT_NAMES = {768: "ViT-B", 1024: "ViT-L", 1280: "ViT-H"}
_DECODER_PARTS = ("prompt_encoder.", "mask_decoder.")
# Published files may hold these besides; no network of ours needs them: a classifier of the pre-training, constants.
_KNOWN_REST = ("norm_head.", "head.", "fc.", "pixel_mean", "pixel_std", "attention_bias_idxs")

# What a file is that looks like a neighbour of ours: the tensor that tells it, and the sentence.
_NEIGHBOURS = {
    "bbox_top_left_embeddings.weight": "is EfficientSAM, which MomentumSeg does not run; choose MobileSAM instead",
    "vision_encoder.patch_embed.projection.weight": "is SAM in the layout of Hugging Face; choose the file of its "
    "authors (for ViT-B: sam_vit_b_01ec64.pth)",
    "embeddings.patch_embeddings.projection.weight": "is a vision transformer in the layout of Hugging Face; choose "
    "the file of its authors (for LVM-Med: lvmmed_vit.pth)",
    "layer1.0.conv1.weight": "is a ResNet, an encoder without prompts; choose a file of the SAM family",
    "trunk.patch_embed.proj.weight": "is SAM 2, which MomentumSeg does not run; choose SAM ViT-B or MobileSAM",
    "_conv_stem.weight": "is an EfficientNet, an encoder without prompts; choose a file of the SAM family",
}


@dataclass(frozen=True)
class SamFile:
    """A weights file that was recognised.

    Attributes:
        path: where it lies.
        layout: one of the layouts of this module.
        tensors: by the names in the file, without what no network needs.
    """

    path: Path
    layout: str
    tensors: Mapping[str, Tensor]


def read_sam_file(path: Path) -> SamFile:
    """Read and recognise a file.

    Raises:
        WeightsError: missing, truncated or unsafe file, or no layout that can be run (the sentence says what it is).
    """
    tensors = read_tensors(path)
    refuse_own_models(path)
    layout = _layout(tensors, path)
    return SamFile(path, layout, {name: value for name, value in tensors.items() if not _is_known_rest(name)})


def fill_network(network: SamNetwork, file: SamFile) -> KeyReport:
    """Put a complete file into a network, in place.

    Raises:
        WeightsError: a tensor is missing, has another shape or is too much; the network is unchanged.
    """
    return _fill(file, network.state_dict(keep_vars=True), "of the kind " + file.layout)


def fill_encoder(network: SamNetwork, file: SamFile) -> KeyReport:
    """Put a file that holds only an image encoder into a network, in place.

    Raises:
        WeightsError: as :func:`fill_network`.
    """
    return _fill(file, network.image_encoder.state_dict(keep_vars=True), "of the kind " + file.layout)


def fill_decoder(network: SamNetwork, file: SamFile) -> KeyReport:
    """Put prompt encoder and mask decoder of a file into a network, in place; its image encoder is left aside.

    Raises:
        WeightsError: as :func:`fill_network`.
    """
    needed = {name: value for name, value in network.state_dict(keep_vars=True).items() if is_decoder_part(name)}
    return _fill(file, needed, "(prompt encoder and mask decoder)", only_decoder=True)


def is_decoder_part(name: str) -> bool:
    """True for tensors below ``prompt_encoder.`` and ``mask_decoder.``, whatever stands before."""
    return any(part in f".{name}" for part in (f".{part}" for part in _DECODER_PARTS))


def _fill(file: SamFile, needed: Mapping[str, Tensor], what: str, only_decoder: bool = False) -> KeyReport:
    tensors = {name: value for name, value in file.tensors.items() if not only_decoder or is_decoder_part(name)}
    chosen, report = select_tensors(tensors, needed, file.path.name)
    report.require_exact(what)
    copy_tensors(chosen, needed)
    return report


def _layout(tensors: Mapping[str, Tensor], path: Path) -> str:
    for mark, sentence in _NEIGHBOURS.items():
        if _find(tensors, mark) is not None:
            raise WeightsError(f"The file {path.name} {sentence}.")
    if _find(tensors, _TINY_MARK) is not None:
        return _tiny_layout(tensors, path)
    if _find(tensors, _VIT_MARK) is not None and _find(tensors, _RELATIVE_MARK) is not None:
        return _vit_layout(tensors, path)
    if _find(tensors, _DECODER_MARK) is not None:
        return SAM_DECODER
    raise WeightsError(
        f"The file {path.name} is no model for prompts (none of its {len(tensors)} tensors is known from SAM, MedSAM, "
        "MobileSAM, LiteMedSAM or LVM-Med); choose one of these files."
    )


def _tiny_layout(tensors: Mapping[str, Tensor], path: Path) -> str:
    if _find(tensors, _DECODER_MARK) is None:
        raise WeightsError(f"The file {path.name} holds only the image encoder of MobileSAM or LiteMedSAM; get it all.")
    patch = _find(tensors, _TINY_MARK)
    return LITE_MEDSAM if patch is not None and patch.shape[-1] == 1 else MOBILE_SAM


def _vit_layout(tensors: Mapping[str, Tensor], path: Path) -> str:
    patch = _find(tensors, _VIT_MARK)
    width = len(patch) if patch is not None else 0
    if width != 768:
        name = _VIT_NAMES.get(width, f"a vision transformer with {width} channels")
        raise WeightsError(
            f"The file {path.name} is {name}, which is too large for MomentumSeg; choose ViT-B (sam_vit_b_01ec64.pth) "
            "or MobileSAM."
        )
    has_positions = _find(tensors, "pos_embed") is not None
    if _find(tensors, _DECODER_MARK) is not None and has_positions:
        return SAM_VIT_B
    if not has_positions and _find(tensors, _DECODER_MARK) is None:
        return LVM_MED
    what = "only the image encoder of SAM" if has_positions else "SAM without its absolute positions"
    raise WeightsError(f"The file {path.name} holds {what}, which cannot be run; choose a complete file of SAM ViT-B.")


def _find(tensors: Mapping[str, Tensor], mark: str) -> Tensor | None:
    """The tensor with that name below any prefix."""
    found = tensors.get(mark)
    return found if found is not None else next((t for name, t in tensors.items() if name.endswith("." + mark)), None)


def _is_known_rest(name: str) -> bool:
    return not is_decoder_part(name) and any(f".{rest}" in f".{name}" for rest in _KNOWN_REST)
