"""Results into the output segmentation: by the Segment Editor's rules, in one undo step, and nothing else touched."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import slicer

from MomentumSegLib.drawn_slices import existing_segments
from MomentumSegLib.errors import UserError
from MomentumSegLib.segment_voxels import (
    Crop,
    check_holds_voxels,
    grid_of,
    is_shift,
    oriented_image,
    overlap,
    read_segment,
    regrid,
    stored_voxels,
)
from MomentumSegLib.volume_data import VolumeGeometry, linear_transform_to_world, vtk_matrix

# Set on a segmentation whose surfaces were dropped by a write and are wanted again.
_SHOWN_IN_3D = "MomentumSeg.ShownIn3D"
Region = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


@dataclass(frozen=True, eq=False)
class Result:
    """What the worker found.

    Attributes:
        labelmap: (K, J, I) uint8 crop of label numbers; zero outside it.
        origin: (k, j, i) of its first voxel in the volume.
        segments: segment ID of each label number.
        names: what the user calls each segment, by ID; for sentences when it was deleted meanwhile.
        region: ((k0, k1), (j0, j1), (i0, i1)), ends excluded: the part of the volume that was segmented. None: all.
        slice_axis: of (K, J, I), along which ``untouched`` slices are counted.
        untouched: for each segment ID slices that stay as they are: those drawn and those kept empty.
    """

    labelmap: np.ndarray
    origin: tuple[int, int, int]
    segments: Mapping[int, str]
    slice_axis: int
    names: Mapping[str, str] = field(default_factory=dict)
    region: Region | None = None
    untouched: Mapping[str, Collection[int]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Written:
    """What came of writing a result.

    Attributes:
        before, after: content of each existing segment of the result, in the volume's grid; for
            `DrawnSlices.remember_result`.
        changed: IDs of the segments that changed.
        sentences: for the user, for example about segments that were deleted meanwhile.
    """

    before: Mapping[str, Crop]
    after: Mapping[str, Crop]
    changed: tuple[str, ...]
    sentences: tuple[str, ...]


def create_output_segmentation(scene: object, volume_node: object) -> object:
    """New segmentation node "<volume> segmentation" in the volume's geometry, under its transform, shown."""
    node = scene.AddNewNodeByClass(
        "vtkMRMLSegmentationNode", scene.GenerateUniqueName(f"{volume_node.GetName()} segmentation")
    )
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
    node.SetNodeReferenceID(node.GetReferenceImageGeometryReferenceRole(), volume_node.GetID())
    node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
    node.CreateDefaultDisplayNodes()
    _place_beside(scene, node, volume_node)
    return node


def write_result(
    segmentation_node: object,
    volume: VolumeGeometry,
    result: Result,
    *,
    editor_node: object | None = None,
    volume_node: object | None = None,
    save_state: Callable[[], object] | None = None,
) -> Written:
    """Write a result into its segments: inside its region, where masking allows it, in one undo step.

    Args:
        segmentation_node: None when it was deleted.
        volume: in whose grid the result is.
        editor_node: vtkMRMLSegmentEditorNode whose masking and overwrite mode are obeyed.
        volume_node: source of the editor's intensity mask.
        save_state: keeps the undo state; called once, before the first change, and only when something changes.

    Raises:
        UserError: the segmentation is gone, holds surfaces, or none of the segments is left.
    """
    _check(segmentation_node, result)
    before = {
        segment_id: read_segment(segmentation_node, segment_id, volume)
        for segment_id in existing_segments(segmentation_node, result.segments.values())
    }
    wanted = {}
    for label, segment_id in result.segments.items():
        if segment_id in before:
            wanted[segment_id] = _wanted(before[segment_id], result, label, segment_id)
    changed = [segment_id for segment_id in before if not _is_same(before[segment_id], wanted[segment_id])]
    if changed:
        if save_state is not None:
            save_state()
        _write(segmentation_node, volume, {s: (before[s], wanted[s]) for s in changed}, editor_node, volume_node)
    after = {s: read_segment(segmentation_node, s, volume) if s in changed else crop for s, crop in before.items()}
    return Written(before, after, tuple(changed), _sentences(result, before))


def region_of(
    volume: VolumeGeometry,
    slice_axis: int,
    slice_range: tuple[int, int] | None = None,
    box: object | None = None,
) -> Region | None:
    """Region of a worker's request: ``slice_range`` [first, end) and ``box`` [[i0, i1], [j0, j1], [k0, k1]], ends excluded.

    None when both are None: the whole volume.
    """
    if slice_range is None and box is None:
        return None
    ends = [(0, count) for count in volume.shape]
    if box is not None:
        ends = [(int(first), int(end)) for first, end in reversed(list(box))]
    if slice_range is not None:
        first, end = ends[slice_axis]
        ends[slice_axis] = (max(first, int(slice_range[0])), min(end, int(slice_range[1])))
    return ends[0], ends[1], ends[2]


