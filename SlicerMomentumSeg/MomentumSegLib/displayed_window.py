"""The range of brightness that the slice views show of a CT volume: what the user sees is what a model is shown."""

from __future__ import annotations

from typing import Any

# Air is -1000 HU in CT; no other kind of image that is measured in units of its own goes so far below zero.
_AIR = -500.0
# Slices that are encoded serve one range of brightness only: a little more or less of it makes no new one.
_STEP = 20


def displayed_window(volume_node: Any) -> tuple[float, float] | None:
    """Lower and upper end of the displayed range, rounded to 20 HU; None for what is no CT: models fit it.

    A model was trained on CT as a radiologist windows it: bone and air would leave a soft organ a few grey values.
    """
    display = volume_node.GetScalarVolumeDisplayNode() if volume_node is not None else None
    if display is None or not is_ct(volume_node):
        return None
    low, high = (_STEP * round(end / _STEP) for end in (display.GetWindowLevelMin(), display.GetWindowLevelMax()))
    return (float(low), float(high)) if low < high else None


def is_ct(volume_node: Any) -> bool:
    """Whether a volume is a CT: DICOM says so, else its values do."""
    modality = volume_node.GetAttribute("DICOM.Modality")
    if modality:
        return bool(modality == "CT")
    image = volume_node.GetImageData()
    return image is not None and image.GetScalarRange()[0] <= _AIR
