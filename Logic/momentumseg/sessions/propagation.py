"""Following an object through the volume: each slice is prompted with what was found on its neighbour.

From the outermost prompted slices outwards, the box of the neighbour's mask (with a margin, because a structure may
grow) is the prompt of the next slice, together with the neighbour's logits if the settings say so, until the object
ends (MedSAM's LiteMedSAM baseline, CVPR 2024 challenge, has the same path without a rule for the end). Between two
prompted slices it is followed from both, and each slice takes the better answer, so that a prompt on a further
slice corrects everything on the way to it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from momentumseg.errors import InputError
from momentumseg.sessions.feature_encoder import IsCancelled, Progress, raise_if
from momentumseg.sessions.few_shot_result import Box
from momentumseg.sessions.follow_result import FollowedEnds, FollowedSlice, FollowResult, OnFollowed, Source
from momentumseg.sessions.prompt_decoder import Candidate, PromptDecoder, SlicePrediction
from momentumseg.sessions.prompt_objects import BoxPrompt
from momentumseg.transforms.prompt_slices import PromptSlices

Between = Literal["blend", "nearest", "iou"]
_BETWEEN = ("blend", "nearest", "iou")
_SMALLEST_DEVIATION = 1e-6  # of what is equally bright inside


@dataclass(frozen=True)
class FollowConfig:
    """When an object ends, and how its slices are prompted.

    The defaults were chosen with LiteMedSAM on patients 36 and 39 of CHAOS T2-SPIR (four organs each, one box on the
    largest slice; mean Dice 0.90), which the evaluation in Docs/prompts.md leaves out.

    Attributes:
        margin: network pixels around the neighbour's mask, where the box goes.
        use_logits: give the neighbour's logits as mask prompt, where the model was trained for that.
        lowest_iou: predicted IoU, as a part of that of the prompted slice, below which the object is taken to have
            ended; networks differ in how sure they say they are.
        largest_change: ratio of the areas of neighbouring slices (the larger by the smaller) above which it ended.
        smallest_overlap: part of the smaller of two neighbouring masks that the larger one must cover.
        largest_shift: of the mean brightness inside the mask from the prompted slice, in standard deviations of the
            brightness inside the mask there; None does not ask.
        smallest_return: Dice that following back from a slice must reach with the mask it was followed from; None does
            not ask, and saves one run of the decoder a slice.
        smallest_area: voxels; a smaller mask is none.
        between: of the paths from two prompted slices "iou" takes on each slice the one with the better predicted IoU,
            "nearest" switches in the middle, "blend" weighs them by distance.
    """

    margin: float = 2.0
    use_logits: bool = True
    lowest_iou: float = 0.85
    largest_change: float = 2.5
    smallest_overlap: float = 0.5
    largest_shift: float | None = 2.0
    smallest_return: float | None = None
    smallest_area: int = 10
    between: Between = "iou"

    def __post_init__(self) -> None:
        if self.between not in _BETWEEN:
            raise InputError(f'Two paths cannot be joined by "{self.between}": use {", ".join(_BETWEEN)}.')
        if self.margin < 0 or self.largest_change < 1:
            raise InputError(
                f"A margin of {self.margin:g} pixels and an area ratio of {self.largest_change:g} cannot be used to "
                "follow: give a margin of at least 0 and a ratio of at least 1."
            )


@dataclass
class FollowRun:
    """One request to follow objects.

    Args:
        slices: of the volume.
        decoder: answers prompts.
        labels: object id -> label.
        prompted: object id -> slice index -> the user's prediction.
        allowed: slices that may be looked at.
        boxes: object id -> half-open 3D boxes ((i0, i1), (j0, j1), (k0, k1)) that bound its masks; none for no bound.
        config: see there.
        on_slice, progress, cancelled: see `PromptSession.follow`.
    """

    slices: PromptSlices
    decoder: PromptDecoder
    labels: Mapping[int, int]
    prompted: Mapping[int, Mapping[int, SlicePrediction]]
    allowed: range
    boxes: Mapping[int, Sequence[Box]]
    config: FollowConfig
    on_slice: OnFollowed | None = None
    progress: Progress | None = None
    cancelled: IsCancelled | None = None
    _found: dict[int, dict[int, FollowedSlice]] = field(default_factory=dict, init=False)
    _done: int = field(default=0, init=False)
    _bounds: Sequence[Box] = field(default=(), init=False)

    def result(self) -> FollowResult:
        """Follow all objects. Raises `InputError` when there is nothing to follow, and `Cancelled`."""
        start = time.perf_counter()
        ends = {}
        for number, object_id in enumerate(self.prompted):
            self._done = number * len(self.allowed)
            ends[object_id] = self._follow(object_id)
            self._report((number + 1) * len(self.allowed))
        return FollowResult(
            self.slices.volume, self.slices.space, self._found, ends, seconds=time.perf_counter() - start
        )

    # One object

    def _follow(self, object_id: int) -> FollowedEnds:
        self._bounds = self.boxes.get(object_id, ())
        starts = self._starts(self.prompted[object_id])
        self._found[object_id] = {}
        for prediction in starts.values():
            self._keep(object_id, prediction, "prompted")
        order = sorted(starts)
        for first, last in zip(order, order[1:], strict=False):
            self._follow_between(object_id, starts[first], starts[last])
        below = self._follow_outwards(object_id, starts[order[0]], -1)
        above = self._follow_outwards(object_id, starts[order[-1]], 1)
        found = self._found[object_id]
        self._found[object_id] = dict(sorted(found.items()))
        return FollowedEnds(min(found), max(found), below, above)

    def _starts(self, prompted: Mapping[int, SlicePrediction]) -> dict[int, SlicePrediction]:
        """Prompted slices with a mask, inside the bounds."""
        inside = {
            index: prediction.inside(self._window(index))
            for index, prediction in prompted.items()
            if index in self.allowed and self._may_be_on(index)
        }
        if not inside:
            words = ", ".join(str(index) for index in prompted)
            raise InputError(
                f"The prompted slices ({words}) lie outside the bounds: widen the box or the slice range, or prompt "
                "a slice inside."
            )
        found = {index: prediction for index, prediction in inside.items() if prediction.mask.any()}
        if not found:
            raise InputError(
                f"The prompts on slice {next(iter(inside))} give an empty mask: draw the box closer around the "
                "structure, or add a click inside it."
            )
        return found

    def _follow_outwards(self, object_id: int, start: SlicePrediction, step: int) -> str:
        """Follow from a prompted slice to one side; returns why it ended."""
        reference = _Reference.of(self.slices, start)
        previous, index = start, start.slice_index + step
        while True:
            if index not in self.allowed or not self._may_be_on(index):
                is_volume = not 0 <= index < self.slices.slice_count
                return "the volume ends" if is_volume else "the bounds that were given end"
            prediction = self._next(previous, index)
            reason = self._reason_to_end(previous, prediction, reference)
            if reason:
                return reason
            self._keep(object_id, prediction, "followed")
            previous, index = prediction, index + step

    def _follow_between(self, object_id: int, first: SlicePrediction, last: SlicePrediction) -> None:
        """The slices between two prompted ones, from both sides."""
        forward = {}
        for step in self._path(first, range(first.slice_index + 1, last.slice_index)):
            self._keep(object_id, step.prediction, "between", is_final=False)
            forward[step.prediction.slice_index] = step
        for step in self._path(last, range(last.slice_index - 1, first.slice_index, -1)):
            index = step.prediction.slice_index
            part = (index - first.slice_index) / (last.slice_index - first.slice_index)
            other = forward.pop(index, None)
            self._keep(object_id, self._joined(other, step, part) if other else step.prediction, "between")
        for step in forward.values():  # the way back ended before it came here
            self._keep(object_id, step.prediction, "between")

    def _path(self, start: SlicePrediction, indices: range) -> Iterator[_Step]:
        """Follow towards a slice on which the object is known to be: it stops only where nothing is found, but what
        comes after a slice where the object would otherwise have ended is not trusted."""
        reference, previous, is_trusted = _Reference.of(self.slices, start), start, True
        for index in indices:
            prediction = self._next(previous, index)
            if np.count_nonzero(prediction.mask) < self.config.smallest_area:
                return
            is_trusted = is_trusted and self._reason_to_end(previous, prediction, reference) is None
            yield _Step(prediction, is_trusted)
            previous = prediction

    def _joined(self, forward: _Step, backward: _Step, part: float) -> SlicePrediction:
        """Two answers for one slice; ``part`` of the way from the first prompted slice to the last."""
        first, last = forward.prediction, backward.prediction
        if forward.is_trusted != backward.is_trusted:
            return first if forward.is_trusted else last
        if self.config.between == "nearest":
            return first if part <= 0.5 else last
        if self.config.between == "iou":
            return max(first, last, key=lambda one: one.predicted_iou)
        weights = np.float32(1.0 - part), np.float32(part)
        low, logits = (
            weights[0] * a + weights[1] * b
            for a, b in ((first.low_resolution, last.low_resolution), (first.logits, last.logits))
        )
        iou = float((1.0 - part) * first.predicted_iou + part * last.predicted_iou)
        chosen = Candidate(low, iou)
        return SlicePrediction(first.slice_index, logits, chosen, (chosen,))

    # One slice

    def _next(self, previous: SlicePrediction, index: int) -> SlicePrediction:
        """The slice that is prompted with its neighbour's mask."""
        raise_if(self.cancelled)
        if self.slices.is_blank(index):
            nothing = np.full(self.slices.slice_shape, -1e3, dtype=np.float32)
            empty = Candidate(np.full_like(previous.low_resolution, -1e3), 0.0)
            return SlicePrediction(index, nothing, empty, (empty,))
        return self._prompted_by(previous, index).inside(self._window(index))

    def _prompted_by(self, neighbour: SlicePrediction, index: int) -> SlicePrediction:
        x, y = self.slices.voxels_per_network_pixel
        margin = (self.config.margin * x, self.config.margin * y)
        box = BoxPrompt.around(neighbour.mask, margin).clipped(self.slices.slice_shape)
        return self.decoder.predict(self.slices, index, [box], neighbour.chosen if self.config.use_logits else None)

    def _reason_to_end(
        self, previous: SlicePrediction, prediction: SlicePrediction, reference: _Reference
    ) -> str | None:
        """Why the object is taken to have ended before this slice; None while it goes on."""
        config, mask = self.config, prediction.mask
        area, before = int(np.count_nonzero(mask)), int(np.count_nonzero(previous.mask))
        if area < config.smallest_area:
            return "nothing is found on the next slice"
        if prediction.predicted_iou < config.lowest_iou * reference.predicted_iou:
            return f"the predicted overlap falls to {prediction.predicted_iou:.2f}"
        if max(area / before, before / area) > config.largest_change:
            return f"the area changes from {before} to {area} voxels"
        if np.count_nonzero(mask & previous.mask) < config.smallest_overlap * min(area, before):
            return "the next slice's mask lies elsewhere"
        if config.largest_shift is not None:
            shift = reference.shift(self.slices, prediction)
            if shift > config.largest_shift:
                return f"the brightness inside changes by {shift:.1f} standard deviations"
        if config.smallest_return is not None:
            back = self._prompted_by(prediction, previous.slice_index).mask
            dice = 2 * np.count_nonzero(back & previous.mask) / (np.count_nonzero(back) + before)
            if dice < config.smallest_return:
                return f"following back finds something else (Dice {dice:.2f})"
        return None

    def _keep(self, object_id: int, prediction: SlicePrediction, source: Source, is_final: bool = True) -> None:
        found = FollowedSlice.of(prediction, object_id, self.labels[object_id], source, is_final)
        self._found[object_id][prediction.slice_index] = found
        if self.on_slice is not None:
            self.on_slice(found)
        if is_final:
            self._report(self._done + 1)

    def _report(self, done: int) -> None:
        self._done = done
        if self.progress is not None:
            self.progress(done, len(self.allowed) * len(self.prompted))

    # Bounds

    def _may_be_on(self, index: int) -> bool:
        axis = 2 - self.slices.space.slice_axis
        return not self._bounds or any(box[axis][0] <= index < box[axis][1] for box in self._bounds)

    def _window(self, index: int) -> np.ndarray | None:
        """Boolean (rows, columns): where the boxes let the object be on a slice; None for everywhere."""
        if not self._bounds:
            return None
        window = np.zeros(self.slices.slice_shape, dtype=bool)
        slice_axis = self.slices.space.slice_axis
        for box in self._bounds:
            first, end = box[2 - slice_axis]
            if first <= index < end:
                rows, columns = (box[2 - axis] for axis in range(3) if axis != slice_axis)
                window[rows[0] : rows[1], columns[0] : columns[1]] = True
        return window


@dataclass(frozen=True)
class _Step:
    """A slice on the way between two prompted ones, and whether every slice before it looked like the object."""

    prediction: SlicePrediction
    is_trusted: bool


@dataclass(frozen=True)
class _Reference:
    """What an object looks like on the prompted slice: mean and standard deviation inside, in the image's unit."""

    predicted_iou: float
    mean: float
    deviation: float

    @classmethod
    def of(cls, slices: PromptSlices, prediction: SlicePrediction) -> _Reference:
        inside = slices.voxels(prediction.slice_index)[prediction.mask].astype(np.float64)
        return cls(prediction.predicted_iou, float(inside.mean()), max(float(inside.std()), _SMALLEST_DEVIATION))

    def shift(self, slices: PromptSlices, prediction: SlicePrediction) -> float:
        """Distance of the mean inside another slice's mask, in these deviations."""
        mean = float(slices.voxels(prediction.slice_index)[prediction.mask].mean(dtype=np.float64))
        return abs(mean - self.mean) / self.deviation
