"""What is chosen in the panel, as a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from MomentumSegLib.automatic_request import AutomaticRequest
from MomentumSegLib.device_section import readable, resolve
from MomentumSegLib.few_shot_request import FewShotRequest
from MomentumSegLib.method_section import AUTOMATIC
from MomentumSegLib.region_section import clamped_range
from MomentumSegLib.run_request import RunRequest
from MomentumSegLib.slice_geometry import SliceGeometry


@dataclass(frozen=True)
class ChosenModel:
    """A model as the worker and as people name it."""

    name: str
    title: str


def chosen_request(
    parameters: Any,
    slices: Callable[[], SliceGeometry | None],
    model: ChosenModel,
    devices: Sequence[Mapping[str, Any]],
) -> RunRequest | None:
    """Return the run of the parameters in the scene; None without volume or segmentation.

    Args:
        parameters: :class:`MomentumSegLib.parameters.MomentumSegParameters`.
        slices: returns the slices of the volume, None for a volume that cannot be used.
        model: the chosen one.
        devices: of the worker; empty while it does not run.
    """
    if parameters.inputVolume is None or parameters.outputSegmentation is None:
        return None
    slice_range, found = None, slices()
    if parameters.limitSlices and found is not None:
        first, last = clamped_range(parameters.firstSlice, parameters.lastSlice, found.count)
        slice_range = (first, last + 1)
    device = resolve(parameters.device, devices) if devices else parameters.device
    common: dict[str, Any] = {
        "volume_id": parameters.inputVolume.GetID(),
        "segmentation_id": parameters.outputSegmentation.GetID(),
        "plane": parameters.plane.value,
        "model": model.name,
        "device": device,
        "model_title": model.title,
        "device_name": readable(device, devices),
        "slice_range": slice_range,
        "region_id": _id_of(parameters.region),
        "all_frames": parameters.frames.value == "all",
    }
    if parameters.method == AUTOMATIC:
        return AutomaticRequest(**common, mirror=bool(parameters.mirror))
    return FewShotRequest(
        **common,
        support_volume_id=_id_of(parameters.supportVolume),
        support_segmentation_id=_id_of(parameters.supportSegmentation),
    )


def _id_of(node: Any) -> str:
    return "" if node is None else str(node.GetID())
