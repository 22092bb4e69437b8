"""Methods for prompts: answer prompts on a slice, follow objects through the volume, encode ahead, forget.

All but `prompt_forget` take {volume, model, device, plane, decoder: name|null, window: [low, high]|null}. Prompts are
written as `prompt_requests` says. An object is named by the client and belongs to a volume and a plane.

prompt_predict {object, label, slice_index, prompts}
    -> {slice_index, origin: [row, column], predicted_iou, alternatives: [predicted_iou, ...], was_encoded,
        experimental: [kind], notice, seconds, device, model}
    arrays {mask: uint8 crop, probability: uint8 crop 0 .. 255, alternative_0, alternative_1, ...: uint8 slices, only
        where a single click is ambiguous; "choice" of the point takes one of them}
    All prompts of the slice are given each time, in their order; those that were answered before are not asked again.
    No prompts: forget the slice; predicted_iou is null and there is no array.

prompt_follow {objects: [{object, label, slices: [{slice_index, prompts}]}], slice_range: [first, end)|null,
        roi: [box, ...]|null, settings: {field of FollowConfig: value}|null}
    partial: {object, label, slice_index, final, origin, predicted_iou, source} arrays {mask: uint8 crop}
    -> {labels, origin, uncertainty_origin, volume_ml, label_uncertainty, predicted_iou: {object: {slice: value}},
        ends: [{object, label, first, last, before_first, after_last}], next_slice, slice_axis, seconds, device, model}
    arrays {labelmap: uint8 crop, uncertainty: uint8 crop 0 .. 255}

prompt_encode_ahead {first_slice: n|null, reach: n|null} -> {encoded, interrupted}; gives way to any other request

prompt_forget {object: name|null} -> {}; null forgets all objects of the model that was used last
"""

from __future__ import annotations

import time
from dataclasses import fields
from typing import Any

import numpy as np

from momentumseg.errors import Cancelled, InputError
from momentumseg.sessions.follow_result import FollowedSlice, FollowResult
from momentumseg.sessions.nearest_first import NearestFirst
from momentumseg.sessions.prompt import REACH, PromptSession
from momentumseg.sessions.prompt_decoder import SlicePrediction
from momentumseg.sessions.propagation import FollowConfig
from momentumseg.weights import prompt_models
from momentumseg.worker.crops import bounding_crop, statistics_of
from momentumseg.worker.devices import chosen_device
from momentumseg.worker.prompt_requests import (
    requested_boxes,
    requested_objects,
    requested_prompts,
    requested_slices,
    requested_window,
)
from momentumseg.worker.prompt_session import KeptPrompts
from momentumseg.worker.registry import Call, Interrupted, Reply, Values, method

_SESSION = "prompt session"


@method("prompt_predict")
def prompt_predict(call: Call) -> Reply:
    """The mask of an object's prompts on a slice."""
    start = time.perf_counter()
    kept = _kept(call)
    session = _of_volume(call, kept)
    index, name, label = call.whole("slice_index"), call.text("object"), _label(call)
    prompts = requested_prompts(call, call.parameters.get("prompts"))
    was_encoded = session.is_encoded(index)
    call.check()
    prediction = kept.answer(name, label, index, prompts)
    values = {
        "slice_index": index,
        "origin": [0, 0],
        "predicted_iou": None,
        "alternatives": [],
        "was_encoded": was_encoded,
        "experimental": kept.experimental_of(prompts),
        "notice": kept.notice,
        "device": kept.device,
        "model": kept.model,
    }
    arrays: dict[str, np.ndarray] = {}
    if prediction is not None:
        more, arrays = _answer(session, prediction)
        values |= more
    return Reply({**values, "seconds": time.perf_counter() - start}, arrays)


@method("prompt_follow")
def prompt_follow(call: Call) -> Reply:
    """Follow objects through the volume; slices are sent as soon as they are known."""
    call.progress(0.0, "Loading the model")
    kept = _kept(call)
    session = _of_volume(call, kept)
    config = _config(call.parameters.get("settings") or {})
    names: dict[int, str] = {}
    for entry in requested_objects(call):
        call.check()
        number = kept.set_object(entry["object"], entry["label"], requested_slices(call, entry.get("slices")))
        names[number] = entry["object"]
    if not names:
        raise InputError("There is no prompt to start from: click into the structure or draw a box around it.")

    def send(found: FollowedSlice) -> None:
        crop = bounding_crop(found.mask.astype(np.uint8))
        row, column = (start + inside for start, inside in zip(found.origin, crop.origin, strict=True))
        place = {"object": names[found.object_id], "label": found.label, "slice_index": found.slice_index}
        facts = {"final": found.is_final, "predicted_iou": found.predicted_iou, "source": found.source}
        call.partial({**place, **facts, "origin": [row, column]}, {"mask": crop.array} if crop.array.size else {})

    result = session.follow(
        list(names),
        slice_range=_slice_range(call),
        roi=requested_boxes(call),
        config=config,
        on_slice=send,
        progress=lambda done, total: call.progress(done / total, "Following through the volume"),
        cancelled=call.is_cancelled,
    )
    return _reply(kept, session, result, names)


