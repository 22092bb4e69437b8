"""What is known of drawn slices, saved with the scene in a hidden node that the segmentation refers to.

The node keeps one text (JSON) and no file of its own: hidden nodes with files are easily lost when a scene is saved.
"""

from __future__ import annotations

import base64
import json
import logging
import zlib
from dataclasses import dataclass, field

import numpy as np

from MomentumSegLib.slice_memory import Marks, Moment, SliceMask

REFERENCE_ROLE = "MomentumSegDrawnSlices"
_CLASS = "vtkMRMLScriptedModuleNode"
_PARAMETER = "drawnSlices"
_VERSION = 1
# The Segment Editor's undo does not outlive the scene: a result and what was before it suffice, beside the frames.
_SAVED_MOMENTS = 2


@dataclass(eq=False)
class Grid:
    """Everything remembered in the grid of one volume.

    Attributes:
        shape: (K, J, I).
        ijk_to_segmentation: 4x4, (i, j, k) to the segmentation's own RAS.
        histories: moments by the segment's token, oldest first.
        results: by token, number of the last result that the history knows of.
    """

    shape: tuple[int, int, int]
    ijk_to_segmentation: np.ndarray
    histories: dict[str, list[Moment]] = field(default_factory=dict)
    results: dict[str, int] = field(default_factory=dict)


@dataclass(eq=False)
class Memory:
    """Everything remembered of a segmentation.

    Attributes:
        grids: of the volumes that it was used with.
        tokens: of its segments, by segment ID.
    """

    grids: list[Grid] = field(default_factory=list)
    tokens: dict[str, str] = field(default_factory=dict)


def write(segmentation_node: object, memory: Memory) -> None:
    """Save what is known beside a segmentation."""
    node = _node(segmentation_node) or _new_node(segmentation_node)
    node.SetName(f"{segmentation_node.GetName()} drawn slices")
    grids = [_packed_grid(grid) for grid in memory.grids]
    packed = {"version": _VERSION, "grids": grids, "tokens": memory.tokens}
    node.SetParameter(_PARAMETER, json.dumps(packed, separators=(",", ":")))


def read(segmentation_node: object) -> Memory:
    """What was saved beside a segmentation; nothing when there is none, or when it cannot be read."""
    node = _node(segmentation_node)
    text = node.GetParameter(_PARAMETER) if node is not None else ""
    if not text:
        return Memory()
    try:
        packed = json.loads(text)
        if packed["version"] != _VERSION:
            raise ValueError(f"version {packed['version']}")
        return Memory([_grid(grid) for grid in packed["grids"]], {str(k): str(v) for k, v in packed["tokens"].items()})
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, zlib.error) as error:
        name = segmentation_node.GetName()
        logging.warning('What was drawn in "%s" cannot be read from the scene (%s): it is forgotten.', name, error)
        return Memory()


def _node(segmentation_node: object) -> object | None:
    node = segmentation_node.GetNodeReference(REFERENCE_ROLE)
    return node if node is not None and node.IsA(_CLASS) else None


def _new_node(segmentation_node: object) -> object:
    scene = segmentation_node.GetScene()
    node = scene.CreateNodeByClass(_CLASS)
    node.UnRegister(None)
    node.SetHideFromEditors(True)
    node.SetAttribute("ModuleName", "MomentumSeg drawn slices")
    node = scene.AddNode(node)
    segmentation_node.SetNodeReferenceID(REFERENCE_ROLE, node.GetID())
    return node


def _packed_grid(grid: Grid) -> dict:
    histories = {token: history for token, history in grid.histories.items() if history}
    return {
        "shape": list(grid.shape),
        "matrix": grid.ijk_to_segmentation.ravel().tolist(),
        "results": grid.results,
        "histories": {
            token: [_packed_moment(moment) for moment in _worth_saving(history)] for token, history in histories.items()
        },
    }


def _worth_saving(history: list[Moment]) -> list[Moment]:
    """The last moments; of a segment in a sequence every result, as each may be a frame's."""
    has_frames = any(moment.is_frame for moment in history)
    earlier = [moment for moment in history[:-_SAVED_MOMENTS] if has_frames and moment.has_result]
    return earlier + history[-_SAVED_MOMENTS:]


def _packed_moment(moment: Moment) -> dict:
    return {
        "digests": [{str(s): value for s, value in axis.items()} for axis in moment.digests],
        "marks": [_packed_marks(marks) for marks in moment.marks],
        "result": moment.has_result,
        "frame": moment.is_frame,
    }


def _packed_marks(marks: Marks) -> dict:
    return {
        "drawn": {str(s): _packed_mask(mask) for s, mask in marks.drawn.items()},
        "corrected": sorted(marks.corrected),
        "empty": sorted(marks.kept_empty),
    }


def _packed_mask(mask: SliceMask) -> list:
    pixels = base64.b64encode(zlib.compress(np.packbits(mask.pixels).tobytes())).decode("ascii")
    return [*mask.origin, *mask.pixels.shape, pixels]


def _grid(packed: dict) -> Grid:
    k, j, i = (int(count) for count in packed["shape"])
    return Grid(
        (k, j, i),
        np.array(packed["matrix"], dtype=float).reshape(4, 4),
        {token: [_moment(moment) for moment in history] for token, history in packed["histories"].items()},
        {token: int(count) for token, count in packed["results"].items()},
    )


def _moment(packed: dict) -> Moment:
    first, second, third = ({int(s): str(value) for s, value in axis.items()} for axis in packed["digests"])
    marks = [_marks(one) for one in packed["marks"]]
    return Moment((first, second, third), (marks[0], marks[1], marks[2]), bool(packed["result"]), bool(packed["frame"]))


def _marks(packed: dict) -> Marks:
    drawn = {int(s): _mask(mask) for s, mask in packed["drawn"].items()}
    return Marks(drawn, frozenset(map(int, packed["corrected"])), frozenset(map(int, packed["empty"])))


def _mask(packed: list) -> SliceMask:
    row, column, rows, columns, pixels = packed
    bits = np.frombuffer(zlib.decompress(base64.b64decode(pixels)), dtype=np.uint8)
    return SliceMask(np.unpackbits(bits, count=rows * columns).reshape(rows, columns), (row, column))
