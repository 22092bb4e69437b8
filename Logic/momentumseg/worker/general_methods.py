"""Methods of the worker itself: volumes, status, memory."""

from __future__ import annotations

import numpy as np

from momentumseg.errors import GeometryError, InputError
from momentumseg.volumes.volume import Volume
from momentumseg.worker.devices import devices, process_memory_bytes
from momentumseg.worker.registry import Call, Values, method


@method("noop")
def noop(call: Call) -> Values:
    """Nothing, for the time that a message takes."""
    return {}


@method("status")
def status(call: Call) -> Values:
    """Devices with their free memory now, this process's memory, and the volumes that it has."""
    return {"devices": devices(), "memory_bytes": process_memory_bytes(), "volumes": call.state.volume_ids}


@method("set_volume")
def set_volume(call: Call) -> Values:
    """Keep the array "voxels" (K, J, I) with its "ijk_to_ras" under the id "volume"; "warnings" are for the user."""
    identity, name = call.text("volume"), call.text("name", "")
    volume = Volume(call.array("voxels"), _matrix(call), name)
    warnings = _checked_voxels(volume.array, name or "The volume")
    call.state.set_volume(identity, volume)
    return {"warnings": warnings}


@method("forget_volume")
def forget_volume(call: Call) -> Values:
    """Forget the volume of the id "volume"."""
    call.state.forget_volume(call.text("volume"))
    return {}


@method("free_memory")
def free_memory(call: Call) -> Values:
    """Give back models and features; they are made again when they are needed."""
    call.state.free()
    return {"memory_bytes": process_memory_bytes()}


def _matrix(call: Call) -> np.ndarray:
    try:
        matrix = np.array(call.parameters.get("ijk_to_ras"), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise GeometryError("The volume's geometry (ijk_to_ras) is no table of numbers.") from error
    if matrix.shape != (4, 4):
        raise GeometryError(f"The volume's geometry (ijk_to_ras) has the shape {matrix.shape}; give a 4 x 4 matrix.")
    return matrix


def _checked_voxels(array: np.ndarray, name: str) -> list[str]:
    """Sentences about voxels that a session replaces. Raises `InputError` when there is nothing to see."""
    broken = _broken_count(array)
    if broken == array.size:
        raise InputError(f"{name} has only NaN or infinite voxels; load another image.")
    if _is_constant(array):
        raise InputError(f"{name} has the same value in every voxel; load an image with content.")
    return [f"{name} has {broken} NaN or infinite voxels; they count as its smallest value."] if broken else []


def _broken_count(array: np.ndarray) -> int:
    if array.dtype.kind != "f":
        return 0
    return sum(int(voxels.size - np.count_nonzero(np.isfinite(voxels))) for voxels in array)


def _is_constant(array: np.ndarray) -> bool:
    """Slice by slice from the middle, where a scan shows something: the first slice mostly answers."""
    finite = next(voxels[np.isfinite(voxels)][:1] for voxels in array if np.isfinite(voxels).any())
    order = sorted(range(len(array)), key=lambda k: abs(k - len(array) // 2))
    return not any(((array[k] != finite) & np.isfinite(array[k])).any() for k in order)
