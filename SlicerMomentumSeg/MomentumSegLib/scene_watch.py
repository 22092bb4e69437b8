"""Tells when nodes that a run needs leave the scene."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any


class SceneWatch:
    """Observes a scene for the nodes of a run. Nodes are known by their IDs only.

    Args:
        scene: the MRML scene.
        on_removed: called with the ID of a watched node that is gone.
        on_close: called when the scene begins to close, while its nodes are still there.
    """

    def __init__(self, scene: Any, *, on_removed: Callable[[str], None], on_close: Callable[[], None]) -> None:
        self._scene = scene
        self._on_removed = on_removed
        self._on_close = on_close
        self._watched: set[str] = set()
        # The scene must not keep this object alive: it may be closed, as the last of all, when Python ends.
        self._tags = [
            scene.AddObserver(scene.NodeRemovedEvent, weakly(self._node_removed)),
            scene.AddObserver(scene.StartCloseEvent, weakly(self._close)),
        ]

    def watch(self, node_ids: Iterable[str]) -> None:
        """Watch these nodes instead of those before."""
        self._watched = set(node_ids)

    def stop(self) -> None:
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._tags = []

    def _node_removed(self, caller: Any, event: str) -> None:
        for node_id in [node_id for node_id in self._watched if self._scene.GetNodeByID(node_id) is None]:
            self._watched.discard(node_id)
            self._on_removed(node_id)

    def _close(self, caller: Any, event: str) -> None:
        self._watched.clear()
        self._on_close()


def weakly(method: Callable[[Any, str], None]) -> Callable[[Any, str], None]:
    """An observer that does not keep the object of ``method`` alive."""
    reference = weakref.WeakMethod(method)

    def call(caller: Any, event: str) -> None:
        alive = reference()
        if alive is not None:
            alive(caller, event)

    return call
