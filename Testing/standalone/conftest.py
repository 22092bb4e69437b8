"""Fixtures of the stand-alone host: one application for all tests, its scene empty for each."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # helpers of this room
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from driving import Mouse, add_volume, settle  # noqa: E402

import momentumseg_standalone  # noqa: E402, F401  # before PySide6, whose enums it chooses


@pytest.fixture(scope="session")
def a_host() -> Iterator[Any]:
    """The application with its window and no scripted module."""
    from momentumseg_standalone.host import start_host

    host = start_host(testing=True, module_folders=[])
    host.show()
    settle()
    yield host
    host.stop()


@pytest.fixture
def an_app(a_host: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The application with an empty scene, four views and the mouse in its usual mode."""
    import slicer

    monkeypatch.setattr(slicer, "app", a_host.app)
    monkeypatch.setattr(slicer, "mrmlScene", a_host.core.scene)
    monkeypatch.setattr(slicer, "modules", a_host.modules)
    a_host.core.scene.Clear(False)
    layout = a_host.core.layout_logic.GetLayoutNode()
    layout.SetViewArrangement(layout.SlicerLayoutFourUpView)
    a_host.core.application_logic.GetInteractionNode().SwitchToViewTransformMode()
    settle()
    yield a_host
    a_host.core.scene.Clear(False)
    settle()


@pytest.fixture
def a_volume(an_app: Any, a_geometry: np.ndarray) -> Any:
    """Int16 volume (12, 40, 48) of 1.5 x 1.5 x 5 mm whose intensities are i + 10 k, shown in the views."""
    k, _, i = np.indices((12, 40, 48))
    return add_volume((i + 10 * k).astype(np.int16), a_geometry)


@pytest.fixture
def a_segmentation(a_volume: Any) -> Any:
    """Segmentation in the volume's grid, with the empty segments "organ" and "vessel"."""
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(a_volume)
    for name in ("organ", "vessel"):
        node.GetSegmentation().AddEmptySegment(name, name)
    return node


@pytest.fixture
def an_editor(an_app: Any, a_volume: Any, a_segmentation: Any) -> Iterator[Any]:
    """Segment editor on the segmentation, "organ" selected, a brush of 12 mm."""
    import slicer

    editor = slicer.qMRMLSegmentEditorWidget()
    editor.setMRMLScene(slicer.mrmlScene)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    editor.setMRMLSegmentEditorNode(node)
    editor.setSegmentationNode(a_segmentation)
    editor.setSourceVolumeNode(a_volume)
    editor.setCurrentSegmentID("organ")
    node.SetAttribute("BrushDiameterIsRelative", "0")
    node.SetAttribute("BrushAbsoluteDiameter", "12")
    editor.setupViewObservations()
    yield editor
    editor.removeViewObservations()
    editor.setMRMLSegmentEditorNode(None)
    editor.deleteLater()


@pytest.fixture
def axial(an_app: Any) -> Mouse:
    """The mouse in the axial view."""
    return Mouse(an_app.layout_manager.sliceWidget("Red").sliceView())


@pytest.fixture
def coronal(an_app: Any) -> Mouse:
    """The mouse in the coronal view."""
    return Mouse(an_app.layout_manager.sliceWidget("Green").sliceView())
