"""Prompted segmentation as a user does it: set a volume once, click or draw a box, look, click again, follow.

>>> with PromptSession(load_prompt_model("lite-medsam")) as session:  # doctest: +SKIP
...     session.set_volume(read_volume("abdomen.nii.gz"))
...     session.encode_ahead(20)
...     liver = session.add_object(label=1)
...     session.add_prompt(liver, 20, BoxPrompt(30, 60, 140, 170))
...     mask = session.predict(liver, 20).mask
...     result = session.follow()
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import torch

from momentumseg.allocation import keep_large_blocks
from momentumseg.errors import InputError
from momentumseg.sessions.feature_cache import FeatureCache
from momentumseg.sessions.feature_encoder import BackgroundEncoding, FeatureEncoder, IsCancelled, Progress
from momentumseg.sessions.few_shot_result import Box
from momentumseg.sessions.follow_result import FollowedSlice, FollowResult, OnFollowed
from momentumseg.sessions.nearest_first import NearestFirst
from momentumseg.sessions.prompt_decoder import PromptDecoder, PromptModel, SlicePrediction, embedding_identity
from momentumseg.sessions.prompt_objects import BoxPrompt, MaskPrompt, Prompt, checked_prompt
from momentumseg.sessions.prompted_object import PromptedObject
from momentumseg.sessions.propagation import FollowConfig, FollowRun
from momentumseg.sessions.ranges import checked_box, checked_slice_range
from momentumseg.sessions.supports import LARGEST_LABEL
from momentumseg.transforms.prompt_preprocessing import IntensityWindow
from momentumseg.transforms.prompt_slices import PromptSlices
from momentumseg.volumes.volume import Volume

# Slices on both sides of the one that is looked at, which are encoded ahead.
REACH = 64


class PromptSession:
    """State of one user's prompted segmentation: the volume, its embeddings, the objects and their prompts.

    A slice is encoded once; every prompt on it costs the decoder only. All methods may be called from any thread. Slice
    indices, places and masks are in the volume's own indexing and slice layout, see `prompt_objects`.

    Args:
        model: network, preprocessing, what it can take, and the identity of its weights.
        device: where the network runs.
        cache_budget_bytes: embeddings kept in memory; more is spilled to disk.
        cache_folder: for spilled embeddings; default: the system's temporary folder.
    """

    def __init__(
        self,
        model: PromptModel,
        *,
        device: torch.device | str = "cpu",
        cache_budget_bytes: int = 1 << 30,
        cache_folder: Path | str | None = None,
    ) -> None:
        keep_large_blocks()
        self._model = model
        self._device = torch.device(device)
        network = model.network.to(self._device).eval()
        self._cache = FeatureCache(cache_budget_bytes, cache_folder)
        self._encoder = FeatureEncoder(network, embedding_identity(model), self._cache, self._device, 1)
        self._decoder = PromptDecoder(model, self._encoder, self._device)
        self._lock = threading.RLock()
        self._current: PromptSlices | None = None
        self._objects: dict[tuple[str, str], dict[int, PromptedObject]] = {}
        self._last_id = 0
        self._ahead: NearestFirst | None = None
        self._background: BackgroundEncoding | None = None

    def __enter__(self) -> PromptSession:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop encoding, forget the embeddings and remove what was spilled to disk."""
        self.stop_encoding()
        self._cache.close()

    # The volume

    def set_volume(
        self,
        volume: Volume,
        *,
        plane: str = "axial",
        window: IntensityWindow | None = None,
        volume_id: str | None = None,
    ) -> list[str]:
        """Choose the volume and the plane of its slices; returns sentences about what was changed in its voxels.

        Objects and prompts belong to a volume, its window and a plane: they rest when another is chosen and are back
        with it.

        Args:
            window: range of brightness to show to the network (soft tissue in CT: level 40, width 400); None fits it
                to the volume as the model wants it.
            volume_id: `identity_of` the volume, when the caller knows it.

        Raises:
            InputError: unknown plane, or a volume without contrast.
        """
        slices = PromptSlices(volume, plane, self._model.preprocessing, window, volume_id)
        self.stop_encoding()
        with self._lock:
            self._raise_background_error()
            self._current = slices
        return slices.warnings

    @property
    def volume(self) -> Volume | None:
        return None if self._current is None else self._current.volume

    @property
    def plane(self) -> str | None:
        """Plane of the slices: axial, coronal or sagittal."""
        return None if self._current is None else self._current.space.plane

    @property
    def slice_axis(self) -> int | None:
        """Axis of the (K, J, I) array that slice indices count along."""
        return None if self._current is None else self._current.space.slice_axis

    @property
    def slices(self) -> PromptSlices:
        """The volume as the network sees it. Raises `InputError` when none is set."""
        self._raise_background_error()
        if self._current is None:
            raise InputError("No volume is set: set the volume to segment first.")
        return self._current

    @property
    def capabilities(self) -> frozenset[str]:
        """What the model takes, see `PromptDecoder.can`."""
        return self._model.capabilities

    # Encoding ahead of time

    def encode_ahead(self, first_slice: int | None = None, reach: int = REACH) -> None:
        """Encode slices in a thread, those nearest to ``first_slice`` (default: the middle) first.

        While it runs another call only says where to go on, which costs nothing; so does `predict`. It pauses while a
        prediction is computed; its errors are raised by the next call.

        Slices further away than ``reach`` are encoded when somebody goes there. Raises `InputError` for no such slice.
        """
        slices = self.slices
        first = slices.check_slice(slices.slice_count // 2 if first_slice is None else first_slice)
        with self._lock:  # the thread never asks for this lock
            if self._ahead is not None and self.is_encoding and self._ahead.move(first, reach):
                return
            self.stop_encoding()
            self._ahead = NearestFirst(slices.slice_count, first, reach)
            self._background = BackgroundEncoding(self._encoder, slices, self._ahead)

    def encode(
        self, slices: Sequence[int], progress: Progress | None = None, cancelled: IsCancelled | None = None
    ) -> None:
        """Encode these slices now, in this order. Raises `InputError` for a slice that does not exist, `Cancelled`."""
        target = self.slices
        with self._encoder.requested():
            self._encoder.encode(target, [target.check_slice(index) for index in slices], progress, cancelled)

    def stop_encoding(self) -> None:
        """Cancel `encode_ahead`; what was encoded stays."""
        self._ahead = None
        if self._background is not None:
            self._background.cancel()

    @property
    def is_encoding(self) -> bool:
        return self._background is not None and self._background.is_running

    @property
    def encoded_count(self) -> int:
        """Number of slices of the volume whose embeddings are at hand."""
        return self._encoder.count(self.slices)

    def is_encoded(self, slice_index: int) -> bool:
        """Whether a prompt on that slice is answered without encoding it first."""
        return self._encoder.key(self.slices, self.slices.check_slice(slice_index)) in self._cache

    # Objects and prompts

    @property
    def objects(self) -> dict[int, PromptedObject]:
        """The objects of this volume and plane by their id, in the order in which they were added."""
        slices = self.slices
        with self._lock:
            return dict(self._objects.get((slices.id, slices.space.plane), {}))

    def add_object(self, label: int = 1) -> int:
        """A new object to point at; returns its id. Several objects may have the same label.

        Raises:
            InputError: no volume, or a label that cannot be used.
        """
        slices, checked = self.slices, _checked_label(label)
        with self._lock:
            self._last_id += 1
            found = PromptedObject(self._last_id, checked)
            self._objects.setdefault((slices.id, slices.space.plane), {})[found.id] = found
            return found.id

    def remove_object(self, object_id: int) -> None:
        """Forget an object with its prompts. Raises `InputError` for an unknown id."""
        with self._lock:
            self._object(object_id)
            self.discard_object(object_id)

    def discard_object(self, object_id: int) -> None:
        """Forget an object of any volume and plane; nothing happens when there is none."""
        with self._lock:
            for objects in self._objects.values():
                objects.pop(object_id, None)

    def set_label(self, object_id: int, label: int) -> None:
        """Give an object another label. Raises `InputError` for an unknown id or a label that cannot be used."""
        with self._lock:
            self._object(object_id).label = _checked_label(label)

    def add_prompt(self, object_id: int, slice_index: int, prompt: Prompt, *, plane: str | None = None) -> None:
        """Give a prompt; `predict` answers all prompts of the slice together.

        Args:
            plane: that the prompt was drawn in; refused when it is not the session's.

        Raises:
            InputError: no such object or slice, another plane, a prompt outside the slice or of zero size, points that
                contradict each other, an empty image, or a kind of prompt that the model does not take.
            GeometryError: a mask of another shape than the slices.
            EmptySupportError: an empty mask or scribble.
        """
        slices = self.slices
        if plane is not None and plane != slices.space.plane:
            raise InputError(
                f"The prompt was drawn on a {plane} slice but {slices.space.plane} slices are segmented: "
                f"draw it on a {slices.space.plane} slice, or choose the {plane} plane."
            )
        index = slices.check_slice(slice_index)
        checked = checked_prompt(prompt, index, slices.slice_shape)
        with self._lock:
            target = self._object(object_id)
            state = target.extended(index, checked)
            self._decoder.check(state.prompts, slices, index)
            target.add(index, state)

    def add_roi(self, object_id: int, roi: Box) -> int:
        """Prompt with a 3D box: its middle slice gets its box; returns that slice.

        Args:
            roi: half-open ((i0, i1), (j0, j1), (k0, k1)).

        Raises:
            InputError: as `add_prompt`, or the box contains nothing of the volume.
        """
        space = self.slices.space
        bounds = checked_box(roi, space)
        ranges = (bounds or roi)[::-1]  # by axis of (K, J, I)
        (y0, y1), (x0, x1) = (ranges[axis] for axis in range(3) if axis != space.slice_axis)
        first, end = ranges[space.slice_axis]
        middle = (first + end - 1) // 2
        self.add_prompt(object_id, middle, BoxPrompt(x0 - 0.5, y0 - 0.5, x1 - 0.5, y1 - 0.5))
        return middle

    def refine(self, object_id: int, slice_index: int, mask2d: np.ndarray) -> SlicePrediction:
        """Improve an existing mask: it becomes the prompt, with the box around it. Raises as `add_prompt`."""
        self.add_prompt(object_id, slice_index, MaskPrompt(np.asarray(mask2d)))
        return self.predict(object_id, slice_index)

    def set_prompts(self, object_id: int, slice_index: int, prompts: Sequence[Prompt]) -> SlicePrediction | None:
        """Make these the prompts of a slice and answer them one after the other; None for no prompts.

        The answer depends on the prompts only, whatever was asked before: a list that was answered up to some prompt
        goes on from there. Raises as `add_prompt`; the prompts before the refused one stay.
        """
        slices = self.slices
        index = slices.check_slice(slice_index)
        checked = [checked_prompt(prompt, index, slices.slice_shape) for prompt in prompts]
        with self._lock:
            target = self._object(object_id)
            for count in range(target.keep_common(index, checked) + 1, len(checked) + 1):
                state = target.extended(index, checked[count - 1])
                target.add(index, state)
                if count == len(checked) or self._is_answerable(state.prompts, slices, index):
                    self.predict(object_id, index)
        return self.predict(object_id, index) if checked else None

    def predict(self, object_id: int, slice_index: int) -> SlicePrediction:
        """The mask of an object's prompts on a slice; computed once for the same prompts.

        The slice is encoded now if it is not yet, before all others. The mask so far is part of the question when
        prompts are added to a slice that was answered.

        Raises:
            InputError: no such object, or no prompt on that slice.
        """
        slices = self.slices
        with self._lock:
            target = self._object(object_id)
            index = slices.check_slice(slice_index)
            state = target.state(index)
            if self._ahead is not None:
                self.encode_ahead(index, self._ahead.reach)
        if state.prediction is not None:
            return state.prediction
        self._decoder.check(state.prompts, slices, index)
        with self._encoder.requested():
            prediction = self._decoder.predict(slices, index, state.prompts, state.before)
        with self._lock:
            target.answer(index, state, prediction)
        return prediction

    def choose(self, object_id: int, slice_index: int, choice: int) -> SlicePrediction:
        """Take another of the ``alternatives`` of an ambiguous click. Raises `InputError` when there are none."""
        with self._lock:
            self._object(object_id).choose(self.slices.check_slice(slice_index), choice)
        return self.predict(object_id, slice_index)

    def undo(self, object_id: int) -> int | None:
        """Take the last prompt of an object back; returns its slice, or None when there was none."""
        with self._lock:
            return self._object(object_id).undo()

    def clear(self, object_id: int, slice_index: int | None = None) -> None:
        """Forget the prompts of an object on a slice, or all of them."""
        with self._lock:
            self._object(object_id).clear(slice_index)

    def accept(self, object_id: int) -> dict[int, np.ndarray]:
        """The masks of an object by slice; its prompts are forgotten, because the masks now belong to the caller."""
        masks = {index: self.predict(object_id, index).mask for index in self._object(object_id).slices}
        self.clear(object_id)
        return masks

    # Through the volume

    def follow(
        self,
        object_ids: Sequence[int] | None = None,
        *,
        slice_range: range | tuple[int, int] | None = None,
        roi: Box | Sequence[Box] | Mapping[int, Sequence[Box]] | None = None,
        config: FollowConfig | None = None,
        on_slice: OnFollowed | None = None,
        progress: Progress | None = None,
        cancelled: IsCancelled | None = None,
    ) -> FollowResult:
        """Follow objects from their prompted slices through the volume, see :mod:`propagation`.

        Args:
            object_ids: None for all that have prompts.
            slice_range: half-open (first, end); objects are not followed beyond it.
            roi: one 3D box, half-open ((i0, i1), (j0, j1), (k0, k1)), or several: the masks stay inside their union.
                By object id, only those of that object.
            config: when an object ends; None as recommended.
            on_slice: receives each slice as soon as it is known, and again when a later one changes it.
            progress: receives (done, all) slices; what lies behind an object's end counts as done.
            cancelled: asked between slices.

        Raises:
            InputError: no prompts, unknown object, a range that leaves nothing, or prompts that give an empty mask.
            Cancelled: on request; the session stays as it was.
        """
        slices = self.slices
        with self._lock:
            chosen = [self._object(number) for number in object_ids] if object_ids is not None else None
            wanted = chosen or [found for found in self.objects.values() if found.slices]
        if not wanted or not all(found.slices for found in wanted):
            raise InputError("There is no prompt to start from: click into the structure or draw a box around it.")
        boxes = roi if isinstance(roi, Mapping) else {found.id: _boxes(roi) for found in wanted}
        checked = {
            number: [box for box in (checked_box(one, slices.space) for one in of_object) if box is not None]
            for number, of_object in boxes.items()
        }
        ends = checked_slice_range(slice_range, None, slices.space)
        indices = sorted(slices.space.volume_index(s) for s in (ends[0], ends[-1]))
        prompted = {found.id: {index: self.predict(found.id, index) for index in found.slices} for found in wanted}
        run = FollowRun(
            slices,
            self._decoder,
            {found.id: found.label for found in wanted},
            prompted,
            range(indices[0], indices[1] + 1),
            checked,
            config or FollowConfig(),
            on_slice,
            progress,
            cancelled,
        )
        with self._encoder.requested():
            return run.result()

    def prompted_slices(self) -> FollowResult:
        """The prompted slices of all objects as they are, with nothing followed."""
        slices, start = self.slices, time.perf_counter()
        found = {
            number: {
                index: FollowedSlice.of(self.predict(number, index), number, one.label, "prompted")
                for index in one.slices
            }
            for number, one in self.objects.items()
        }
        return FollowResult(slices.volume, slices.space, found, {}, time.perf_counter() - start)

    # Helpers

    def _object(self, object_id: int) -> PromptedObject:
        found = self.objects.get(object_id)
        if found is None:
            raise InputError(f"There is no object {object_id} in this volume and plane: add it first.")
        return found

    def _is_answerable(self, prompts: Sequence[Prompt], slices: PromptSlices, slice_index: int) -> bool:
        """Whether prompts mean something by themselves: what is outside does not, before something is inside."""
        try:
            self._decoder.check(prompts, slices, slice_index)
        except InputError:
            return False
        return True

    def _raise_background_error(self) -> None:
        if self._background is not None:
            self._background.raise_error()


def _checked_label(label: int) -> int:
    if not 1 <= label <= LARGEST_LABEL:
        raise InputError(f"Label {label} cannot be used: give a number from 1 to {LARGEST_LABEL}.")
    return int(label)


def _boxes(roi: Box | Sequence[Box] | None) -> list[Box]:
    """One 3D box or several, as a list."""
    if roi is None:
        return []
    is_one = len(roi) == 3 and all(len(bounds) == 2 and not isinstance(bounds[0], Sequence) for bounds in roi)
    return [roi] if is_one else list(roi)  # type: ignore[list-item, arg-type]  # told apart by what is in it