def surface_is_stale(segmentation_node: object) -> bool:
    """Whether a segmentation that is shown in 3D lacks the surface of a segment that was written."""
    display = segmentation_node.GetDisplayNode()
    return bool(
        display is not None
        and segmentation_node.GetAttribute(_SHOWN_IN_3D) == "1"
        and not segmentation_node.GetSegmentation().ContainsRepresentation(_closed_surface())
    )


def update_surface(segmentation_node: object) -> None:
    """Make the missing 3D surfaces of a segmentation that is shown in 3D; takes a second for a large organ.

    Writing a result drops the surfaces of the segments that it changes, so that it is quick; call this a moment later.
    """
    if surface_is_stale(segmentation_node):
        segmentation_node.CreateClosedSurfaceRepresentation()
    segmentation_node.RemoveAttribute(_SHOWN_IN_3D)


def _check(segmentation_node: object | None, result: Result) -> None:
    if segmentation_node is None or segmentation_node.GetScene() is None:
        raise UserError("The output segmentation was deleted while the volume was segmented: choose or create another.")
    check_holds_voxels(segmentation_node)
    if not existing_segments(segmentation_node, result.segments.values()):
        raise UserError(
            f'The segments of this result were deleted from "{segmentation_node.GetName()}" meanwhile: draw them again.'
        )


def _wanted(before: Crop, result: Result, label: int, segment_id: str) -> Crop:
    """What a segment should hold: the result inside its region but for untouched slices, as before elsewhere."""
    found = Crop((result.labelmap == label).view(np.uint8), tuple(result.origin))
    if before.is_empty and result.region is None and not result.untouched.get(segment_id):
        return found.trimmed()
    origin, end = _joined(before, found)
    window, new = before.window(origin, end), found.window(origin, end)
    inside = np.ones(window.shape, dtype=bool)
    if result.region is not None:
        inside[:] = False
        _, part = overlap(*_corner_and_size(result.region), origin, window.shape)
        inside[part] = True
    stay = [s - origin[result.slice_axis] for s in result.untouched.get(segment_id, ())]
    stay = [s for s in stay if 0 <= s < window.shape[result.slice_axis]]
    np.moveaxis(inside, result.slice_axis, 0)[stay] = False
    np.copyto(window, new, where=inside)
    return Crop(window, origin).trimmed()


def _write(
    node: object,
    volume: VolumeGeometry,
    changes: Mapping[str, tuple[Crop, Crop]],
    editor_node: object | None,
    volume_node: object | None,
) -> None:
    """Write segments that are given before and as wanted, in the volume's grid."""
    matrix = _storage_matrix(node, volume)
    stored = {s: _in_storage(node, s, volume, matrix, *change) for s, change in changes.items()}
    was_modifying = node.StartModify()
    try:
        _drop_surfaces(node, stored)
        if _has_rules(editor_node):
            _write_by_rules(node, stored, matrix, editor_node, volume_node)
        else:
            _write_freely(node, stored, matrix)
        for segment_id in stored:
            _mark_in_progress(node.GetSegmentation().GetSegment(segment_id))
    finally:
        node.EndModify(was_modifying)


def _storage_matrix(node: object, volume: VolumeGeometry) -> np.ndarray:
    """(i, j, k) to the node's own RAS of the grid that it stores; the volume's when it has none yet."""
    grid = grid_of(node)
    if grid is not None:
        return grid[0]
    matrix = np.linalg.solve(linear_transform_to_world(node), volume.ijk_to_ras)
    k, j, i = volume.shape
    text = slicer.vtkSegmentationConverter.SerializeImageGeometry(vtk_matrix(matrix), [0, i - 1, 0, j - 1, 0, k - 1])
    name = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    node.GetSegmentation().SetConversionParameter(name, text)
    return matrix


def _in_storage(
    node: object, segment_id: str, volume: VolumeGeometry, matrix: np.ndarray, before: Crop, wanted: Crop
) -> tuple[Crop, Crop]:
    """A segment before and as wanted, in the grid that the segmentation stores.

    In another grid than the volume's only voxels under changed ones change, and the rest stays as it is stored.
    """
    to_storage = np.linalg.solve(linear_transform_to_world(node) @ matrix, volume.ijk_to_ras)
    if is_shift(to_storage, volume.shape):
        return regrid(before, to_storage, None), regrid(wanted, to_storage, None)
    own = stored_voxels(node, segment_id, matrix)
    origin, end = _joined(before, wanted)
    change = before.window(origin, end) ^ wanted.window(origin, end)
    changed, new = regrid(Crop(change, origin), to_storage, None), regrid(wanted, to_storage, None)
    origin, end = _joined(own, changed)
    voxels = own.window(origin, end)
    np.copyto(voxels, new.window(origin, end), where=changed.window(origin, end).view(bool))
    return own, Crop(voxels, origin).trimmed()


