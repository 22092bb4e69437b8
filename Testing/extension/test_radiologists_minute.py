"""The usual way through the panel needs no scrolling and no search, and its result is seen at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from module_in_host import IJK_TO_RAS, MIDDLE, Module, a_body, add_volume, settle


@pytest.fixture
def a_usual_window(the_module: Module) -> Iterator[Module]:
    """1400 x 900, four views."""
    node = the_module.host.core.layout_logic.GetLayoutNode()
    arrangement, size = node.GetViewArrangement(), the_module.host.window.size
    node.SetViewArrangement(node.SlicerLayoutFourUpView)
    the_module.host.window.resize(1400, 900)
    settle()
    yield the_module
    node.SetViewArrangement(arrangement)
    the_module.host.window.resize(size)
    settle()


def is_seen(widget: Any) -> bool:
    """Whether all of a widget is on the screen, without scrolling."""
    return bool(widget.visible) and widget.visibleRegion().boundingRect() == widget.rect


def test_drawing_and_applying_need_no_scrolling(a_usual_window):
    module = a_usual_window
    module.choose(add_volume(a_body(), IJK_TO_RAS, "scan"))
    module.ui.segmentEditorWidget.setActiveEffectByName("Threshold")  # the one with most options
    module.rest()
    ui = module.ui
    for widget in (ui.inputVolumeSelector, ui.applyButton, ui.statusLabel, ui.maskingCheckBox):
        assert is_seen(widget), widget.objectName
    ui.segmentEditorWidget.setActiveEffectByName("Paint")
    module.rest()
    for widget in (ui.applyButton, ui.statusLabel, ui.segmentEditorWidget, ui.supportsTable, ui.suggestSliceButton):
        assert is_seen(widget), widget.objectName
    assert ui.segmentEditorWidget.currentSegmentID() == module.segment_id()  # one can paint at once


def test_first_result_is_seen_in_all_views_and_later_ones_leave_them_alone(a_usual_window):
    module = a_usual_window
    module.choose(add_volume(a_body(), IJK_TO_RAS, "scan"))
    module.paint(MIDDLE, (24, 53), (28, 45))
    views = {name: module.host.layout_manager.sliceWidget(name).mrmlSliceNode() for name in ("Red", "Green", "Yellow")}
    axial = views["Red"].GetSliceOffset()
    module.apply()
    module.until(lambda: has_surface(module))
    drawn = np.argwhere(module.voxels()[MIDDLE]).mean(axis=0)
    right, front, _ = (IJK_TO_RAS @ (drawn[1], drawn[0], MIDDLE, 1.0))[:3]
    assert views["Red"].GetSliceOffset() == pytest.approx(axial)
    assert views["Green"].GetSliceOffset() == pytest.approx(front, abs=12)
    assert views["Yellow"].GetSliceOffset() == pytest.approx(right, abs=12)
    assert module.status.startswith("Done in") and "Structure 1" in module.status and " ml." in module.status

    views["Green"].SetSliceOffset(30.0)
    module.segmentation.RemoveClosedSurfaceRepresentation()
    module.paint(9, (56, 62), (20, 52))
    module.apply()
    assert views["Green"].GetSliceOffset() == pytest.approx(30.0)
    assert not has_surface(module)  # the user switched it off


def has_surface(module: Module) -> bool:
    import slicer

    name = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    return bool(module.segmentation.GetSegmentation().ContainsRepresentation(name))


def test_masking_is_closed_until_it_is_wanted_or_in_use(the_module):
    import slicer

    the_module.choose(add_volume(a_body(), IJK_TO_RAS, "scan"))
    editor, box = the_module.ui.segmentEditorWidget, the_module.ui.maskingCheckBox
    box.checked = False
    assert not editor.maskingSectionVisible
    box.checked = True
    assert editor.maskingSectionVisible
    box.checked = False
    editor.mrmlSegmentEditorNode().SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedOutsideAllSegments)
    the_module.panel.exit()
    the_module.panel.enter()
    assert box.checked and editor.maskingSectionVisible
    editor.mrmlSegmentEditorNode().SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere)
    box.checked = False


def test_sample_and_settings_are_in_the_menus(the_module):
    from PySide6 import QtWidgets

    window = the_module.host.window
    actions = {action.text: action for menu in window.menuBar().actions() for action in menu.menu().actions()}
    actions["Load sample: generated abdomen"].trigger()
    the_module.until(lambda: the_module.volume is not None or _choose_first(the_module))
    assert the_module.volume.GetName().startswith("Generated abdomen")
    actions["Settings…"].trigger()
    settle()
    dialog = next(d for d in window.findChildren(QtWidgets.QDialog) if d.objectName == "SettingsDialog")
    assert dialog.visible
    assert dialog._page.ui.pythonLineEdit.visible
    dialog.reject()
    settle()


def _choose_first(module: Module) -> None:
    import slicer

    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    if nodes:
        module.ui.inputVolumeSelector.setCurrentNode(nodes[0])
