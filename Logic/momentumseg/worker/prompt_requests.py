"""Prompts as clients write them.

    {"kind": "point", "x": 80, "y": 91.5, "positive": true, "choice": null}
    {"kind": "box", "x0": 30, "y0": 60, "x1": 140, "y1": 170}
    {"kind": "scribble", "path": [[80, 90], [85, 95]], "positive": true}
    {"kind": "scribble", "mask": "name of an array with the painted voxels", "positive": true}
    {"kind": "mask", "mask": "name of an array"}

Coordinates are (column, row) of the slice in the volume's own layout, voxel centres at whole numbers (see
`sessions.prompt_objects`); arrays have the shape of the slice and are not zero where something is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from momentumseg.errors import InputError
from momentumseg.sessions.few_shot_result import Box
from momentumseg.sessions.prompt_objects import BoxPrompt, MaskPrompt, PointPrompt, Prompt, ScribblePrompt
from momentumseg.transforms.prompt_preprocessing import IntensityWindow
from momentumseg.worker.registry import Call

_FORMS = "a point, box, scribble or mask with its coordinates"


def requested_prompts(call: Call, written: object) -> list[Prompt]:
    """Prompts of a list. Raises `InputError` for anything else."""
    return [_prompt(call, entry) for entry in _list_of_tables(written, "prompts")]


def requested_slices(call: Call, written: object) -> dict[int, list[Prompt]]:
    """Slice -> its prompts, of ``[{"slice_index": 14, "prompts": [...]}]``."""
    found: dict[int, list[Prompt]] = {}
    for entry in _list_of_tables(written, "slices"):
        index = entry.get("slice_index")
        if not isinstance(index, int) or isinstance(index, bool):
            raise InputError(f"The prompted slice {str(entry)[:80]} has no slice_index that is a whole number.")
        found[index] = requested_prompts(call, entry.get("prompts"))
    return found


def requested_objects(call: Call) -> list[Mapping[str, Any]]:
    """The tables of "objects", each with "object", "label" and "slices"."""
    entries = _list_of_tables(call.parameters.get("objects"), "objects")
    for entry in entries:
        if not isinstance(entry.get("object"), str) or not isinstance(entry.get("label"), int):
            raise InputError(f"The object {str(entry)[:80]} cannot be used: give object (a text), label and slices.")
    return entries


def requested_window(call: Call) -> IntensityWindow | None:
    """The range of brightness of "window": [low, high], or None."""
    written = call.parameters.get("window")
    if written is None:
        return None
    low, high = _numbers(written, 2, f"The window {written!s:.80} is no pair of numbers [low, high].")
    return IntensityWindow(low, high)


def requested_boxes(call: Call) -> list[Box] | None:
    """Half-open 3D boxes of "roi": [[[i0, i1], [j0, j1], [k0, k1]], ...], or None."""
    written = call.parameters.get("roi")
    if written is None:
        return None
    wrong = f"The region {str(written)[:80]} is no list of boxes [[i0, i1], [j0, j1], [k0, k1]] in voxels."
    if not isinstance(written, list) or not all(isinstance(box, list) and len(box) == 3 for box in written):
        raise InputError(wrong)
    boxes = []
    for box in written:
        (i0, i1), (j0, j1), (k0, k1) = ([int(end) for end in _numbers(ends, 2, wrong)] for ends in box)
        boxes.append(((i0, i1), (j0, j1), (k0, k1)))
    return boxes


def _prompt(call: Call, entry: Mapping[str, Any]) -> Prompt:
    kind, positive = entry.get("kind"), bool(entry.get("positive", True))
    wrong = f"The prompt {str(entry)[:80]} cannot be used: give {_FORMS}."
    if kind == "point":
        x, y = _numbers([entry.get("x"), entry.get("y")], 2, wrong)
        choice = entry.get("choice")
        return PointPrompt(x, y, positive, choice if isinstance(choice, int) else None)
    if kind == "box":
        x0, y0, x1, y1 = _numbers([entry.get(name) for name in ("x0", "y0", "x1", "y1")], 4, wrong)
        return BoxPrompt(x0, y0, x1, y1)
    if kind == "scribble" and isinstance(entry.get("path"), list):
        path = tuple((x, y) for x, y in (_numbers(place, 2, wrong) for place in entry["path"]))
        return ScribblePrompt(path, positive)
    if kind == "scribble" and isinstance(entry.get("mask"), str):
        return ScribblePrompt.from_mask(call.array(entry["mask"]) != 0, positive)
    if kind == "mask" and isinstance(entry.get("mask"), str):
        return MaskPrompt(call.array(entry["mask"]))
    raise InputError(wrong)


def _list_of_tables(written: object, name: str) -> list[Mapping[str, Any]]:
    if not isinstance(written, list) or not all(isinstance(entry, dict) for entry in written):
        raise InputError(f"The request has {name} = {str(written)[:80]}; it must be a list of tables.")
    return written


def _numbers(written: object, count: int, wrong: str) -> list[float]:
    values = written if isinstance(written, (list, tuple)) else ()
    if len(values) != count or not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values):
        raise InputError(wrong)
    return [float(value) for value in values]
