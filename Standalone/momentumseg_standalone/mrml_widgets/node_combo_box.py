"""qMRMLNodeComboBox: choose a node of the scene, or make, rename and delete one."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from momentumseg_standalone.ctk_widgets.properties import forwarded, stored
from momentumseg_standalone.mrml_widgets.node_filter import NodeFilter
from momentumseg_standalone.mrml_widgets.scene_observer import SceneObserver
from momentumseg_standalone.pythonqt.rules import stand_in

_NODE_ID_ROLE = QtCore.Qt.ItemDataRole.UserRole
_ACTION_ROLE = QtCore.Qt.ItemDataRole.UserRole + 1


def _filter_property(property_type: type | str, name: str) -> QtCore.Property:
    """A property of the node filter; a change of it lists the nodes anew."""

    def write(self: Any, value: Any) -> None:
        setattr(self._filter, name, list(value) if property_type == "QStringList" else value)
        self._list_nodes()

    return QtCore.Property(property_type, lambda self: getattr(self._filter, name), write)  # type: ignore[arg-type]


@stand_in
class qMRMLNodeComboBox(QtWidgets.QWidget):  # noqa: N801 - the name of the class it plays
    """A combo box of the scene's nodes of some types, with entries that make, rename and delete nodes."""

    currentNodeChanged = QtCore.Signal((object,), (bool,))
    currentNodeIDChanged = QtCore.Signal(str)
    nodeActivated = QtCore.Signal(object)
    nodeAdded = QtCore.Signal(object)
    nodeAddedByUser = QtCore.Signal(object)
    nodeAboutToBeRemoved = QtCore.Signal(object)
    nodeAboutToBeEdited = QtCore.Signal(object)
    currentNodeRenamed = QtCore.Signal(str)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        """Make a box without a scene."""
        self._scene: Any = None
        self._filter = NodeFilter()
        self._current_id = ""
        self._current_name = ""
        self._listed: list[tuple[str, str]] = []
        self._base_name = ""
        self._none_enabled, self._add_enabled, self._remove_enabled = False, True, True
        self._edit_enabled, self._rename_enabled, self._select_created = False, False, True
        self._none_text = "None"
        self._singleton_tag = ""
        self._type_labels: dict[str, str] = {}
        self._menu_actions: list[QtGui.QAction] = []
        super().__init__(parent)
        self._combo_box = QtWidgets.QComboBox()
        self._combo_box.setEnabled(False)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo_box)
        self.setFocusProxy(self._combo_box)
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
        self._combo_box.connect("activated(int)", self._on_activated)
        self._observer = SceneObserver(self, self._on_node_added, self._on_node_removed, self._list_nodes)

    # --- the scene

    def mrmlScene(self) -> Any:
        """Return the vtkMRMLScene or None."""
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        """Set the vtkMRMLScene (None for none); the first node becomes current unless "none" may be chosen."""
        if scene is self._scene:
            return
        self._scene = scene
        self._combo_box.setEnabled(scene is not None)
        self._observer.observe_scene(scene)
        self._list_nodes()

    def _on_node_added(self, node: Any) -> None:
        if self._filter.matches(node):
            self._list_nodes()
            self.nodeAdded.emit(node)

    def _on_node_removed(self, node: Any) -> None:
        if any(node.GetID() == node_id for node_id, _ in self._listed):
            self.nodeAboutToBeRemoved.emit(node)
            self._list_nodes()

    def _list_nodes(self) -> None:
        """Show the scene's nodes; keep the current one, or choose another where it has gone."""
        if self._scene is not None and self._scene.IsBatchProcessing():
            return
        nodes = self._filter.nodes_of(self._scene)
        self._observer.observe_nodes(nodes)
        self._listed = [(node.GetID(), node.GetName() or "") for node in nodes]
        names = dict(self._listed)
        if self._current_id not in names:
            fallback = self._listed[0][0] if self._listed and not self._none_enabled else ""
            self._make_current(fallback)
        self._fill_combo_box()
        if self._current_id and names[self._current_id] != self._current_name:
            self._current_name = names[self._current_id]
            self.currentNodeRenamed.emit(self._current_name)

    def _make_current(self, node_id: str) -> None:
        if node_id == self._current_id:
            return
        self._current_id = node_id
        self._current_name = dict(self._listed).get(node_id, "")
        self._show_current()
        node = self.currentNode()
        self.currentNodeChanged[object].emit(node)
        self.currentNodeChanged[bool].emit(node is not None)
        self.currentNodeIDChanged.emit(node_id)

    # --- the list

    def _fill_combo_box(self) -> None:
        box = self._combo_box
        box.blockSignals(True)
        box.clear()
        if self._none_enabled:
            box.addItem(self._none_text, "")
        for node_id, name in self._listed:
            box.addItem(name, node_id)
        entries = self._action_entries()
        if entries and box.count:
            box.insertSeparator(box.count)
        for text, action in entries:
            box.addItem(text)
            box.setItemData(box.count - 1, action, _ACTION_ROLE)
        box.blockSignals(False)
        self._show_current()

    def _show_current(self) -> None:
        self._combo_box.setCurrentIndex(self._row(self._current_id))

    def _row(self, node_id: str) -> int:
        """Return the row of a node, that of "none" for no node, -1 where there is none."""
        ids = [self._combo_box.itemData(row, _NODE_ID_ROLE) for row in range(self._combo_box.count)]
        return ids.index(node_id) if node_id in ids else -1

    def _action_entries(self) -> list[tuple[str, str]]:
        entries = []
        if self._add_enabled:
            entries += [(f"Create new {self.nodeTypeLabel(t)}", f"add:{t}") for t in self._filter.node_types]
            entries += [(f"Create new {self.nodeTypeLabel(t)} as...", f"add as:{t}") for t in self._filter.node_types]
        label = self.nodeTypeLabel(self._filter.node_types[0]) if self._filter.node_types else "node"
        if self._current_id or self._listed:
            entries += [(f"Rename current {label}...", "rename:")] if self._rename_enabled else []
            entries += [(f"Edit current {label}...", "edit:")] if self._edit_enabled else []
            entries += [(f"Delete current {label}", "remove:")] if self._remove_enabled else []
        return entries + [(a.text, f"menu:{i}") for i, a in enumerate(self._menu_actions)]

    def _on_activated(self, row: int) -> None:
        action = self._combo_box.itemData(row, _ACTION_ROLE)
        if not action:
            self._make_current(self._combo_box.itemData(row, _NODE_ID_ROLE) or "")
            self.nodeActivated.emit(self.currentNode())
            return
        self._show_current()
        kind, _, argument = action.partition(":")
        if kind == "add":
            self.addNode(argument)
        elif kind == "add as":
            self._add_node_as(argument)
        elif kind == "menu":
            self._menu_actions[int(argument)].trigger()
        else:
            {"rename": self.renameCurrentNode, "edit": self.editCurrentNode, "remove": self.removeCurrentNode}[kind]()

    # --- what a caller asks

    def currentNode(self) -> Any:
        """Return the chosen node or None."""
        return self._scene.GetNodeByID(self._current_id) if self._scene is not None and self._current_id else None

    def setCurrentNode(self, node: Any) -> None:
        """Choose a node, by itself or by its ID; one that is not in the list, and None, choose nothing."""
        self.setCurrentNodeID(node if isinstance(node, str) else node.GetID() if node is not None else "")

    def setCurrentNodeID(self, node_id: str) -> None:
        """Choose the node with this ID; an ID that is not in the list chooses nothing."""
        self._make_current(node_id if any(node_id == i for i, _ in self._listed) else "")

    def setCurrentNodeIndex(self, index: int) -> None:
        """Choose the node at this place of the list."""
        self._make_current(self._listed[index][0] if 0 <= index < len(self._listed) else "")

    def nodeCount(self) -> int:
        """Return how many nodes are listed."""
        return len(self._listed)

    def nodeFromIndex(self, index: int) -> Any:
        """Return the node at this place of the list, None outside it."""
        return self._scene.GetNodeByID(self._listed[index][0]) if 0 <= index < len(self._listed) else None

    def setNodeTypeLabel(self, label: str, node_type: str) -> None:
        """Say how "Create new ..." calls nodes of a type."""
        self._type_labels[node_type] = label
        self._fill_combo_box()

    def nodeTypeLabel(self, node_type: str) -> str:
        """Return how nodes of a type are called."""
        if node_type in self._type_labels:
            return self._type_labels[node_type]
        if self._scene is None:
            return node_type
        node = self._scene.CreateNodeByClass(node_type)
        if node is None:
            return node_type
        node.UnRegister(None)
        return node.GetNodeTagName() if not hasattr(node, "GetTypeDisplayName") else node.GetTypeDisplayName()

    def addAttribute(self, node_type: str, name: str, value: Any = None) -> None:
        """List nodes of a type only if they have this attribute (with this value, if one is given)."""
        self._filter.add_attribute(node_type, name, None if value is None else str(value))
        self._list_nodes()

    def removeAttribute(self, node_type: str, name: str) -> None:
        """Take back `addAttribute`."""
        self._filter.remove_attribute(node_type, name)
        self._list_nodes()

    def addMenuAction(self, action: QtGui.QAction) -> None:
        """Add an entry of one's own below the nodes."""
        self._menu_actions.append(action)
        self._fill_combo_box()

    # --- changing the scene

    def addNode(self, node_type: str = "") -> Any:
        """Make a node (of the first type unless one is named) and return it."""
        if self._scene is None or not self._filter.node_types:
            return None
        return self._add_named_node(node_type or self._filter.node_types[0], self._base_name)

    def _add_node_as(self, node_type: str) -> None:
        label = self.nodeTypeLabel(node_type)
        name, accepted = QtWidgets.QInputDialog.getText(self, f"Create new {label}", "New name:")
        if accepted and name:
            self._add_named_node(node_type, name)

    def _add_named_node(self, node_type: str, name: str) -> Any:
        node = self._scene.CreateNodeByClass(node_type)
        node.UnRegister(None)
        node.SetName(self._scene.GenerateUniqueName(name or self.nodeTypeLabel(node_type)))
        for attribute, value in self._filter.attributes_of(node_type).items():
            node.SetAttribute(attribute, value or "1")
        self._scene.AddNode(node)
        if self._select_created:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        """Delete the chosen node from the scene."""
        node = self.currentNode()
        if node is not None:
            self._scene.RemoveNode(node)

    def editCurrentNode(self) -> None:
        """Ask whoever listens to show the node's own module."""
        self.nodeAboutToBeEdited.emit(self.currentNode())

    def renameCurrentNode(self) -> None:
        """Ask for another name."""
        node = self.currentNode()
        if node is None:
            return
        name, accepted = QtWidgets.QInputDialog.getText(self, "Rename", "New name:", text=node.GetName())
        if accepted and name:
            node.SetName(name)

    currentNodeID = QtCore.Property(str, lambda self: self._current_id, setCurrentNodeID)
    currentNodeId = QtCore.Property(str, lambda self: self._current_id, setCurrentNodeID)
    nodeTypes = _filter_property("QStringList", "node_types")
    showHidden = _filter_property(bool, "show_hidden")
    showChildNodeTypes = _filter_property(bool, "show_child_types")
    hideChildNodeTypes = _filter_property("QStringList", "hidden_child_types")
    baseName = stored(str, "_base_name")
    noneEnabled = stored(bool, "_none_enabled", _list_nodes)
    addEnabled = stored(bool, "_add_enabled", _fill_combo_box)
    removeEnabled = stored(bool, "_remove_enabled", _fill_combo_box)
    editEnabled = stored(bool, "_edit_enabled", _fill_combo_box)
    renameEnabled = stored(bool, "_rename_enabled", _fill_combo_box)
    interactionNodeSingletonTag = stored(str, "_singleton_tag")
    selectNodeUponCreation = stored(bool, "_select_created")
    noneDisplay = stored(str, "_none_text", _fill_combo_box)
    sizeAdjustPolicy = forwarded(QtWidgets.QComboBox.SizeAdjustPolicy, "_combo_box", "sizeAdjustPolicy")
