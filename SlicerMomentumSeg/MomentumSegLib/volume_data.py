"""A volume of the scene as an array with its geometry in the world.

Arrays are (K, J, I); matrices are 4x4, mm, and map (i, j, k) to world RAS, a linear parent transform included.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import slicer
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from MomentumSegLib.errors import UserError

# Bytes copied at a time: a few milliseconds, so that the window stays alive while a large CT is copied.
_PIECE = 4 * 2**20


@dataclass(frozen=True, eq=False)
class VolumeGeometry:
    """Where the voxels of a volume node lie.

    Attributes:
        node_id: of the volume node.
        name: as the user sees it.
        shape: (K, J, I).
        ijk_to_ras: 4x4, (i, j, k) to world RAS in mm, parent transform included; read-only.
    """

    node_id: str
    name: str
    shape: tuple[int, int, int]
    ijk_to_ras: np.ndarray

    def is_same_grid(self, shape: tuple[int, int, int], ijk_to_ras: np.ndarray) -> bool:
        """Whether another grid has the same voxels in the same places (no corner off by 5 % of a voxel)."""
        return tuple(shape) == tuple(self.shape) and is_same_place(self.ijk_to_ras, ijk_to_ras, self.shape)


@dataclass(frozen=True, eq=False)
class VolumeData(VolumeGeometry):
    """A copy of a volume node's voxels.

    Attributes:
        voxels: (K, J, I), the node's type.
        fingerprint: changes whenever voxels or geometry do; see `volume_is_unchanged`.
        warnings: sentences for the user.
    """

    voxels: np.ndarray = field(repr=False)
    fingerprint: tuple = field(repr=False)
    warnings: tuple[str, ...] = ()


def read_volume_node(node: object) -> VolumeData:
    """Copy of the voxels of a volume node with its world geometry.

    Raises:
        UserError: no volume, no image, a colour image, or a non-linear parent transform.
    """
    *_, volume = copy_in_pieces(node)
    return volume


def copy_in_pieces(node: object) -> Iterator[VolumeData | None]:
    """Copy a volume a few milliseconds at a time: yields None until the last item, the finished `VolumeData`.

    Step it from a timer with large volumes. Raises as `read_volume_node`, at the first step; when the node changes
    or vanishes between two steps, the copy starts again or says so.
    """
    while True:
        geometry, fingerprint = read_volume_geometry(node), volume_fingerprint(node)
        source = _component_view(node, geometry.shape)
        voxels = np.empty(geometry.shape, dtype=source.dtype)
        step = max(1, _PIECE // max(1, voxels[0].nbytes))
        for first in range(0, len(voxels), step):
            voxels[first : first + step] = source[first : first + step]
            if first + step >= len(voxels):
                warnings = _warnings(node.GetImageData(), geometry)
                yield VolumeData(**vars(geometry), voxels=voxels, fingerprint=fingerprint, warnings=warnings)
                return
            yield None
            if not volume_is_unchanged(node, fingerprint):
                break


def read_volume_geometry(node: object) -> VolumeGeometry:
    """Geometry of a volume node without its voxels (cheap). Raises as `read_volume_node`."""
    if node is None or not node.IsA("vtkMRMLVolumeNode"):
        raise UserError("No volume is chosen: load a scan and choose it as input volume.")
    if node.GetScene() is None:
        raise UserError(f'The volume "{node.GetName()}" was deleted: choose another.')
    image = node.GetImageData()
    if image is None or image.GetNumberOfPoints() < 1 or image.GetPointData().GetScalars() is None:
        raise UserError(f'The volume "{node.GetName()}" holds no image: load it again or choose another volume.')
    if _is_colour_image(node, image):
        raise UserError(
            f'The volume "{node.GetName()}" is a colour image: convert it with the module '
            '"Vector to Scalar Volume" and choose the result.'
        )
    i, j, k = image.GetDimensions()
    matrix = vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    ijk_to_ras = linear_transform_to_world(node) @ array_of(matrix)
    ijk_to_ras.setflags(write=False)
    return VolumeGeometry(node_id=node.GetID(), name=node.GetName() or "", shape=(k, j, i), ijk_to_ras=ijk_to_ras)


def volume_fingerprint(node: object) -> tuple:
    """Value that changes whenever the voxels or the geometry (parent transform included) of a volume node change."""
    geometry = read_volume_geometry(node)
    image = node.GetImageData()
    content = max(image.GetMTime(), image.GetPointData().GetScalars().GetMTime())
    return (geometry.node_id, content, geometry.shape, geometry.ijk_to_ras.tobytes())


def volume_is_unchanged(node: object, fingerprint: tuple) -> bool:
    """Whether a volume node still holds what it held when ``fingerprint`` was taken. False when it is gone."""
    try:
        return node is not None and volume_fingerprint(node) == fingerprint
    except UserError:
        return False


def linear_transform_to_world(node: object) -> np.ndarray:
    """4x4 matrix from a node's own space to the world (identity without parent transform).

    Raises `UserError` when a parent transform is not linear.
    """
    transform = node.GetParentTransformNode()
    if transform is None:
        return np.eye(4)
    if not transform.IsTransformToWorldLinear():
        raise UserError(
            f'"{node.GetName()}" is under the non-linear transform "{transform.GetName()}": harden the transform '
            "(Transforms module) and try again."
        )
    matrix = vtkMatrix4x4()
    transform.GetMatrixTransformToWorld(matrix)
    return array_of(matrix)


def array_of(matrix: vtkMatrix4x4) -> np.ndarray:
    """(4, 4) float64 copy of a VTK matrix."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def vtk_matrix(array: np.ndarray) -> vtkMatrix4x4:
    """VTK matrix of a (4, 4) array."""
    matrix = vtkMatrix4x4()
    matrix.DeepCopy(np.asarray(array, dtype=float).ravel().tolist())
    return matrix


