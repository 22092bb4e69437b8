"""One few-shot segmentation for a client: slices as they come, then crops of the labels and of the uncertainty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from momentumseg.errors import InputError
from momentumseg.sessions.few_shot import FewShotSession
from momentumseg.sessions.few_shot_result import FewShotResult
from momentumseg.sessions.label_distribution import most_probable, normalized_entropy
from momentumseg.volumes.volume import Volume
from momentumseg.worker.crops import bounding_crop, statistics_of
from momentumseg.worker.few_shot_session import KeptSession, RequestedSupport
from momentumseg.worker.registry import Call, Reply

_ITERATES = "few-shot iterates"
_FIRST_PASS = 0.75  # part of the progress bar for the slices' own labels when they are made consistent afterwards


class KeptIterates:
    """The last result that has iterates, and the volume it is of."""

    def __init__(self, volume: Volume, result: FewShotResult) -> None:
        self.volume = volume
        self.result = result

    def close(self) -> None:
        """Nothing but memory is held."""


def kept_iterates(call: Call) -> tuple[Volume, FewShotResult]:
    """The volume of a request and its last result with iterates.

    Raises:
        InputError: no such volume, or no iterates were kept for it.
    """
    volume = call.volume()
    kept = call.state.kept(_ITERATES)
    if not isinstance(kept, KeptIterates) or kept.volume is not volume:
        raise InputError("The network's stages were not kept for this volume: segment it again and ask for them.")
    return volume, kept.result


class SegmentJob:
    """Runs a `segment` request.

    Args:
        call: of the request.
        kept: session of its model and device.
    """

    def __init__(self, call: Call, kept: KeptSession) -> None:
        self._call = call
        self._kept = kept
        self._volume = call.volume()
        self._is_refined = call.parameters.get("consistency") is not False
        self._uncertainty: np.ndarray = np.zeros(self._volume.shape, dtype=np.uint8)
        self._provisional: set[int] = set()
        self._slice_axis = 0
        self._final_count = 0

    def run(self) -> Reply:
        """Segment, sending partial results. Raises `InputError` and its kin, and `Cancelled`."""
        call = self._call
        supports = _requested_supports(call)
        session = self._kept.of_volume(self._volume, call.text("plane"))
        call.check()
        self._kept.set_supports(supports)
        self._slice_axis = session.slice_axis or 0
        result = session.segment(
            slice_range=call.parameters.get("slice_range"),
            box=call.parameters.get("box"),
            consistency=call.parameters.get("consistency"),
            keep_iterates=bool(call.parameters.get("keep_iterates", False)),
            on_slice=self._send_slice,
            progress=self._report_first_pass,
            cancelled=call.is_cancelled,
        )
        if result.iterates is not None:
            call.state.drop(_ITERATES)
            call.state.keep(_ITERATES, None, lambda: KeptIterates(self._volume, result))
        return self._reply(session, result)

    def _send_slice(self, slice_index: int, probabilities: Mapping[int, np.ndarray]) -> None:
        """A slice is final at once, or when it comes for the second time."""
        is_final = not self._is_refined or slice_index in self._provisional
        self._provisional.add(slice_index)
        stack = np.stack(list(probabilities.values()))
        values: np.ndarray = np.array([0, *probabilities], dtype=_label_type(probabilities))
        crop = bounding_crop(values[most_probable(stack)])
        arrays = {"labels": crop.array} if crop.array.size else {}
        place = {"slice_index": slice_index, "final": is_final, "origin": list(crop.origin)}
        self._call.partial(place, arrays)
        if is_final:
            np.moveaxis(self._uncertainty, self._slice_axis, 0)[slice_index] = _as_byte(normalized_entropy(stack))
            self._report_final_pass()

    def _report_first_pass(self, done: int, count: int) -> None:
        share = _FIRST_PASS if self._is_refined else 1.0
        self._call.progress(share * done / count, "Segmenting slices")

    def _report_final_pass(self) -> None:
        self._final_count += 1
        if self._is_refined:
            part = self._final_count / len(self._provisional)
            self._call.progress(_FIRST_PASS + (1.0 - _FIRST_PASS) * part, "Making slices consistent")

    def _reply(self, session: FewShotSession, result: FewShotResult) -> Reply:
        labels = bounding_crop(result.labelmap.array)
        uncertainty = bounding_crop(self._uncertainty)
        statistics = statistics_of(labels, self._uncertainty, result.segmentation.labels, self._volume)
        values = {
            "labels": list(result.segmentation.labels),
            "origin": list(labels.origin),
            "uncertainty_origin": list(uncertainty.origin),
            "volume_ml": {label: ml for label, (ml, _) in statistics.items()},
            "label_uncertainty": {label: mean for label, (_, mean) in statistics.items()},
            "mean_uncertainty": result.mean_uncertainty,
            "next_slice": _next_slice(session),
            "slice_axis": self._slice_axis,
            "seconds": result.seconds,
            "device": self._kept.device,
            "model": self._kept.model,
        }
        return Reply(values, {"labelmap": labels.array, "uncertainty": uncertainty.array})


def _requested_supports(call: Call) -> list[RequestedSupport]:
    requested = call.parameters.get("supports")
    if not isinstance(requested, list) or not all(isinstance(support, dict) for support in requested):
        raise InputError(f"The request '{call.method}' has supports = {str(requested)[:80]}; it must be a list.")
    return [_requested_support(call, support) for support in requested]


def _requested_support(call: Call, support: Mapping[str, Any]) -> RequestedSupport:
    label, slice_index, name = (support.get(key) for key in ("label", "slice_index", "mask"))
    if not isinstance(label, int) or not isinstance(slice_index, int) or not isinstance(name, str):
        raise InputError(f"The support {support} cannot be used: give volume, label, slice_index and mask.")
    volume = call.state.volume(str(support.get("volume", call.text("volume"))))
    return RequestedSupport(volume, label, slice_index, call.array(name))


def _next_slice(session: FewShotSession) -> int | None:
    try:
        return session.suggest_next_slice()
    except InputError:
        return None


def _label_type(probabilities: Mapping[int, np.ndarray]) -> type:
    return np.uint8 if max(probabilities) <= 255 else np.uint16


def _as_byte(fractions: np.ndarray) -> np.ndarray:
    return np.rint(fractions * 255.0).astype(np.uint8)
