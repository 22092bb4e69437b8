"""Few-shot segmentation as a user does it: set a volume once, draw slices, segment, draw again.

>>> with FewShotSession(load_few_shot_model("lmsnet-general")) as session:  # doctest: +SKIP
...     session.set_volume(read_volume("abdomen.nii.gz"))
...     session.start_encoding(first_slice=20)
...     session.add_support(drawn_mask, 20)
...     result = session.segment()
...     next_slice = session.suggest_next_slice()
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import torch

from momentumseg.allocation import keep_large_blocks
from momentumseg.errors import InputError
from momentumseg.inference.volume_consistency import ConsistencyConfig
from momentumseg.networks.few_shot import FewShotNetwork
from momentumseg.sessions.consistency import refinement_of, supported_parts
from momentumseg.sessions.feature_cache import FeatureCache
from momentumseg.sessions.feature_encoder import BackgroundEncoding, FeatureEncoder, IsCancelled, Progress
from momentumseg.sessions.few_shot_result import Box, FewShotResult
from momentumseg.sessions.few_shot_run import FewShotRequest, FewShotRun, OnSlice
from momentumseg.sessions.few_shot_suggestion import help_of_drawing
from momentumseg.sessions.labelmap_supports import labels_at_voxels_of, labels_on_slices
from momentumseg.sessions.ranges import checked_box, checked_slice_range
from momentumseg.sessions.support_summaries import SupportSummaries
from momentumseg.sessions.supports import Assignment, Support, assign_supports, make_support
from momentumseg.sessions.volume_slices import VolumeSlices
from momentumseg.volumes.identity import identity_of
from momentumseg.volumes.volume import Volume


class FewShotModel(Protocol):
    """What a session needs of a :class:`momentumseg.weights.loading.LoadedModel`."""

    @property
    def network(self) -> FewShotNetwork: ...

    @property
    def sha256(self) -> str: ...

    @property
    def recipe(self) -> dict[str, Any]: ...


class FewShotSession:
    """State of one user's few-shot segmentation: the volume, its features, the drawn slices, the last result.

    A change of supports costs only the heads: features of every slice are computed once. All methods may be called
    from any thread. Slice indices and masks are always in a volume's own indexing and layout.

    Args:
        model: network and identity of its weights.
        device: where the network runs.
        cache_budget_bytes: features kept in memory; more is spilled to disk.
        cache_folder: for spilled features; default: the system's temporary folder.
        batch_size: slices a batch; None: 1 on a CPU (as fast, and no slice waits for its neighbours), 4 elsewhere.
        size: pixels of the network's square image; None: as in the model's recipe.
    """

    def __init__(
        self,
        model: FewShotModel,
        *,
        device: torch.device | str = "cpu",
        cache_budget_bytes: int = 1 << 30,
        cache_folder: Path | str | None = None,
        batch_size: int | None = None,
        size: int | None = None,
    ) -> None:
        keep_large_blocks()
        self._device = torch.device(device)
        self._network = model.network.to(self._device).eval()
        self._size = int(size or model.recipe.get("data", {}).get("size", 256))
        self._context = model.recipe.get("episodes", {}).get("context", "single")
        self._cache = FeatureCache(cache_budget_bytes, cache_folder)
        batch_size = batch_size or (1 if self._device.type == "cpu" else 4)
        self._encoder = FeatureEncoder(self._network, model.sha256, self._cache, self._device, batch_size)
        self._lock = threading.RLock()
        self._volumes: dict[tuple[str, str], VolumeSlices] = {}
        self._current: VolumeSlices | None = None
        self._supports: dict[int, Support] = {}
        self._last_id = 0
        self._summaries = SupportSummaries(self._network, self._encoder, self._device)
        self._background: BackgroundEncoding | None = None
        self._result: FewShotResult | None = None

    def __enter__(self) -> FewShotSession:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop encoding, forget the features and remove what was spilled to disk."""
        self.stop_encoding()
        self._cache.close()

    # The volume

    def set_volume(self, volume: Volume, *, plane: str = "axial") -> None:
        """Choose the volume to segment and the plane of its slices.

        Supports that were drawn on another volume stay and serve as supports from another volume; those of another
        plane rest until that plane is chosen again.

        Raises:
            InputError: unknown plane, or a volume without contrast.
        """
        self.stop_encoding()
        with self._lock:
            self._raise_background_error()
            self._current = self._slices_of(volume, plane, identity_of(volume))
            self._result = None
            self._forget_unused_volumes()

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

    # Encoding ahead of time

    def encode(
        self,
        first_slice: int | None = None,
        progress: Progress | None = None,
        cancelled: IsCancelled | None = None,
    ) -> None:
        """Compute the features of the volume now, the slices nearest to ``first_slice`` first.

        Raises:
            InputError: no volume, or no such slice.
            Cancelled: on request; what was encoded stays.
        """
        volume = self._volume_or_error()
        with self._encoder.requested():
            self._encoder.encode(volume, _nearest_first(volume, first_slice), progress, cancelled)

    def start_encoding(self, first_slice: int | None = None) -> None:
        """As `encode`, in a thread. It pauses while a result is computed; its errors are raised by the next call."""
        volume = self._volume_or_error()
        slices = _nearest_first(volume, first_slice)
        with self._lock:  # the thread never asks for this lock
            self.stop_encoding()
            self._background = BackgroundEncoding(self._encoder, volume, slices)

    def stop_encoding(self) -> None:
        """Cancel `start_encoding`; what was encoded stays."""
        background = self._background
        if background is not None:
            background.cancel()

    @property
    def is_encoding(self) -> bool:
        return self._background is not None and self._background.is_running

    @property
    def encoded_count(self) -> int:
        """Number of slices of the volume whose features are at hand."""
        return self._encoder.count(self._volume_or_error())

    # Supports

    @property
    def supports(self) -> list[Support]:
        """All supports, in the order in which they were added."""
        with self._lock:
            return list(self._supports.values())

    def add_support(self, mask2d: np.ndarray, slice_index: int, *, label: int = 1, volume: Volume | None = None) -> int:
        """Draw one label on one slice; returns the support's id. Drawing the same label there again replaces it.

        Args:
            mask2d: the slice of a labelmap array orthogonal to the slice axis; non-zero is foreground.
            slice_index: along the volume's slice axis.
            label: 1 .. 65535.
            volume: another volume that it was drawn on; None: the one to segment.

        Raises:
            InputError: no volume, no such slice or label.
            GeometryError: the mask has another shape than the slices.
            EmptySupportError: nothing is drawn.
        """
        with self._lock:
            slices = self._target(volume)
            support = make_support(self._last_id + 1, mask2d, slice_index, label, slices.id, slices.space)
            same = next((known for known in self._supports.values() if _is_same_place(known, support)), None)
            if same is not None:
                self._supports[same.id] = same.with_mask(mask2d, slices.space)
                return same.id
            self._volumes[slices.id, slices.space.plane] = slices
            self._last_id = support.id
            self._supports[support.id] = support
            return support.id

    def add_supports_from_labelmap(
        self,
        labelmap: Volume | np.ndarray,
        *,
        labels: Iterable[int] | None = None,
        volume: Volume | None = None,
    ) -> list[int]:
        """Make a support of every slice and label of a labelmap; returns their ids.

        Args:
            labelmap: (K, J, I) array of the volume, or a volume; one of another geometry that overlaps is resampled.
            labels: only these.
            volume: another volume that it was drawn on; None: the one to segment.

        Raises:
            InputError: no volume, or values that are not whole numbers.
            GeometryError: the labelmap lies elsewhere, or an array has another shape.
            EmptySupportError: nothing is drawn, or not a wanted label.
        """
        with self._lock:
            slices = self._target(volume)
            array = labels_at_voxels_of(labelmap, slices.volume)
            found = labels_on_slices(array, slices.space.slice_axis, labels)
            along = np.moveaxis(array, slices.space.slice_axis, 0)
            return [
                self.add_support(along[index] == label, index, label=label, volume=slices.volume)
                for index, label in found
            ]

    def replace_support(self, support_id: int, mask2d: np.ndarray) -> None:
        """Draw a support again. Raises as `add_support`; the old one stays when the new one is refused."""
        with self._lock:
            support = self._support(support_id)
            space = self._volumes[support.volume_id, support.plane].space
            self._supports[support_id] = support.with_mask(mask2d, space)

    def remove_support(self, support_id: int) -> None:
        """Forget a support. Raises `InputError` for an unknown id."""
        with self._lock:
            del self._supports[self._support(support_id).id]
            self._forget_unused_volumes()

    def clear_supports(self) -> None:
        """Forget all supports."""
        with self._lock:
            self._supports.clear()
            self._forget_unused_volumes()

    # The result

    def segment(
        self,
        *,
        slice_range: range | tuple[int, int] | None = None,
        box: Box | None = None,
        assignment: Assignment = "auto",
        consistency: ConsistencyConfig | bool | None = None,
        keep_drawn: bool = True,
        on_slice: OnSlice | None = None,
        progress: Progress | None = None,
        cancelled: IsCancelled | None = None,
        keep_iterates: bool = False,
    ) -> FewShotResult:
        """Segment the volume with the present supports.

        Several labels share the features; see `label_distribution` for how they compete.

        Args:
            slice_range: half-open (first, end) in the volume's own indexing; only these slices are computed.
            box: half-open ((i0, i1), (j0, j1), (k0, k1)); only its slices are computed, and outside is background.
            assignment: which supports serve which slice, see `assign_supports`.
            consistency: consistency through slices: None as recommended, False off, True on, or its settings.
            keep_drawn: drawn slices keep what was drawn on them, in the labelmap and the probabilities.
            on_slice: receives (slice index, {label: float32 probability in the slice's layout}) of each slice as soon
                as it is computed, nearest to the drawn ones first; with consistency again, with the final values.
            progress: receives (done, all) batches.
            cancelled: asked between slices.
            keep_iterates: keep the network's stages.

        Raises:
            InputError: no volume or no supports in this plane, or a range, box or assignment that cannot be used.
            Cancelled: on request; the session and its last result stay as they were.
        """
        request = self._request(slice_range, box, assignment, consistency, keep_drawn, keep_iterates)
        run = FewShotRun(
            request,
            self._network,
            self._encoder,
            self._summaries,
            self._device,
            on_slice=on_slice,
            progress=progress,
            cancelled=cancelled,
        )
        with self._encoder.requested():
            result = run.result()
        with self._lock:
            if self._current is request.volume:
                self._result = result
        return result

    def suggest_next_slice(self, label: int | None = None, *, skip: Collection[int] = ()) -> int:
        """The slice that is most worth drawing, see `few_shot_suggestion`, and that is not drawn yet.

        Args:
            label: only for this one; None: for all that were segmented, together.
            skip: slices that need not be drawn, such as those where the user saw that the structure is absent.

        Raises:
            InputError: there is no result yet, not for that label, or every segmented slice is drawn.
        """
        with self._lock:
            volume = self._volume_or_error()
            if self._result is None:
                raise InputError("There is no result yet: segment the volume before asking which slice to draw next.")
            result = self._result
            drawn = {(support.label, support.slice_index) for support in self._drawn_on(volume)}
        labels = result.segmentation.labels if label is None else (label,)
        if not set(labels) <= set(result.segmentation.labels):
            raise InputError(f"Label {label} was not segmented: draw it on a slice and segment again.")
        known = {wanted: {s for drawn_label, s in drawn if drawn_label == wanted} | {*skip} for wanted in labels}
        helps = [help_of_drawing(result.uncertain_area[wanted], known[wanted]) for wanted in labels]
        done = set().union(*known.values())
        gains = {s: sum(gain[s] for gain in helps) for s in result.slice_indices if s not in done}
        if not gains:
            raise InputError("Every segmented slice is drawn already: there is nothing left to suggest.")
        return max(gains, key=lambda s: (gains[s], -s))

    # Helpers

    def _request(
        self,
        slice_range: range | tuple[int, int] | None,
        box: Box | None,
        assignment: Assignment,
        consistency: ConsistencyConfig | bool | None,
        keep_drawn: bool,
        keep_iterates: bool,
    ) -> FewShotRequest:
        with self._lock:
            volume = self._volume_or_error()
            space = volume.space
            active = [support for support in self._supports.values() if support.plane == space.plane]
            if not active:
                raise InputError(f"No {space.plane} slice is drawn: draw the structure on at least one slice.")
            box = checked_box(box, space)
            queries = checked_slice_range(slice_range, box, space)
            labels = tuple(sorted({support.label for support in active}))
            restricted = slice_range is not None or box is not None
            assigned = {
                label: assign_supports(
                    [support for support in active if support.label == label],
                    queries,
                    space,
                    volume.id,
                    assignment=assignment,
                    extent_is_known=restricted,
                )
                for label in labels
            }
            return FewShotRequest(
                volume=volume,
                labels=labels,
                slices=queries,
                assigned=assigned,
                drawn=self._drawn_on(volume),
                box=box,
                keep_drawn=keep_drawn,
                refinement=refinement_of(consistency, volume, supported_parts(active, labels)),
                keep_iterates=keep_iterates,
                drawn_on=dict(self._volumes),
            )

    def _drawn_on(self, volume: VolumeSlices) -> list[Support]:
        return [
            support
            for support in self._supports.values()
            if support.volume_id == volume.id and support.plane == volume.space.plane
        ]

    def _slices_of(self, volume: Volume, plane: str, volume_id: str) -> VolumeSlices:
        """The slices of a volume, those in use where they are the same."""
        fresh = VolumeSlices(volume, plane, self._size, self._context, volume_id)
        current = [] if self._current is None else [self._current]
        known = {(slices.id, slices.space.plane): slices for slices in [*current, *self._volumes.values()]}
        return known.get((volume_id, fresh.space.plane), fresh)

    def _target(self, volume: Volume | None) -> VolumeSlices:
        current = self._volume_or_error()
        plane = current.space.plane
        if volume is None or volume is current.volume:
            return current
        for known in self._volumes.values():
            if known.volume is volume and known.space.plane == plane:
                return known
        return self._slices_of(volume, plane, identity_of(volume))

    def _volume_or_error(self) -> VolumeSlices:
        self._raise_background_error()
        if self._current is None:
            raise InputError("No volume is set: set the volume to segment first.")
        return self._current

    def _support(self, support_id: int) -> Support:
        if support_id not in self._supports:
            raise InputError(f"There is no support {support_id}: it was removed, or never added.")
        return self._supports[support_id]

    def _forget_unused_volumes(self) -> None:
        used = {(support.volume_id, support.plane) for support in self._supports.values()}
        self._volumes = {key: volume for key, volume in self._volumes.items() if key in used}

    def _raise_background_error(self) -> None:
        if self._background is not None:
            self._background.raise_error()


def _is_same_place(known: Support, new: Support) -> bool:
    return (known.label, known.slice_index, known.volume_id, known.plane) == (
        new.label,
        new.slice_index,
        new.volume_id,
        new.plane,
    )


def _nearest_first(volume: VolumeSlices, first_slice: int | None) -> list[int]:
    """All network slices by their distance to a slice of the volume's own indexing (default: the middle)."""
    count = volume.space.slice_count
    origin = count // 2 if first_slice is None else volume.space.network_index(first_slice)
    return sorted(range(count), key=lambda s: (abs(s - origin), s))
