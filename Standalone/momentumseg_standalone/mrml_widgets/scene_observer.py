"""Watching a scene from a widget: one callback for all that changes which nodes there are or how they are called."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import shiboken6
import slicer
from PySide6 import QtCore
from vtkmodules.util.misc import calldata_type
from vtkmodules.util.vtkConstants import VTK_OBJECT
from vtkmodules.vtkCommonCore import vtkCommand

NodeCallback = Callable[[Any], None]


class SceneObserver:
    """Calls a widget's methods when nodes come, go or change; ends by itself when the widget is deleted.

    The methods are held weakly, so that observing keeps no widget alive.
    """

    def __init__(
        self, owner: QtCore.QObject, added: NodeCallback, removed: NodeCallback, changed: Callable[[], None]
    ) -> None:
        """Take the methods of `owner` to call: a node was added, is removed, anything else changed (batch, import)."""
        self._owner = weakref.ref(owner)
        self._added, self._removed = weakref.WeakMethod(added), weakref.WeakMethod(removed)
        self._changed = weakref.WeakMethod(changed)
        self._scene: Any = None
        self._tags: list[int] = []
        self._node_tags: dict[Any, int] = {}

    def observe_scene(self, scene: Any) -> None:
        """Watch another scene, None for none."""
        self.observe_nodes([])
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._tags, self._scene = [], scene
        if scene is None:
            return
        events = slicer.vtkMRMLScene
        for event, method in ((events.NodeAddedEvent, self._added), (events.NodeRemovedEvent, self._removed)):
            self._tags.append(scene.AddObserver(event, self._with_node(method)))
        for event in (events.EndBatchProcessEvent, events.EndCloseEvent, events.EndImportEvent):
            self._tags.append(scene.AddObserver(event, self._without_node()))

    def observe_nodes(self, nodes: list[Any]) -> None:
        """Watch the names and attributes of exactly these nodes."""
        for node in [n for n in self._node_tags if n not in nodes]:
            node.RemoveObserver(self._node_tags.pop(node))
        for node in nodes:
            if node not in self._node_tags:
                self._node_tags[node] = node.AddObserver(vtkCommand.ModifiedEvent, self._without_node())

    def _alive(self) -> bool:
        owner = self._owner()
        return owner is not None and shiboken6.isValid(owner)

    def _with_node(self, method: weakref.WeakMethod[NodeCallback]) -> Callable[..., None]:
        observer = weakref.ref(self)

        @calldata_type(VTK_OBJECT)
        def call(caller: Any, event: str, node: Any) -> None:
            this = observer()
            target = method()
            if this is not None and target is not None and this._alive():
                target(node)

        return call

    def _without_node(self) -> Callable[..., None]:
        observer = weakref.ref(self)

        def call(caller: Any, event: str) -> None:
            this = observer()
            target = this._changed() if this is not None and this._alive() else None
            if target is not None:
                target()

        return call