def _write_freely(node: object, stored: Mapping[str, tuple[Crop, Crop]], matrix: np.ndarray) -> None:
    """Write segments that overwrite nothing and that nothing masks.

    Voxels that go from one segment to another are taken from the first before any segment grows: overlapping even
    for a moment would move a segment to a layer of its own for good.
    """
    grown = [Crop(*_minus(wanted, before)) for before, wanted in stored.values()]
    for segment_id, (before, wanted) in stored.items():
        lost = Crop(*_minus(before, wanted))
        if any(_touch(lost, other) for other in grown):
            _replace(node, segment_id, Crop(*_both(before, wanted)), matrix)
    for segment_id, (_, wanted) in stored.items():
        _replace(node, segment_id, wanted, matrix)


def _write_by_rules(
    node: object,
    stored: Mapping[str, tuple[Crop, Crop]],
    matrix: np.ndarray,
    editor_node: object,
    volume_node: object | None,
) -> None:
    """Write segments as a Segment Editor effect would: masked, and overwriting what the editor says."""
    logic = slicer.vtkSlicerSegmentEditorLogic()
    logic.SetMRMLScene(node.GetScene())
    logic.SetSegmentEditorNode(editor_node)
    logic.SetSegmentationNode(node)
    if volume_node is not None:
        logic.SetSourceVolumeNode(volume_node)
    for segment_id, (before, wanted) in stored.items():
        origin, end = _joined(before, wanted)
        image = oriented_image(wanted.window(origin, end), origin, matrix)
        logic.ModifySegmentByLabelmap(node, segment_id, image, logic.ModificationModeSet, True, False)


def _replace(node: object, segment_id: str, crop: Crop, matrix: np.ndarray) -> None:
    voxels = crop.voxels if crop.voxels.size else np.zeros((1, 1, 1), dtype=np.uint8)
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    logic.SetBinaryLabelmapToSegment(oriented_image(voxels, crop.origin, matrix), node, segment_id, logic.MODE_REPLACE)


def _has_rules(editor_node: object | None) -> bool:
    return editor_node is not None and bool(
        editor_node.GetMaskMode() != slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere
        or editor_node.GetSourceVolumeIntensityMask()
        or editor_node.GetOverwriteMode() != editor_node.OverwriteNone
    )


def _drop_surfaces(node: object, segment_ids: Collection[str]) -> None:
    """Drop the surfaces of segments that change, or each write would make them anew at once (0.2 s and more)."""
    segmentation = node.GetSegmentation()
    if not segmentation.ContainsRepresentation(_closed_surface()):
        return
    node.SetAttribute(_SHOWN_IN_3D, "1")
    for segment_id in segment_ids:
        segmentation.GetSegment(segment_id).RemoveRepresentation(_closed_surface())


def _mark_in_progress(segment: object) -> None:
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    if logic.GetSegmentStatus(segment) == logic.NotStarted:
        logic.SetSegmentStatus(segment, logic.InProgress)


def _sentences(result: Result, existing: Collection[str]) -> tuple[str, ...]:
    lost = [result.names.get(s, s) for s in result.segments.values() if s not in existing]
    if not lost:
        return ()
    names = ", ".join(f'"{name}"' for name in lost)
    was = "Segment {} was" if len(lost) == 1 else "Segments {} were"
    return (f"{was.format(names)} deleted while the volume was segmented: the other results are written.",)


def _place_beside(scene: object, node: object, volume_node: object) -> None:
    """Put a node into the volume's folder of the data tree, where there is a tree."""
    tree = scene.GetFirstNodeByClass("vtkMRMLSubjectHierarchyNode")
    if tree is None:
        return
    own, volume = tree.GetItemByDataNode(node), tree.GetItemByDataNode(volume_node)
    if own and volume:
        tree.SetItemParent(own, tree.GetItemParent(volume))


def _is_same(first: Crop, second: Crop) -> bool:
    """Whether two trimmed crops are the same voxels."""
    if not first.voxels.size or not second.voxels.size:
        return first.voxels.size == second.voxels.size
    return first.origin == second.origin and np.array_equal(first.voxels, second.voxels)


def _joined(first: Crop, second: Crop) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """(k, j, i) origin and end of the box around two crops, empty ones left out."""
    crops = [crop for crop in (first, second) if crop.voxels.size] or [first]
    low = np.min([crop.origin for crop in crops], axis=0).tolist()
    high = np.max([crop.end for crop in crops], axis=0).tolist()
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])


def _minus(first: Crop, second: Crop) -> tuple[np.ndarray, tuple[int, int, int]]:
    return first.voxels & ~second.window(first.origin, first.end), first.origin


def _both(first: Crop, second: Crop) -> tuple[np.ndarray, tuple[int, int, int]]:
    return first.voxels & second.window(first.origin, first.end), first.origin


def _touch(first: Crop, second: Crop) -> bool:
    mine, theirs = overlap(first.origin, first.voxels.shape, second.origin, second.voxels.shape)
    return bool((first.voxels[mine] & second.voxels[theirs]).any())


def _corner_and_size(region: Region) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return tuple(first for first, _ in region), tuple(max(0, end - first) for first, end in region)


def _closed_surface() -> str:
    return slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
