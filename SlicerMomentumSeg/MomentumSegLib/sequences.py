"""Volumes that change over time: their frames, and a segmentation for each frame.

A volume sequence is browsed by a node that shows one frame at a time in an ordinary volume node, the proxy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from MomentumSegLib.errors import UserError
from MomentumSegLib.slice_geometry import nodes_of_class
from MomentumSegLib.volume_data import VolumeData, linear_transform_to_world, read_volume_node


@dataclass(frozen=True)
class VolumeSequence:
    """A volume node that shows the frames of a sequence; by IDs, as the nodes may vanish.

    Attributes:
        scene: the MRML scene.
        volume_node_id: the proxy.
        browser_node_id, sequence_node_id: what it is browsed by, and where its frames are.
    """

    scene: object
    volume_node_id: str
    browser_node_id: str
    sequence_node_id: str

    @property
    def frame_count(self) -> int:
        """Number of frames."""
        return self._sequence().GetNumberOfDataNodes()

    @property
    def current_frame(self) -> int:
        """The frame that is shown, from 0."""
        return self._browser().GetSelectedItemNumber()

    def show_frame(self, frame: int) -> None:
        """Show a frame."""
        self._browser().SetSelectedItemNumber(frame)

    def frame_id(self, frame: int) -> str:
        """Name by which the worker knows a frame."""
        return f"{self.volume_node_id}#{frame}"

    def read_frame(self, frame: int) -> VolumeData:
        """Copy of a frame in the world, without showing it; ``node_id`` is `frame_id`.

        Raises `UserError` for a frame that does not exist or cannot be used; see `read_volume_node`.
        """
        sequence, proxy = self._sequence(), self.scene.GetNodeByID(self.volume_node_id)
        if proxy is None or not 0 <= frame < sequence.GetNumberOfDataNodes():
            raise UserError(f"Frame {frame} of the volume sequence does not exist any more: choose the volume again.")
        volume = read_volume_node(sequence.GetNthDataNode(frame))
        world = linear_transform_to_world(proxy) @ volume.ijk_to_ras
        return replace(volume, node_id=self.frame_id(frame), name=f"{proxy.GetName()} frame {frame}", ijk_to_ras=world)

    def _browser(self) -> object:
        return _existing(self.scene, self.browser_node_id)

    def _sequence(self) -> object:
        return _existing(self.scene, self.sequence_node_id)

    # Segmentations of the frames

    def segmentation_sequence(self, segmentation_node: object) -> object:
        """The vtkMRMLSequenceNode with a segmentation for each frame, browsed together with the volume.

        It is made when there is none; every frame then begins with what the segmentation holds now. From then on
        the segmentation node shows the present frame's, and edits are kept.
        """
        browser, volumes = self._browser(), self._sequence()
        found = browser.GetSequenceNode(segmentation_node)
        if found is not None:
            return found
        sequence = self.scene.AddNewNodeByClass("vtkMRMLSequenceNode", f"{segmentation_node.GetName()} sequence")
        sequence.SetIndexName(volumes.GetIndexName())
        sequence.SetIndexUnit(volumes.GetIndexUnit())
        sequence.SetIndexType(volumes.GetIndexType())
        for frame in range(volumes.GetNumberOfDataNodes()):
            sequence.SetDataNodeAtValue(segmentation_node, volumes.GetNthIndexValue(frame))
        browser.AddSynchronizedSequenceNode(sequence)
        browser.AddProxyNode(segmentation_node, sequence, False)
        browser.SetSaveChanges(sequence, True)
        browser.SetOverwriteProxyName(sequence, False)
        return sequence

    def segmentation_of(self, segmentation_node: object, frame: int) -> object:
        """The segmentation node to write a frame's result into: the shown one for the present frame.

        The others are under no transform, as they are not in the scene: write with the volume's matrix as seen from
        the shown segmentation, without its transform.
        """
        sequence = self.segmentation_sequence(segmentation_node)
        return segmentation_node if frame == self.current_frame else sequence.GetNthDataNode(frame)


def volume_sequence(volume_node: object) -> VolumeSequence | None:
    """The sequence whose present frame a volume node shows; None for an ordinary volume."""
    scene = volume_node.GetScene()
    for browser in nodes_of_class(scene, "vtkMRMLSequenceBrowserNode"):
        sequence = browser.GetSequenceNode(volume_node)
        if sequence is not None:
            return VolumeSequence(scene, volume_node.GetID(), browser.GetID(), sequence.GetID())
    return None


def is_in_sequence(node: object) -> bool:
    """Whether a node shows the present frame of a sequence."""
    browsers = nodes_of_class(node.GetScene(), "vtkMRMLSequenceBrowserNode")
    return any(browser.GetSequenceNode(node) is not None for browser in browsers)


def _existing(scene: object, node_id: str) -> object:
    node = scene.GetNodeByID(node_id)
    if node is None:
        raise UserError("The volume sequence was deleted: choose a volume again.")
    return node
