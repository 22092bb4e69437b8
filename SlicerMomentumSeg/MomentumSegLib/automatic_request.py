"""An automatic run: a network that was trained for certain structures finds them in a volume, without any drawing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from MomentumSegLib.drawn_slices import Collected, existing_segments, segment_tag
from MomentumSegLib.errors import UserError
from MomentumSegLib.output_choice import is_unused
from MomentumSegLib.run_outcome import RESULT_TAG
from MomentumSegLib.run_region import worker_box
from MomentumSegLib.run_request import Answer, RunRequest, Target
from MomentumSegLib.segmentation_output import Region
from MomentumSegLib.slice_geometry import SliceGeometry
from MomentumSegLib.structure_colors import structure_color
from MomentumSegLib.translation import tr as _

# Of so many structures that were not found the status line says the names.
_MOST_NAMES = 4


@dataclass(frozen=True)
class AutomaticRequest(RunRequest):
    """See :class:`RunRequest`.

    Attributes:
        mirror: average the results of mirrored images.
    """

    mirror: bool = False

    def plan(self, scene: Any, slices: SliceGeometry, region: Region | None, drawn: Collected) -> AutomaticPlan:
        return AutomaticPlan(self, scene, region)


class AutomaticPlan:
    """See :class:`MomentumSegLib.run_request.RunPlan`. Which structures there are is known with the answer.

    Each structure has a segment, found by the tag that the last run left or by its name; where there is none, one is
    made as soon as the structure is found in a volume. Slices that the user drew or corrected stay, as with few-shot.

    Args:
        request: that is run.
        scene: for the colours of structures.
        region: to segment; None: all.
    """

    method = "segment_automatic"
    has_stages = False

    def __init__(self, request: AutomaticRequest, scene: Any, region: Region | None) -> None:
        self._request = request
        self._scene = scene
        self._region = region
        self.arrays: Mapping[str, Any] = {}
        self.other_volumes: Sequence[str] = ()
        self.shown: Mapping[int, Target] = {}
        self.advice = _("Correct it by drawing, or with few-shot or prompts.")

    def parameters(self, volume_id: str) -> dict[str, Any]:
        return {"mirror": self._request.mirror, "box": worker_box(self._region)}

    def targets(self, segmentation_node: Any, answers: Sequence[Answer]) -> dict[int, Target]:
        """Segment of each structure that has one, or that was found. Raises `UserError`: nothing was found."""
        names, found = _names(answers), _found(answers)
        targets = {}
        for label, name in names.items():
            segment_id = _segment_of(segmentation_node, name)
            if segment_id or label in found:
                targets[label] = self._target(segmentation_node, segment_id, name)
        if not targets:
            text = _("The model '{model}' found none of its structures ({names}) here: check the volume and the box.")
            raise UserError(text.format(model=self._title, names=_listed(list(names.values()))))
        return targets

    def superseded(self, segmentation_node: Any) -> Sequence[str]:
        """The empty segment that a new segmentation begins with is for those who draw."""
        segmentation = segmentation_node.GetSegmentation()
        ids = existing_segments(segmentation_node)
        return [segment_id for segment_id in ids if is_unused(segmentation.GetSegment(segment_id))]

    def remarks(self, answers: Sequence[Answer], drawn: Collected) -> Sequence[str]:
        """What was not found, and what the user drew and therefore stayed."""
        names, found = _names(answers), _found(answers)
        missing = [name for label, name in names.items() if label not in found]
        sentences = []
        if missing:
            sentences.append(_("Not found: {names}.").format(names=_listed(missing)))
        kept = Counter({support.slice_index for support in drawn.supports})
        if kept:
            text = _("Slices drawn by hand stayed as they were: {count}.")
            sentences.append(text.format(count=len(kept)))
        return sentences

    def _target(self, segmentation_node: Any, segment_id: str, name: str) -> Target:
        segment = segmentation_node.GetSegmentation().GetSegment(segment_id) if segment_id else None
        if segment is None:
            return Target("", name, structure_color(self._scene, name), name)
        return Target(segment_id, segment.GetName(), tuple(segment.GetColor()), name)

    @property
    def _title(self) -> str:
        return self._request.model_title or self._request.model


def _names(answers: Sequence[Answer]) -> dict[int, str]:
    """Name of each structure of the model by its label."""
    values, _arrays = answers[0]
    written = {int(label): str(name) for label, name in dict(values.get("label_names") or {}).items()}
    labels = [int(label) for label in values.get("labels") or written]
    return {label: written.get(label) or _("Structure {number}").format(number=label) for label in labels}


def _found(answers: Sequence[Answer]) -> set[int]:
    """Labels that have a voxel in any of the answers."""
    return {
        int(label)
        for values, _arrays in answers
        for label, millilitres in dict(values.get("volume_ml") or {}).items()
        if millilitres and millilitres > 0
    }


def _segment_of(segmentation_node: Any, name: str) -> str:
    """ID of the segment of a structure: by the tag of an earlier run, else by name; empty without one."""
    segmentation = segmentation_node.GetSegmentation()
    segments = {segment_id: segmentation.GetSegment(segment_id) for segment_id in existing_segments(segmentation_node)}
    tagged = [segment_id for segment_id, segment in segments.items() if segment_tag(segment, RESULT_TAG) == name]
    named = [segment_id for segment_id, segment in segments.items() if segment.GetName().casefold() == name.casefold()]
    return next(iter([*tagged, *named]), "")


def _listed(names: Sequence[str]) -> str:
    """Names, the first few of many: ``"liver, spleen and 5 more"``."""
    if len(names) <= _MOST_NAMES + 1:
        return ", ".join(names)
    text = _("{names} and {count} more")
    return text.format(names=", ".join(names[:_MOST_NAMES]), count=len(names) - _MOST_NAMES)
