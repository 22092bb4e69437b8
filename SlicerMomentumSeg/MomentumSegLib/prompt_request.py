"""What is asked with prompts, as IDs and plain values, and what came back for a slice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# The number of the one segment that is worked on, in labelmaps of answers.
LABEL = 1


@dataclass(frozen=True)
class PromptRequest:
    """The segment that is worked on, by node IDs, which may vanish at any time.

    Attributes:
        volume_id: of the volume to segment.
        segmentation_id, segment_id: where accepted masks go.
        plane: axial, coronal or sagittal: the slices that prompts are read on.
        model, device: as the worker names them.
        model_title, device_name: as people name them.
        refine: the mask that the segment already has on a slice is a prompt, too, and the answer replaces it.
        slice_range: following stays between the first slice and the one behind the last; None: all.
        region_id: of a markups ROI that bounds following; empty: the whole volume.
        window: range of brightness that the model is shown; None: as it likes it.
    """

    volume_id: str
    segmentation_id: str
    segment_id: str
    plane: str
    model: str
    device: str
    model_title: str = ""
    device_name: str = ""
    refine: bool = False
    slice_range: tuple[int, int] | None = None
    region_id: str = ""
    window: tuple[float, float] | None = None

    @property
    def target(self) -> tuple[Any, ...]:
        """What answers belong to: with another one, they are of no use."""
        return (self.volume_id, self.segmentation_id, self.segment_id, self.plane, self.model, self.device, self.window)

    @property
    def object_name(self) -> str:
        """How the worker knows the segment."""
        return f"{self.segmentation_id} {self.segment_id}"

    @property
    def common(self) -> dict[str, Any]:
        """Parameters of every request for prompts."""
        window = None if self.window is None else list(self.window)
        chosen = {"volume": self.volume_id, "model": self.model, "device": self.device, "plane": self.plane}
        return {**chosen, "window": window}


@dataclass(frozen=True, eq=False)
class SlicePrompts:
    """All prompts of one slice in the worker's terms.

    Attributes:
        entries: in the order in which they were given; masks are named.
        arrays: the masks, (rows, columns) uint8.
        key: the same for the same prompts, also after saving and loading.
    """

    entries: tuple[Mapping[str, Any], ...]
    arrays: Mapping[str, np.ndarray]
    key: str

    def count(self, kind: str, positive: bool | None = None) -> int:
        """Number of prompts of a kind ("point", "box", "scribble", "mask")."""
        return sum(
            entry["kind"] == kind and positive in (None, bool(entry.get("positive", True))) for entry in self.entries
        )


@dataclass(frozen=True, eq=False)
class Answer:
    """The mask of a slice's prompts.

    Attributes:
        slice_index: along the plane's slice axis.
        key: of the prompts that were answered.
        mask: (rows, columns) uint8 crop of 0 and 1.
        origin: (row, column) of its first pixel.
        predicted_iou: how sure the model is, 0 to 1.
        alternatives: predicted IoU of each mask that an ambiguous click is offered; empty: it is not ambiguous.
        choice: which of them this is.
        experimental: kinds of prompts given here that the model was not trained for.
        seconds: that the worker took.
    """

    slice_index: int
    key: str
    mask: np.ndarray
    origin: tuple[int, int]
    predicted_iou: float
    alternatives: tuple[float, ...] = ()
    choice: int = 0
    experimental: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class Followed:
    """A segment that was followed through the volume.

    Attributes:
        first, last: slices that it was found on, both included; None: on none.
        next_slice: where the model was least sure; None: nowhere in particular.
        seconds: that the worker took.
        sentence: for the status line.
    """

    first: int | None
    last: int | None
    next_slice: int | None
    seconds: float
    sentence: str
    warnings: tuple[str, ...] = field(default=())
