"""A volume over the image in the slice views, and back to what was there before."""

from __future__ import annotations

import json

from MomentumSegLib.slice_geometry import nodes_of_class

# On a slice view's composite node: what was in the foreground before, as [volume ID, opacity].
_BEFORE = "MomentumSeg.ForegroundBefore"


def show_in_foreground(scene: object, volume_node_id: str, opacity: float) -> None:
    """Show a volume over the image in all slice views of a scene; what was there is remembered with the scene."""
    for composite in nodes_of_class(scene, "vtkMRMLSliceCompositeNode"):
        if composite.GetAttribute(_BEFORE) is None:
            before = [composite.GetForegroundVolumeID(), composite.GetForegroundOpacity()]
            composite.SetAttribute(_BEFORE, json.dumps(before))
        composite.SetForegroundVolumeID(volume_node_id)
        composite.SetForegroundOpacity(opacity)


def hide_from_foreground(scene: object, volume_node_id: str) -> None:
    """Give the slice views that show a volume back what they showed before; others stay as they are.

    Call it before the volume is deleted.
    """
    for composite in nodes_of_class(scene, "vtkMRMLSliceCompositeNode"):
        if composite.GetForegroundVolumeID() != volume_node_id:
            continue
        before_id, opacity = json.loads(composite.GetAttribute(_BEFORE) or "[null, 0.0]")
        exists = before_id is not None and scene.GetNodeByID(before_id) is not None
        composite.SetForegroundVolumeID(before_id if exists else None)
        composite.SetForegroundOpacity(opacity)
        composite.RemoveAttribute(_BEFORE)


def is_in_foreground(scene: object, volume_node_id: str) -> bool:
    """Whether any slice view shows a volume in its foreground."""
    composites = nodes_of_class(scene, "vtkMRMLSliceCompositeNode")
    return bool(volume_node_id) and any(node.GetForegroundVolumeID() == volume_node_id for node in composites)
