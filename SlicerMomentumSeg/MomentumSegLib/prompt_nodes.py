"""Prompts as markups of the scene: points inside, points outside, boxes; each segment has its own.

They are saved with the scene, can be moved and renamed like any markup, and are no part of the segmentation, so that
its Undo leaves them alone. A node reference says which segmentation they belong to, attributes say which segment and
what they mean. The order in which prompts were given is kept in the points' descriptions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import slicer

from MomentumSegLib.scene_watch import weakly
from MomentumSegLib.slice_geometry import nodes_of_class
from MomentumSegLib.translation import tr as _

POSITIVE, NEGATIVE, BOX = "positive", "negative", "box"

_KIND = "MomentumSeg.Prompt"
_SEGMENT = "MomentumSeg.Segment"
_ORDER = "MomentumSeg.Order"
_SEGMENTATION_ROLE = "MomentumSeg.Segmentation"

_POINTS = "vtkMRMLMarkupsFiducialNode"
_ROI = "vtkMRMLMarkupsROINode"
_COLORS = {POSITIVE: (0.20, 0.85, 0.30), NEGATIVE: (0.95, 0.25, 0.20), BOX: (0.95, 0.80, 0.25)}
_SUFFIX = {POSITIVE: "+", NEGATIVE: "-", BOX: "box"}
_GLYPH_PERCENT = 2.5  # of the view
_HANDLE_PERCENT = 1.0
_DESCRIPTION = re.compile(r"prompt (\d+)(?:, choice (\d+))?")


class PromptNodes:
    """The prompt nodes of a scene.

    Args:
        scene: the MRML scene.
        on_changed: called when a prompt was given, moved or removed; not for what is done here.
    """

    def __init__(self, scene: Any, on_changed: Callable[[], None]) -> None:
        self._scene = scene
        self._on_changed = on_changed
        self._is_quiet = False
        self._observed: dict[str, tuple[Any, list[int]]] = {}
        self._scene_tags = [scene.AddObserver(scene.NodeRemovedEvent, weakly(self._node_removed))]

    def stop(self) -> None:
        """Let go of the scene."""
        for tag in self._scene_tags:
            self._scene.RemoveObserver(tag)
        self._scene_tags = []
        for node_id in list(self._observed):
            self._forget(node_id)

    # Finding and making

    def of(self, segmentation_id: str, segment_id: str) -> list[Any]:
        """Prompt nodes of a segment, observed from now on."""
        return [node for node in self._all() if _owner(node) == (segmentation_id, segment_id)]

    def points_node(self, segmentation_node: Any, segment_id: str, kind: str) -> Any:
        """The node of the points inside (`POSITIVE`) or outside (`NEGATIVE`) of a segment, made when there is none."""
        for node in self.of(segmentation_node.GetID(), segment_id):
            if node.GetAttribute(_KIND) == kind:
                return node
        return self._new(_POINTS, segmentation_node, segment_id, kind)

    def new_box(self, segmentation_node: Any, segment_id: str) -> Any:
        """A box to be placed; boxes of the segment that were never placed go."""
        for node in self.of(segmentation_node.GetID(), segment_id):
            if node.GetAttribute(_KIND) == BOX and not node.GetControlPointPlacementComplete():
                self._scene.RemoveNode(node)
        return self._new(_ROI, segmentation_node, segment_id, BOX)

    def show_only(self, segmentation_id: str, segment_id: str) -> None:
        """Show the prompts of one segment and hide those of all others; empty IDs: hide all."""
        for node in self._all():
            display, visible = node.GetDisplayNode(), _owner(node) == (segmentation_id, segment_id)
            if display is not None and bool(display.GetVisibility()) != visible:
                display.SetVisibility(visible)

    def remove(self, segmentation_id: str, segment_id: str) -> None:
        """Take all prompts of a segment out of the scene."""
        for node in self.of(segmentation_id, segment_id):
            self._scene.RemoveNode(node)

    def remove_orphans(self) -> None:
        """Take prompts of deleted segmentations and segments out of the scene."""
        for node in self._all():
            segmentation = node.GetNodeReference(_SEGMENTATION_ROLE)
            if segmentation is None or segmentation.GetSegmentation().GetSegment(node.GetAttribute(_SEGMENT)) is None:
                self._scene.RemoveNode(node)

    def _new(self, class_name: str, segmentation_node: Any, segment_id: str, kind: str) -> Any:
        segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
        name = self._scene.GenerateUniqueName(f"{segment.GetName()} {_SUFFIX[kind]}")
        with self.quiet():
            node = self._scene.AddNewNodeByClass(class_name, name)
            node.SetAttribute(_KIND, kind)
            node.SetAttribute(_SEGMENT, segment_id)
            node.SetNodeReferenceID(_SEGMENTATION_ROLE, segmentation_node.GetID())
            node.CreateDefaultDisplayNodes()
            _style(node, kind)
        self._observe(node)
        return node

    def _all(self) -> list[Any]:
        nodes = [node for node in nodes_of_class(self._scene, "vtkMRMLMarkupsNode") if node.GetAttribute(_KIND)]
        for node in nodes:
            self._observe(node)
        return nodes

    # Order and choice

    def number_new(self, nodes: list[Any]) -> None:
        """Give every prompt that has no number yet the next one."""
        last = max((order for node in nodes for order in _orders(node)), default=0)
        with self.quiet():
            for node in nodes:
                if kind_of(node) == BOX:
                    if not node.GetAttribute(_ORDER) and node.GetControlPointPlacementComplete():
                        last += 1
                        node.SetAttribute(_ORDER, str(last))
                    continue
                for index in range(node.GetNumberOfControlPoints()):
                    if is_defined(node, index) and order_of_point(node, index) == 0:
                        last += 1
                        node.SetNthControlPointDescription(index, f"prompt {last}")

    def choose(self, node: Any, index: int, choice: int) -> None:
        """Take another of the masks that an ambiguous click is offered."""
        node.SetNthControlPointDescription(index, f"prompt {order_of_point(node, index)}, choice {choice}")
        self._changed(None, "")

    def remove_last(self, segmentation_id: str, segment_id: str) -> bool:
        """Take the prompt that was given last out of the scene; False when there is none."""
        nodes = self.of(segmentation_id, segment_id)
        self.number_new(nodes)
        last = max((order for node in nodes for order in _orders(node)), default=0)
        for node in nodes if last else ():
            if kind_of(node) == BOX and int(node.GetAttribute(_ORDER) or 0) == last:
                self._scene.RemoveNode(node)
                return True
            for index in range(node.GetNumberOfControlPoints() if kind_of(node) != BOX else 0):
                if order_of_point(node, index) == last:
                    node.RemoveNthControlPoint(index)
                    return True
        return False

    # Changes

    def _observe(self, node: Any) -> None:
        if node.GetID() in self._observed:
            return
        changed = weakly(self._changed)
        events = (
            node.PointPositionDefinedEvent,
            node.PointPositionUndefinedEvent,
            node.PointModifiedEvent,
            node.PointRemovedEvent,
        )
        self._observed[node.GetID()] = (node, [node.AddObserver(event, changed) for event in events])

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """What is done to the nodes here is no change by the user."""
        was_quiet, self._is_quiet = self._is_quiet, True
        try:
            yield
        finally:
            self._is_quiet = was_quiet

    def _forget(self, node_id: str) -> None:
        node, tags = self._observed.pop(node_id)
        for tag in tags:
            node.RemoveObserver(tag)

    def _node_removed(self, caller: Any, event: str) -> None:
        gone = [node_id for node_id in self._observed if self._scene.GetNodeByID(node_id) is None]
        for node_id in gone:
            self._forget(node_id)
        if gone:
            self._changed(None, "")

    def _changed(self, caller: Any, event: str) -> None:
        if not self._is_quiet:
            self._on_changed()


def kind_of(node: Any) -> str:
    """`POSITIVE`, `NEGATIVE` or `BOX`."""
    return node.GetAttribute(_KIND) or ""


def is_defined(node: Any, index: int) -> bool:
    """Whether a point was placed; the one that follows the mouse in place mode was not."""
    return node.GetNthControlPointPositionStatus(index) == node.PositionDefined


def order_of_point(node: Any, index: int) -> int:
    """When a point was given, counted from 1; 0: not known yet."""
    found = _DESCRIPTION.fullmatch(node.GetNthControlPointDescription(index) or "")
    return int(found[1]) if found else 0


def order_of_box(node: Any) -> int:
    """When a box was given, counted from 1."""
    return int(node.GetAttribute(_ORDER) or 0)


def choice_of_point(node: Any, index: int) -> int | None:
    """Which of the masks that an ambiguous click is offered was chosen; None: none in particular."""
    found = _DESCRIPTION.fullmatch(node.GetNthControlPointDescription(index) or "")
    return int(found[2]) if found and found[2] else None


def _owner(node: Any) -> tuple[str, str]:
    return node.GetNodeReferenceID(_SEGMENTATION_ROLE) or "", node.GetAttribute(_SEGMENT) or ""


def _orders(node: Any) -> list[int]:
    if kind_of(node) == BOX:
        return [order_of_box(node)]
    return [order_of_point(node, index) for index in range(node.GetNumberOfControlPoints())]


def _style(node: Any, kind: str) -> None:
    display = node.GetDisplayNode()
    for set_color in (display.SetColor, display.SetSelectedColor):
        set_color(*_COLORS[kind])
    display.SetPropertiesLabelVisibility(False)
    display.SetPointLabelsVisibility(False)
    if kind == BOX:
        display.SetFillOpacity(0.05)
        display.SetInteractionHandleScale(_HANDLE_PERCENT)
        return
    # Not told apart by colour alone: a plus sign, and a disk as on a stop sign.
    glyphs = slicer.vtkMRMLMarkupsDisplayNode
    display.SetGlyphType(glyphs.ThickCross2D if kind == POSITIVE else glyphs.Circle2D)
    display.SetGlyphScale(_GLYPH_PERCENT)
    display.SetActiveColor(*(0.5 + 0.5 * value for value in _COLORS[kind]))


def begin_placing(scene: Any, node: Any, *, persistent: bool) -> None:
    """Have clicks into the views place points of a node; ``persistent``: until another mouse mode is chosen."""
    selection, interaction = _mouse_nodes(scene)
    if selection is None or interaction is None:
        return
    selection.SetReferenceActivePlaceNodeClassName(node.GetClassName())
    selection.SetActivePlaceNodeID(node.GetID())
    if persistent:
        interaction.SwitchToPersistentPlaceMode()
    else:
        interaction.SwitchToSinglePlaceMode()


def end_placing(scene: Any) -> None:
    """Clicks into the views place nothing any more."""
    interaction = _mouse_nodes(scene)[1]
    if interaction is not None and interaction.GetCurrentInteractionMode() == interaction.Place:
        interaction.SwitchToViewTransformMode()


def placed_node(scene: Any) -> Any:
    """The prompt node that a click into the views would add to; None: none."""
    selection, interaction = _mouse_nodes(scene)
    if selection is None or interaction is None or interaction.GetCurrentInteractionMode() != interaction.Place:
        return None
    node = scene.GetNodeByID(selection.GetActivePlaceNodeID() or "")
    return node if node is not None and node.GetAttribute(_KIND) else None


def _mouse_nodes(scene: Any) -> tuple[Any, Any]:
    return (
        scene.GetNodeByID("vtkMRMLSelectionNodeSingleton"),
        scene.GetNodeByID("vtkMRMLInteractionNodeSingleton"),
    )


def unplaced_sentence() -> str:
    """What to do when there is no prompt."""
    return _("There is no prompt yet: click into the structure, or draw a box around it.")
