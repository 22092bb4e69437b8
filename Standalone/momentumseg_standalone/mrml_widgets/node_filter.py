"""Which nodes of a scene a selector lists."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class NodeFilter:
    """Types, hidden nodes and attributes.

    Attributes:
        node_types: class names; a node of a derived class matches too, unless `show_child_types` is off.
        show_hidden: whether nodes that are hidden from editors are listed.
        show_child_types: whether derived classes match.
        hidden_child_types: class names that never match.
    """

    node_types: list[str] = field(default_factory=list)
    show_hidden: bool = False
    show_child_types: bool = True
    hidden_child_types: list[str] = field(default_factory=list)
    _attributes: dict[str, dict[str, str | None]] = field(default_factory=dict)

    def nodes_of(self, scene: Any) -> list[Any]:
        """Return the matching nodes of a vtkMRMLScene (None: none), in the order of the scene."""
        if scene is None:
            return []
        nodes = (scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes()))
        return [node for node in nodes if self.matches(node)]

    def matches(self, node: Any) -> bool:
        """Whether the node would be listed."""
        if node.GetHideFromEditors() and not self.show_hidden:
            return False
        if any(node.IsA(t) for t in self.hidden_child_types):
            return False
        for node_type in self.node_types:
            fits = node.IsA(node_type) if self.show_child_types else node.GetClassName() == node_type
            if fits and self._has_attributes(node, node_type):
                return True
        return False

    def attributes_of(self, node_type: str) -> dict[str, str | None]:
        """Return the attributes that nodes of this type must have; None stands for any value."""
        return dict(self._attributes.get(node_type, {}))

    def add_attribute(self, node_type: str, name: str, value: str | None) -> None:
        """Match nodes of this type only if they have the attribute (with this value, unless it is None)."""
        self._attributes.setdefault(node_type, {})[name] = value

    def remove_attribute(self, node_type: str, name: str) -> None:
        """Take back `add_attribute`."""
        self._attributes.get(node_type, {}).pop(name, None)

    def _has_attributes(self, node: Any, node_type: str) -> bool:
        wanted = self._attributes.get(node_type, {})
        found = {name: node.GetAttribute(name) for name in wanted}
        return all(found[n] is not None and (v is None or found[n] == v) for n, v in wanted.items())