@method("prompt_encode_ahead", background=True)
def prompt_encode_ahead(call: Call) -> Values:
    """Encode the slices around "first_slice" ahead of time, the nearest first."""
    if call.is_interrupted() and not call.is_cancelled():
        raise Interrupted({"encoded": 0, "interrupted": True})
    session = _of_volume(call, _kept(call))
    call.check()
    slices, first, reach = session.slices, call.optional_whole("first_slice"), call.optional_whole("reach")
    origin = slices.check_slice(slices.slice_count // 2 if first is None else first)
    try:
        session.encode(
            list(NearestFirst(slices.slice_count, origin, REACH if reach is None else reach)),
            progress=lambda done, total: call.progress(done / total, "Preparing slices"),
            cancelled=call.is_interrupted,
        )
    except Cancelled:
        call.check()
        raise Interrupted({"encoded": session.encoded_count, "interrupted": True}) from None
    return {"encoded": session.encoded_count, "interrupted": False}


@method("prompt_forget")
def prompt_forget(call: Call) -> Values:
    """Forget the prompts of an object, or of all."""
    kept = call.state.kept(_SESSION)
    if isinstance(kept, KeptPrompts):
        kept.forget(None if call.parameters.get("object") is None else call.text("object"))
    return {}


def _kept(call: Call) -> KeptPrompts:
    """The session of the request's model and device, which keeps embeddings and answers."""
    model, device = call.text("model"), chosen_device(call.text("device", "auto"))
    decoder = None if call.parameters.get("decoder") is None else call.text("decoder")

    def make() -> KeptPrompts:
        loaded = prompt_models.load_prompt_model(model, device=device, decoder=decoder)
        session = PromptSession(loaded, device=device)
        return KeptPrompts(session, model, device, loaded.experimental, loaded.notice)

    return call.state.keep(_SESSION, (model, decoder, device), make)


def _of_volume(call: Call, kept: KeptPrompts) -> PromptSession:
    return kept.of_volume(call.volume(), call.text("plane"), requested_window(call))


def _answer(session: PromptSession, prediction: SlicePrediction) -> tuple[Values, dict[str, np.ndarray]]:
    crop = bounding_crop(prediction.mask.astype(np.uint8))
    (row, column), (rows, columns) = crop.origin, crop.array.shape
    probability = prediction.probability[row : row + rows, column : column + columns]
    arrays = {"mask": crop.array, "probability": np.rint(probability * 255).astype(np.uint8)}
    offered = prediction.alternatives if len(prediction.alternatives) > 1 else ()
    for number, one in enumerate(offered):
        arrays[f"alternative_{number}"] = (session.slices.to_slice(one.low_resolution) > 0).astype(np.uint8)
    values = {
        "origin": [row, column],
        "predicted_iou": prediction.predicted_iou,
        "alternatives": [one.predicted_iou for one in offered],
    }
    return values, arrays


def _reply(kept: KeptPrompts, session: PromptSession, result: FollowResult, names: dict[int, str]) -> Reply:
    labels = bounding_crop(result.labelmap.array)
    whole = np.rint(result.uncertainty.array * 255.0).astype(np.uint8)
    uncertainty = bounding_crop(whole)
    statistics = statistics_of(labels, whole, result.labels, result.volume)
    values = {
        "labels": result.labels,
        "origin": list(labels.origin),
        "uncertainty_origin": list(uncertainty.origin),
        "volume_ml": {label: ml for label, (ml, _) in statistics.items()},
        "label_uncertainty": {label: mean for label, (_, mean) in statistics.items()},
        "predicted_iou": {
            names[number]: {index: found.predicted_iou for index, found in by_slice.items()}
            for number, by_slice in result.slices.items()
        },
        "ends": [
            {
                "object": names[number],
                "label": session.objects[number].label,
                "first": ends.first,
                "last": ends.last,
                "before_first": ends.before_first,
                "after_last": ends.after_last,
            }
            for number, ends in result.ends.items()
        ],
        "next_slice": result.least_certain_slice,
        "slice_axis": session.slice_axis,
        "seconds": result.seconds,
        "device": kept.device,
        "model": kept.model,
    }
    return Reply(values, {"labelmap": labels.array, "uncertainty": uncertainty.array})


def _label(call: Call) -> int:
    return 1 if call.parameters.get("label") is None else call.whole("label")


def _slice_range(call: Call) -> tuple[int, int] | None:
    written = call.parameters.get("slice_range")
    if written is None:
        return None
    if not isinstance(written, list) or len(written) != 2 or not all(isinstance(end, int) for end in written):
        raise InputError(f"The slice range {str(written)[:80]} is no pair [first, end] of whole numbers.")
    return written[0], written[1]


def _config(settings: dict[str, Any]) -> FollowConfig:
    known = {field.name for field in fields(FollowConfig)}
    unknown = sorted(set(settings) - known)
    if unknown:
        raise InputError(f"There is no setting '{unknown[0]}' of following; use {', '.join(sorted(known))}.")
    for name, value in settings.items():
        if name != "between" and not isinstance(value, (int, float, type(None))):
            raise InputError(f"The setting {name} = {str(value)[:40]!r} of following is no number.")
    return FollowConfig(**settings)
