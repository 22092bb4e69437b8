"""qMRMLNodeComboBox chooses, makes, renames and deletes nodes as 3D Slicer's does."""

from __future__ import annotations

from typing import Any

import pytest

VOLUME = "vtkMRMLScalarVolumeNode"


@pytest.fixture
def box(an_app: Any) -> Any:
    import slicer

    made = slicer.qMRMLNodeComboBox()
    made.nodeTypes = [VOLUME]
    made.setMRMLScene(slicer.mrmlScene)
    yield made
    made.delete()


def add(name: str, class_name: str = VOLUME) -> Any:
    import slicer

    return slicer.mrmlScene.AddNewNodeByClass(class_name, name)


def texts(box: Any) -> list[str]:
    """Return what the list shows, separators left out."""
    import qt

    inner = box.findChild(qt.QComboBox)
    return [inner.itemText(row) for row in range(inner.count) if inner.itemText(row)]


def choose(box: Any, text: str) -> None:
    """Choose an entry as the user does."""
    import qt

    inner = box.findChild(qt.QComboBox)
    row = inner.findText(text)
    inner.currentIndex = row
    inner.activated.emit(row)


def test_first_node_is_chosen_unless_none_may_be(box: Any) -> None:
    first = add("CT")
    add("MR")
    assert box.currentNode() is first
    box.setCurrentNode(None)
    box.noneEnabled = True
    box.setCurrentNode(None)
    assert (box.currentNode(), box.currentNodeID) == (None, "")


def test_only_nodes_of_the_types_are_listed(box: Any) -> None:
    add("CT")
    add("labels", "vtkMRMLLabelMapVolumeNode")
    add("model", "vtkMRMLModelNode")
    hidden = add("hidden")
    hidden.HideFromEditorsOn()
    assert [box.nodeFromIndex(i).GetName() for i in range(box.nodeCount())] == ["CT", "labels"]
    box.showChildNodeTypes = False
    assert box.nodeCount() == 1
    box.showHidden = True
    assert box.nodeCount() == 2
    box.showHidden = False  # each slice view has a hidden model
    box.nodeTypes = ["vtkMRMLModelNode"]
    assert box.currentNode().GetName() == "model"


def test_attribute_selects_nodes(box: Any) -> None:
    add("CT")
    marked = add("CT marked")
    marked.SetAttribute("Use", "1")
    box.addAttribute(VOLUME, "Use", "1")
    assert (box.nodeCount(), box.currentNode()) == (1, marked)
    box.removeAttribute(VOLUME, "Use")
    assert box.nodeCount() == 2


def test_another_node_is_chosen_when_the_current_one_goes(box: Any) -> None:
    import slicer

    first, second = add("CT"), add("MR")
    changes: list[Any] = []
    box.connect("currentNodeChanged(vtkMRMLNode*)", changes.append)
    slicer.mrmlScene.RemoveNode(first)
    slicer.mrmlScene.RemoveNode(second)
    assert changes == [second, None]
    assert box.nodeCount() == 0


def test_closing_the_scene_leaves_nothing_chosen(box: Any) -> None:
    import slicer

    add("CT")
    slicer.mrmlScene.Clear(False)
    assert (box.currentNode(), box.nodeCount()) == (None, 0)


def test_new_name_is_shown_and_told(box: Any) -> None:
    node = add("CT")
    names: list[str] = []
    box.connect("currentNodeRenamed(QString)", names.append)
    node.SetName("MR")
    assert names == ["MR"]
    assert texts(box)[0] == "MR"


def test_user_makes_and_deletes_nodes(box: Any) -> None:
    import slicer

    box.noneEnabled, box.renameEnabled = True, True
    box.setNodeTypeLabel("Scan", VOLUME)
    box.baseName = "My scan"
    by_user: list[Any] = []
    box.connect("nodeAddedByUser(vtkMRMLNode*)", by_user.append)
    assert texts(box) == ["None", "Create new Scan", "Create new Scan as..."]
    choose(box, "Create new Scan")
    node = box.currentNode()
    assert (by_user, node.GetName(), node.GetClassName()) == ([node], "My scan", VOLUME)
    choose(box, "Delete current Scan")
    assert (box.currentNode(), slicer.mrmlScene.GetNumberOfNodesByClass(VOLUME)) == (None, 0)


def test_node_that_is_not_listed_cannot_be_chosen(box: Any) -> None:
    add("CT")
    box.setCurrentNode(add("model", "vtkMRMLModelNode"))
    assert box.currentNode() is None
    box.setCurrentNodeID("vtkMRMLScalarVolumeNode99")
    assert box.currentNode() is None


def test_deleted_box_ends_its_observation(an_app: Any) -> None:
    import gc

    import slicer

    box = slicer.qMRMLNodeComboBox()
    box.nodeTypes = [VOLUME]
    box.setMRMLScene(slicer.mrmlScene)
    node = add("CT")
    box.delete()
    del box
    gc.collect()
    node.SetName("MR")  # would call into the deleted widget
    slicer.mrmlScene.RemoveNode(node)
