"""The usual colour of an anatomical structure: that of the application's table "GenericAnatomyColors"."""

from __future__ import annotations

from typing import Any

_TABLE = "GenericAnatomyColors"


def structure_color(scene: Any, name: str) -> tuple[float, float, float] | None:
    """Red, green and blue (0 to 1) of a structure such as "liver"; None where the table does not know it."""
    table = scene.GetFirstNodeByName(_TABLE)
    if table is None or not table.IsA("vtkMRMLColorTableNode"):
        return None
    for known in (name, name.lower(), name.lower().replace("_", " "), name.lower().replace(" ", "_")):
        index = table.GetColorIndexByName(known)
        if index >= 0:
            color = [0.0, 0.0, 0.0, 0.0]
            table.GetColor(index, color)
            return color[0], color[1], color[2]
    return None