def spacing_of(ijk_to_ras: np.ndarray) -> np.ndarray:
    """(3,) distance of neighbouring voxels along i, j and k in mm."""
    return np.linalg.norm(ijk_to_ras[:3, :3], axis=0)


def is_same_place(ijk_to_ras: np.ndarray, other: np.ndarray, shape: tuple[int, int, int]) -> bool:
    """Whether two matrices put every voxel of a (K, J, I) grid at the same place, within 5 % of a voxel."""
    k, j, i = shape
    corners = np.array([(a, b, c, 1.0) for a in (0, i - 1) for b in (0, j - 1) for c in (0, k - 1)]).T
    off = np.linalg.solve(ijk_to_ras, other @ corners) - corners
    return bool(np.abs(off).max() <= 0.05)


def _component_view(node: object, shape: tuple[int, int, int]) -> np.ndarray:
    """(K, J, I) view on the first component of a node's voxels."""
    scalars = vtk_to_numpy(node.GetImageData().GetPointData().GetScalars())
    return scalars.reshape(*shape, -1)[..., 0]


def _is_colour_image(node: object, image: object) -> bool:
    colours = (
        slicer.vtkMRMLVolumeNode.VoxelVectorTypeColorRGB,
        slicer.vtkMRMLVolumeNode.VoxelVectorTypeColorRGBA,
    )
    if node.GetVoxelVectorType() in colours:
        return True
    # Photographs from older scenes carry no type: three or four bytes a voxel are colours.
    bytes_a_voxel = image.GetScalarSize() * image.GetNumberOfScalarComponents()
    return node.IsA("vtkMRMLVectorVolumeNode") and image.GetScalarSize() == 1 and bytes_a_voxel in (3, 4)


def _warnings(image: object, geometry: VolumeGeometry) -> tuple[str, ...]:
    components = image.GetNumberOfScalarComponents()
    if components == 1:
        return ()
    return (f'The volume "{geometry.name}" has {components} components: the first is used.',)
