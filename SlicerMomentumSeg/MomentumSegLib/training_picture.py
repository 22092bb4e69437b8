"""A validation case as it is learnt: a slice in grey, the reference's outline and the prediction's over it."""

from __future__ import annotations

import numpy as np

# Told apart also by those who see no difference of red and green; the prediction is drawn over the reference.
REFERENCE_COLOR = (0, 158, 115)
PREDICTED_COLOR = (255, 176, 0)
_MARGIN = 0.5  # of the structures' size, shown around them
_SMALLEST_MARGIN = 12  # pixels of the slice


def draw_validation(image: np.ndarray, reference: np.ndarray, predicted: np.ndarray, longest_side: int) -> np.ndarray:
    """Return the picture, (rows, columns, 3) uint8: the part of the slice with the structures, ``longest_side`` long.

    Args:
        image: (H, W) uint8 grey values.
        reference, predicted: (H, W) uint8 label numbers; the outline of each label is drawn.
    """
    part = _surroundings(reference)
    factor = longest_side / max(image[part].shape)
    picture = np.repeat(_resized(image[part], factor)[..., None], 3, axis=2)
    for labels, color in ((reference, REFERENCE_COLOR), (predicted, PREDICTED_COLOR)):
        picture[outline(_resized(labels[part], factor), 2)] = color
    return picture


def _surroundings(reference: np.ndarray) -> tuple[slice, slice]:
    """Where the structures are, with some of what is around them; the same for every prediction of a case."""
    parts = []
    for axis, size in enumerate(reference.shape):
        used = np.flatnonzero(reference.any(axis=1 - axis))
        if not len(used):
            return slice(None), slice(None)
        margin = max(_SMALLEST_MARGIN, round(_MARGIN * (used[-1] - used[0] + 1)))
        parts.append(slice(max(0, int(used[0]) - margin), min(size, int(used[-1]) + 1 + margin)))
    return parts[0], parts[1]


def outline(labels: np.ndarray, width: int) -> np.ndarray:
    """Pixels of labels that touch another label or the background within ``width`` pixels; (H, W) bool."""
    edge = np.zeros(labels.shape, dtype=bool)
    for distance in range(1, width + 1):
        for axis in (0, 1):
            for shift in (-distance, distance):
                edge |= labels != np.roll(labels, shift, axis=axis)
    return edge & (labels > 0)


def _resized(array: np.ndarray, factor: float) -> np.ndarray:
    """Nearest neighbours: grey values and labels stay what they are."""
    rows, columns = (np.arange(max(1, round(size * factor))) / factor for size in array.shape)
    last_row, last_column = (size - 1 for size in array.shape)
    return array[np.minimum(rows.astype(int), last_row)[:, None], np.minimum(columns.astype(int), last_column)]


def write_png(picture: np.ndarray, path: str) -> None:
    """Write (rows, columns, 3) uint8 as a PNG file, for a label of the panel to show."""
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkCommonDataModel import vtkImageData
    from vtkmodules.vtkIOImage import vtkPNGWriter

    rows, columns = picture.shape[:2]
    image = vtkImageData()
    image.SetDimensions(columns, rows, 1)
    upright = np.ascontiguousarray(picture[::-1]).reshape(-1, 3)  # VTK counts rows from below
    image.GetPointData().SetScalars(numpy_to_vtk(upright, deep=True))
    writer = vtkPNGWriter()
    writer.SetFileName(path)
    writer.SetInputData(image)
    writer.Write()
