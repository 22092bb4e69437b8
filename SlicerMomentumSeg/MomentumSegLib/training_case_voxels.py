"""What the worker is given of a case: one label map in the volume's grid, with the same numbers in all cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from MomentumSegLib.errors import UserError
from MomentumSegLib.segment_voxels import read_segment
from MomentumSegLib.training_cases import SceneCase
from MomentumSegLib.translation import tr as _
from MomentumSegLib.volume_data import VolumeGeometry

_MOST_LABELS = 255


def label_names(scene: Any, cases: Sequence[SceneCase]) -> dict[int, str]:
    """Number of each structure, 1 and up, by the names of the segments in the order in which they come.

    Raises:
        UserError: two segments of a case have one name, or there are more than 255 names.
    """
    names: list[str] = []
    for case in cases:
        own = [segment.GetName() for _id, segment in segments_of(scene, case)]
        twice = next((name for name in own if own.count(name) > 1), None)
        if twice is not None:
            text = _('The segmentation "{node}" has two segments called "{name}": rename one of them.')
            raise UserError(text.format(node=scene.GetNodeByID(case.segmentation_id).GetName(), name=twice))
        names += [name for name in own if name not in names]
    if len(names) > _MOST_LABELS:
        raise UserError(
            _("The segmentations have {count} segments of different names; {most} can be learnt.").format(
                count=len(names), most=_MOST_LABELS
            )
        )
    return dict(enumerate(names, start=1))


def missing_sentences(scene: Any, cases: Sequence[SceneCase], names: Mapping[int, str]) -> list[str]:
    """Say which structures of others a labelled case lacks: there they count as "not this structure"."""
    sentences = []
    for case in (case for case in cases if case.segmentation_id):
        own = {segment.GetName() for _id, segment in segments_of(scene, case)}
        lacking = [name for name in names.values() if name not in own]
        if lacking:
            text = _('"{volume}" has no segment {names}: nothing in it will count as that.')
            volume = scene.GetNodeByID(case.volume_id).GetName()
            sentences.append(text.format(volume=volume, names=", ".join(f'"{name}"' for name in lacking)))
    return sentences


def segments_of(scene: Any, case: SceneCase) -> list[tuple[str, Any]]:
    """(ID, vtkSegment) of a case's segmentation, in its order."""
    node = scene.GetNodeByID(case.segmentation_id) if case.segmentation_id else None
    if node is None:
        return []
    segmentation = node.GetSegmentation()
    ids = [segmentation.GetNthSegmentID(index) for index in range(segmentation.GetNumberOfSegments())]
    return [(segment_id, segmentation.GetSegment(segment_id)) for segment_id in ids]


def labelmap_of(scene: Any, case: SceneCase, volume: VolumeGeometry, names: Mapping[int, str]) -> np.ndarray:
    """(K, J, I) uint8 in the volume's grid; where segments overlap, the later one counts.

    Raises:
        UserError: nothing is segmented, the segmentation lies outside the volume, or it was deleted meanwhile.
    """
    numbers = {name: number for number, name in names.items()}
    labelmap = np.zeros(volume.shape, dtype=np.uint8)
    node = scene.GetNodeByID(case.segmentation_id)
    if node is None:
        raise UserError(_('The segmentation of "{volume}" was deleted: press Find cases.').format(volume=volume.name))
    for segment_id, segment in segments_of(scene, case):
        if segment.GetName() not in numbers:
            text = _('"{node}" was changed while its cases were taken: press Check again.')
            raise UserError(text.format(node=node.GetName()))
        crop = read_segment(node, segment_id, volume)
        if not crop.is_empty:
            box = tuple(slice(first, last) for first, last in zip(crop.origin, crop.end, strict=True))
            labelmap[box][crop.voxels > 0] = numbers[segment.GetName()]
    if not labelmap.any():
        text = _('Nothing is segmented in "{node}": draw the structures of "{volume}", or choose "no labels".')
        raise UserError(text.format(node=node.GetName(), volume=volume.name))
    return labelmap
