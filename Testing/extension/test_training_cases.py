"""Cases of the scene: guessed as a person would, kept with the scene, and what is wrong with them in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from a_scene import new_scene
from training_scene import GRID, ORGAN, SHAPE, TUMOUR, add_scan, add_segmentation, draw, two_cases

from MomentumSegLib.errors import UserError
from MomentumSegLib.training_case_voxels import label_names, labelmap_of, missing_sentences
from MomentumSegLib.training_cases import (
    SceneCase,
    case_names,
    cases_problem,
    guess_cases,
    patient_of,
    read_cases,
    with_new_scans,
    write_cases,
)
from MomentumSegLib.volume_data import read_volume_geometry


@pytest.fixture
def a_scene() -> Iterator[Any]:
    scene, logics = new_scene()
    yield scene
    scene.Clear(True)
    del logics


def test_segmentation_that_refers_to_a_scan_is_its_own_whatever_it_is_called(a_scene: Any) -> None:
    first, second = add_scan(a_scene, "CT 1"), add_scan(a_scene, "CT 2")
    of_first = add_segmentation(a_scene, first, {"organ": ORGAN}, name="CT 2 segmentation")
    (one, two) = guess_cases(a_scene)
    assert (one.volume_id, one.segmentation_id, one.is_used) == (first.GetID(), of_first.GetID(), True)
    assert (two.volume_id, two.segmentation_id, two.is_used) == (second.GetID(), "", False)


@pytest.mark.parametrize(
    ("scan", "name"), [("liver_007", "liver_007_seg"), ("CT 3", "Segmentation CT 3"), ("a.nii.gz", "a-label.nii.gz")]
)
def test_segmentation_of_the_same_name_is_found(a_scene: Any, scan: str, name: str) -> None:
    volume = add_scan(a_scene, scan)
    node = add_segmentation(a_scene, volume, {"organ": ORGAN}, name=name)
    node.SetNodeReferenceID(node.GetReferenceImageGeometryReferenceRole(), None)
    assert guess_cases(a_scene)[0].segmentation_id == node.GetID()


def test_empty_segmentation_is_shown_but_not_ticked(a_scene: Any) -> None:
    node = add_segmentation(a_scene, add_scan(a_scene, "CT 1"), {"organ": None})
    (case,) = guess_cases(a_scene)
    assert (case.segmentation_id, case.is_used) == (node.GetID(), False)


def test_label_maps_and_what_the_modules_make_are_no_scans(a_scene: Any) -> None:
    add_scan(a_scene, "overlay").SetAttribute("MomentumSeg.Uncertainty", "x")
    a_scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    a_scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "without image")
    assert guess_cases(a_scene) == ()


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("patient007_frame01", "patient007"),
        ("patient007_ED", "patient007"),
        ("anna_t2", "anna"),
        ("anna phase 3", "anna"),
        ("hippocampus_042", "hippocampus_042"),
        ("CT 1", "CT 1"),
        ("CT", "CT"),
        ("t1", "t1"),
    ],
)
def test_patient_of_a_name(name: str, patient: str) -> None:
    assert patient_of(name) == patient


def test_names_of_files_are_plain_and_unique(a_scene: Any) -> None:
    volumes = [add_scan(a_scene, name) for name in ("CT: Müller/1", "CT  M ller 1", "ct_m_ller_1", "\u80dd")]
    names = case_names(a_scene, [SceneCase(volume.GetID()) for volume in volumes])
    assert names == ["CT_M_ller_1", "CT_M_ller_1-2", "ct_m_ller_1-3", "case"]


def test_choices_are_kept_in_the_parameter_node(a_scene: Any) -> None:
    two_cases(a_scene)
    node = a_scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
    guessed = guess_cases(a_scene)
    chosen = (replace(guessed[0], patient="anna"), replace(guessed[1], is_used=False, segmentation_id=""))
    write_cases(node, chosen)
    assert read_cases(node) == chosen
    write_cases(node, chosen[:1])
    assert read_cases(node) == chosen[:1]
    node.SetParameter("trainingCases", "rubbish")
    assert read_cases(node) == ()


def test_deleted_and_new_scans(a_scene: Any) -> None:
    first, second = two_cases(a_scene)
    cases = guess_cases(a_scene)
    third = add_scan(a_scene, "CT 3")
    add_segmentation(a_scene, third, {"organ": ORGAN})
    a_scene.RemoveNode(first)
    a_scene.RemoveNode(a_scene.GetNodeByID(cases[1].segmentation_id))
    kept, new = with_new_scans(a_scene, cases)
    assert (kept.volume_id, kept.segmentation_id) == (second.GetID(), "")
    assert (new.volume_id, new.is_used) == (third.GetID(), False), "a result must not become a teacher unseen"


def _cases(scene: Any) -> tuple[SceneCase, ...]:
    return guess_cases(scene)


def test_two_labelled_scans_of_two_patients_are_enough(a_scene: Any) -> None:
    two_cases(a_scene)
    assert cases_problem(a_scene, _cases(a_scene)) == ""


def test_nothing_at_all(a_scene: Any) -> None:
    assert cases_problem(a_scene, ()).startswith("Load scans and their segmentations first")


def test_a_single_case(a_scene: Any) -> None:
    add_segmentation(a_scene, add_scan(a_scene, "CT 1"), {"organ": ORGAN})
    add_scan(a_scene, "CT 2")
    assert cases_problem(a_scene, _cases(a_scene)).startswith("One segmented scan is not enough")


def test_scans_without_any_labels(a_scene: Any) -> None:
    add_scan(a_scene, "CT 1")
    cases = [replace(case, is_used=True) for case in _cases(a_scene)]
    assert cases_problem(a_scene, cases).startswith("Tick at least two scans")


def test_segmentation_without_segments_is_named(a_scene: Any) -> None:
    two_cases(a_scene)
    volume = add_scan(a_scene, "CT 3")
    add_segmentation(a_scene, volume, {})
    cases = [replace(case, is_used=True) for case in _cases(a_scene)]
    assert cases_problem(a_scene, cases) == (
        'The segmentation of "CT 3" has no segments: draw its structures, or choose "no labels".'
    )


def test_all_of_one_patient(a_scene: Any) -> None:
    two_cases(a_scene)
    cases = [replace(case, patient="anna") for case in _cases(a_scene)]
    assert "of one patient" in cases_problem(a_scene, cases)


def test_patient_without_a_name(a_scene: Any) -> None:
    two_cases(a_scene)
    cases = [replace(case, patient=" ") for case in _cases(a_scene)]
    assert cases_problem(a_scene, cases) == 'Give the patient of "CT 1" a name, in the column Patient.'


def test_labels_have_the_same_numbers_in_all_cases(a_scene: Any) -> None:
    first, second = add_scan(a_scene, "CT 1"), add_scan(a_scene, "CT 2")
    add_segmentation(a_scene, first, {"organ": ORGAN, "tumour": TUMOUR})
    add_segmentation(a_scene, second, {"tumour": TUMOUR})
    cases = _cases(a_scene)
    names = label_names(a_scene, cases)
    assert names == {1: "organ", 2: "tumour"}
    expected = np.where(TUMOUR > 0, 2, ORGAN)
    for case, wanted in zip(cases, (expected, 2 * TUMOUR), strict=True):
        geometry = read_volume_geometry(a_scene.GetNodeByID(case.volume_id))
        labelmap = labelmap_of(a_scene, case, geometry, names)
        assert labelmap.dtype == np.uint8 and np.array_equal(labelmap, wanted)
    (sentence,) = missing_sentences(a_scene, cases, names)
    assert sentence == '"CT 2" has no segment "organ": nothing in it will count as that.'


def test_two_segments_of_one_name_are_refused(a_scene: Any) -> None:
    volume = add_scan(a_scene, "CT 1")
    node = add_segmentation(a_scene, volume, {"organ": ORGAN, "tumour": TUMOUR})
    node.GetSegmentation().GetNthSegment(1).SetName("organ")
    with pytest.raises(UserError, match='two segments called "organ"'):
        label_names(a_scene, _cases(a_scene))


def test_segmentation_in_another_grid_is_brought_to_the_scan(a_scene: Any) -> None:
    volume = add_scan(a_scene, "CT 1")
    node = add_segmentation(a_scene, volume, {"organ": None})
    fine = GRID @ np.diag([0.5, 0.5, 0.5, 1.0])
    draw(node, node.GetSegmentation().GetNthSegmentID(0), np.kron(ORGAN, np.ones((2, 2, 2), dtype=np.uint8)), fine)
    (case,) = _cases(a_scene)
    labelmap = labelmap_of(a_scene, case, read_volume_geometry(volume), {1: "organ"})
    assert labelmap.shape == SHAPE
    assert 2 * np.count_nonzero(labelmap & ORGAN) / (labelmap.sum() + ORGAN.sum()) > 0.9


def test_segmentation_of_another_place_is_refused(a_scene: Any) -> None:
    volume = add_scan(a_scene, "CT 1")
    node = add_segmentation(a_scene, volume, {"organ": None})
    far = GRID.copy()
    far[:3, 3] += 500
    draw(node, node.GetSegmentation().GetNthSegmentID(0), ORGAN, far)
    with pytest.raises(UserError, match='lies outside the volume "CT 1"'):
        labelmap_of(a_scene, _cases(a_scene)[0], read_volume_geometry(volume), {1: "organ"})


def test_nothing_drawn_is_said(a_scene: Any) -> None:
    volume = add_scan(a_scene, "CT 1")
    add_segmentation(a_scene, volume, {"organ": None})
    with pytest.raises(UserError, match='Nothing is segmented in "CT 1 segmentation"'):
        labelmap_of(a_scene, _cases(a_scene)[0], read_volume_geometry(volume), {1: "organ"})
