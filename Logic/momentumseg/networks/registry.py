"""Backbones, few-shot heads, segmentation networks and classifiers by name, and the networks that tables describe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, TypeVar

from torch import nn

from momentumseg.errors import InputError
from momentumseg.networks.few_shot import FewShotHead, FewShotNetwork
from momentumseg.networks.segmentation import SegmentationNetwork

_Factory = TypeVar("_Factory", bound=Callable[..., nn.Module])
_HeadFactory = TypeVar("_HeadFactory", bound=Callable[..., FewShotHead])
_SegmentationFactory = TypeVar("_SegmentationFactory", bound=Callable[..., SegmentationNetwork])
_Part = TypeVar("_Part", bound=nn.Module)
_BACKBONES: dict[str, Callable[..., nn.Module]] = {}
_HEADS: dict[str, Callable[..., FewShotHead]] = {}
_SEGMENTATION: dict[str, Callable[..., SegmentationNetwork]] = {}
_CLASSIFIERS: dict[str, Callable[..., nn.Module]] = {}


_MODULES = (
    "backbones",
    "lms_net",
    "prototype_nets",
    "res_unet",
    "res_unet_plus_plus",
    "trans_net_r",
    "pvt_former",
    "unet_resnet50",
    "cma_former",
    "mobile_net_v2",
    "shuffle_net_v1",
)


def register_backbone(name: str) -> Callable[[_Factory], _Factory]:
    """Register a factory of backbones ``(B, 3, S, S) -> (B, out_channels, S/stride, S/stride)``."""
    return _registrar(_BACKBONES, name)


def register_head(name: str) -> Callable[[_HeadFactory], _HeadFactory]:
    """Register a factory of :class:`FewShotHead`; it receives ``channels`` and its own options."""
    return _registrar(_HEADS, name)


def register_segmentation(name: str) -> Callable[[_SegmentationFactory], _SegmentationFactory]:
    """Register a factory of networks ``(B, C, *S) -> (B, classes, *S)``; it receives the options of its table."""
    return _registrar(_SEGMENTATION, name)


def register_classifier(name: str) -> Callable[[_Factory], _Factory]:
    """Register a factory of classifiers ``(B, C, H, W) -> (B, classes)``."""
    return _registrar(_CLASSIFIERS, name)


def backbone_names() -> list[str]:
    """Names that a configuration may use for its backbone."""
    _load_entries()
    return sorted(_BACKBONES)


def head_names() -> list[str]:
    """Names that a configuration may use for its head."""
    _load_entries()
    return sorted(_HEADS)


def segmentation_names() -> list[str]:
    """Names that a configuration may use for a segmentation network."""
    _load_entries()
    return sorted(_SEGMENTATION)


def classifier_names() -> list[str]:
    """Names that a configuration may use for a classifier."""
    _load_entries()
    return sorted(_CLASSIFIERS)


def build_backbone(config: Mapping[str, Any]) -> nn.Module:
    """Backbone of ``{"name": ..., option: value, ...}``.

    Raises:
        InputError: unknown name or option.
    """
    return _build(_BACKBONES, "backbone", config)


def build_few_shot_network(config: Mapping[str, Any]) -> FewShotNetwork:
    """Few-shot network of ``{"backbone": {"name": ...}, "head": {"name": ...}}``, with random weights.

    Raises:
        InputError: a table is missing, or a name or an option is unknown.
    """
    for part in ("backbone", "head"):
        if not isinstance(config.get(part), Mapping):
            raise InputError(f"The network table has no [{part}] table; add one with a name.")
    backbone = build_backbone(config["backbone"])
    head = _build(_HEADS, "head", config["head"], channels=backbone.out_channels)
    tables = {key: dict(value) for key, value in config.items() if isinstance(value, Mapping)}
    return FewShotNetwork(backbone, head, config=tables)


def build_segmentation_network(config: Mapping[str, Any]) -> SegmentationNetwork:
    """Segmentation network of ``{"name": ..., "classes": ..., option: value, ...}``, with random weights.

    Raises:
        InputError: unknown name or option.
    """
    network = _build(_SEGMENTATION, "segmentation network", config)
    network.config = dict(config)
    return network


def build_classifier(config: Mapping[str, Any]) -> nn.Module:
    """Classifier of ``{"name": ..., "classes": ..., option: value, ...}``, with random weights.

    Raises:
        InputError: unknown name or option.
    """
    return _build(_CLASSIFIERS, "classifier", config)


def _registrar(registry: dict[str, Callable[..., _Part]], name: str) -> Callable[[Any], Any]:
    def register(factory: Callable[..., _Part]) -> Callable[..., _Part]:
        registry[name] = factory
        return factory

    return register


def _build(registry: dict[str, Callable[..., _Part]], kind: str, config: Mapping[str, Any], **extra: Any) -> _Part:
    _load_entries()
    options = dict(config)
    name = options.pop("name", None)
    if name not in registry:
        raise InputError(f"There is no {kind} named {name!r}; choose one of {', '.join(sorted(registry))}.")
    try:
        return registry[name](**options, **extra)
    except (TypeError, ValueError, RuntimeError) as error:  # torch refuses impossible sizes with a RuntimeError
        raise InputError(f"The {kind} {name!r} does not accept these options: {error}.") from error


def _load_entries() -> None:
    """Entries register themselves when their module is imported."""
    for name in _MODULES:
        import_module(f"momentumseg.networks.{name}")
