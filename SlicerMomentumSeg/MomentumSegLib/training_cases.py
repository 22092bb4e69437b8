"""The cases of a training that lie in the scene: which volume goes with which segmentation, and whose they are.

They are guessed from names and references and kept in the module's parameter node: volumes and segmentations as node
references, which survive saving and loading of the scene, the rest as text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import slicer

from MomentumSegLib.errors import UserError
from MomentumSegLib.slice_geometry import nodes_of_class
from MomentumSegLib.translation import tr as _
from MomentumSegLib.volume_data import read_volume_geometry

_VOXELS = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
_PARAMETER = "trainingCases"
_VOLUME_ROLE = "trainingVolume"
_SEGMENTATION_ROLE = "trainingSegmentation"
# What names of segmentations have beyond those of their volumes.
_NOT_A_NAME = {
    "segmentation",
    "segmentations",
    "segments",
    "seg",
    "label",
    "labels",
    "mask",
    "truth",
    "gt",
    "nii",
    "gz",
}
# The same patient seen again: another frame, time or phase. The engine's rule, without the pattern of a recipe.
_SEEN_AGAIN = re.compile(r"[ _-](frame|t|time|phase)?[ _-]?\d{1,3}$|[ _-](ED|ES)$", re.IGNORECASE)
# Nodes that the modules make (overlays, previews) have attributes that begin so. Results are segmentations as others.
_OWN_ATTRIBUTES = "MomentumSeg."
_ON_RESULTS = {"MomentumSeg.ShownIn3D"}


@dataclass(frozen=True)
class SceneCase:
    """One case of the table.

    Attributes:
        volume_id: of the volume node.
        segmentation_id: of the segmentation node; empty: no labels.
        patient: cases of one patient are never divided between training and validation.
        is_used: whether it takes part.
    """

    volume_id: str
    segmentation_id: str = ""
    patient: str = ""
    is_used: bool = True


def guess_cases(scene: Any) -> tuple[SceneCase, ...]:
    """One case for each scan of the scene, with the segmentation that refers to it or is named like it."""
    volumes, segmentations = scans_of(scene), segmentations_of(scene)
    cases = []
    for volume in volumes:
        segmentation = _segmentation_of(volume, volumes, segmentations)
        segmentation_id = segmentation.GetID() if segmentation is not None else ""
        # A scan in which nothing is drawn is taken in by the user: it may be the one to segment later.
        is_used = _holds_something(segmentation)
        cases.append(SceneCase(volume.GetID(), segmentation_id, patient_of(volume.GetName() or ""), is_used))
    return tuple(cases)


def with_new_scans(scene: Any, cases: Iterable[SceneCase]) -> tuple[SceneCase, ...]:
    """The user's cases as they are now in the scene; without any: guesses.

    Those of deleted volumes are gone, and one whose segmentation was deleted has no labels. Scans that came since are
    there, but do not take part before the user says so: a result of a model must not become its teacher unseen.
    """
    cases, guessed = tuple(cases), {case.volume_id: case for case in guess_cases(scene)}
    if not cases:
        return tuple(guessed.values())
    kept = []
    for case in cases:
        if case.volume_id not in guessed:
            continue
        if case.segmentation_id and scene.GetNodeByID(case.segmentation_id) is None:
            case = replace(case, segmentation_id="")
        kept.append(case)
    known = {case.volume_id for case in kept}
    return (*kept, *(replace(case, is_used=False) for case in guessed.values() if case.volume_id not in known))


def scans_of(scene: Any) -> list[Any]:
    """Volumes of the scene that can be cases: no label maps, no colour images, nothing that the module made."""
    found = []
    for node in nodes_of_class(scene, "vtkMRMLScalarVolumeNode"):
        if node.IsA("vtkMRMLLabelMapVolumeNode") or node.GetHideFromEditors() or _is_ours(node):
            continue
        try:
            read_volume_geometry(node)
        except UserError:
            continue
        found.append(node)
    return found


def segmentations_of(scene: Any) -> list[Any]:
    """Segmentations of the scene that a user can choose."""
    nodes = nodes_of_class(scene, "vtkMRMLSegmentationNode")
    return [node for node in nodes if not node.GetHideFromEditors() and not _is_ours(node)]


def patient_of(name: str) -> str:
    """Whose a case is, from its name: without a number of frame, time or phase at its end.

    >>> patient_of("patient007_frame01"), patient_of("Liver 12_t2"), patient_of("CT")
    ('patient007', 'Liver 12', 'CT')
    """
    shorter = _SEEN_AGAIN.sub("", name) if _says_seen_again(name) else name
    return shorter.strip() or name


def segmentation_stamp(node: Any) -> tuple[int, ...]:
    """Value that changes whenever segments, their names or their voxels do."""
    segmentation = node.GetSegmentation()
    segments = [segmentation.GetNthSegment(index) for index in range(segmentation.GetNumberOfSegments())]
    images = [segment.GetRepresentation(_VOXELS) for segment in segments]
    return tuple(thing.GetMTime() for thing in (node, segmentation, *segments, *images) if thing is not None)


def case_names(scene: Any, cases: Sequence[SceneCase]) -> list[str]:
    """File names of cases, without ending: as their volumes are called, letters and digits, each only once."""
    names: list[str] = []
    for case in cases:
        node = scene.GetNodeByID(case.volume_id)
        name = re.sub(r"[^\w-]+", "_", node.GetName() or "case", flags=re.ASCII).strip("_") or "case"
        unique, number = name, 2
        while unique.lower() in {taken.lower() for taken in names}:
            unique, number = f"{name}-{number}", number + 1
        names.append(unique)
    return names


def read_cases(parameter_node: Any) -> tuple[SceneCase, ...]:
    """The cases that a parameter node keeps; those whose volume is gone are left out."""
    try:
        rows = json.loads(parameter_node.GetParameter(_PARAMETER) or "[]")
        read = [(str(row["patient"]), bool(row["used"])) for row in rows]
    except (ValueError, TypeError, KeyError):
        return ()
    cases = []
    for index, (patient, is_used) in enumerate(read):
        volume = parameter_node.GetNodeReference(f"{_VOLUME_ROLE}{index}")
        segmentation = parameter_node.GetNodeReference(f"{_SEGMENTATION_ROLE}{index}")
        if volume is not None:
            cases.append(SceneCase(volume.GetID(), segmentation.GetID() if segmentation else "", patient, is_used))
    return tuple(cases)


def write_cases(parameter_node: Any, cases: Sequence[SceneCase]) -> None:
    """Keep cases in a parameter node."""
    before = len(_rows(parameter_node))
    modified = parameter_node.StartModify()
    for index in range(max(before, len(cases))):
        case = cases[index] if index < len(cases) else SceneCase("")
        parameter_node.SetNodeReferenceID(f"{_VOLUME_ROLE}{index}", case.volume_id or None)
        parameter_node.SetNodeReferenceID(f"{_SEGMENTATION_ROLE}{index}", case.segmentation_id or None)
    rows = [{"patient": case.patient, "used": case.is_used} for case in cases]
    parameter_node.SetParameter(_PARAMETER, json.dumps(rows))
    parameter_node.EndModify(modified)


def cases_problem(scene: Any, cases: Sequence[SceneCase]) -> str:
    """Why these cases cannot be trained on, in one sentence; empty: nothing is wrong on this side."""
    used = [case for case in cases if case.is_used]
    if not cases:
        return _("Load scans and their segmentations first, or choose a folder of cases.")
    if not any(case.segmentation_id for case in used):
        return _("Tick at least two scans and choose the segmentation of each: a training learns from segmented scans.")
    if sum(1 for case in used if case.segmentation_id) < 2:
        return _(
            "One segmented scan is not enough: at least two are needed, one of them to measure the others' success."
        )
    for case in used:
        problem = _case_problem(scene, case)
        if problem:
            return problem
    if len({case.patient for case in used if case.segmentation_id}) < 2:
        return _("All segmented scans are of one patient: at least two patients are needed; see the column Patient.")
    return ""


def _case_problem(scene: Any, case: SceneCase) -> str:
    volume = scene.GetNodeByID(case.volume_id)
    if volume is None:
        return _("A chosen volume was deleted: press Find cases.")
    try:
        read_volume_geometry(volume)
    except UserError as error:
        return str(error)
    if not case.patient.strip():
        return _('Give the patient of "{volume}" a name, in the column Patient.').format(volume=volume.GetName())
    if not case.segmentation_id:
        return ""
    segmentation = scene.GetNodeByID(case.segmentation_id)
    if segmentation is None or not segmentation.GetSegmentation().GetNumberOfSegments():
        text = _('The segmentation of "{volume}" has no segments: draw its structures, or choose "no labels".')
        return text.format(volume=volume.GetName())
    return ""


def _segmentation_of(volume: Any, volumes: Sequence[Any], segmentations: Sequence[Any]) -> Any:
    """The segmentation with most voxels to learn from that refers to a volume, else the one of its name."""
    role = segmentations[0].GetReferenceImageGeometryReferenceRole() if segmentations else ""
    referring = [node for node in segmentations if node.GetNodeReferenceID(role) == volume.GetID()]
    if referring:
        return max(referring, key=lambda node: node.GetSegmentation().GetNumberOfSegments())
    others = {node.GetID() for node in volumes}
    free = [node for node in segmentations if node.GetNodeReferenceID(role) not in others]
    own = _words(volume.GetName())
    return next((node for node in free if own and _words(node.GetName()) == own), None)


def _holds_something(segmentation: Any) -> bool:
    """Whether anything may be drawn in a segmentation; a new one holds empty segments."""
    if segmentation is None:
        return False
    segments = segmentation.GetSegmentation()
    if segments.GetSourceRepresentationName() != _VOXELS:
        return bool(segments.GetNumberOfSegments())  # surfaces
    layers = [segments.GetLayerDataObject(layer, _VOXELS) for layer in range(segments.GetNumberOfLayers())]
    return any(layer.GetNumberOfPoints() > 0 and layer.GetScalarRange()[1] > 0 for layer in layers)


def _words(name: str | None) -> tuple[str, ...]:
    words = re.findall(r"[a-z]+|\d+", (name or "").lower())
    return tuple(word for word in words if word not in _NOT_A_NAME)


def _says_seen_again(name: str) -> bool:
    """A number alone counts scans, not visits: "Liver 12" is one patient of many."""
    found = _SEEN_AGAIN.search(name)
    return found is not None and (found.group(1) is not None or found.group(2) is not None)


def _is_ours(node: Any) -> bool:
    return any(name.startswith(_OWN_ATTRIBUTES) and name not in _ON_RESULTS for name in node.GetAttributeNames())


def _rows(parameter_node: Any) -> list[Any]:
    try:
        rows = json.loads(parameter_node.GetParameter(_PARAMETER) or "[]")
    except ValueError:
        return []
    return rows if isinstance(rows, list) else []
