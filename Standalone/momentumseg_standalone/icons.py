"""The application's icons: drawn by us, in the colour of the text, so that they suit light and dark palettes."""

from __future__ import annotations

from functools import cache

from PySide6 import QtCore, QtGui, QtSvg, QtWidgets

_SIZE = 24

# SVG in a box of 24 x 24, drawn as lines; "currentColor" is the palette's text colour.
_DRAWINGS = {
    "open": '<path d="M3 19V6h6l2 2h9v3M3 19l3-8h16l-3 8z"/>',
    "dicom": '<path d="M3 19V6h6l2 2h10v11z"/><circle cx="12" cy="13.5" r="3"/>',
    "save": '<path d="M4 4h13l3 3v13H4zM8 4v5h7V4M7 20v-7h10v7"/>',
    "undo": '<path d="M8 5 3 10l5 5M3 10h11a6 5 0 0 1 0 10h-3"/>',
    "redo": '<path d="m16 5 5 5-5 5M21 10H10a6 5 0 0 0 0 10h3"/>',
    "view": '<path d="M6 3v15l4-4 3 7 2.5-1-3-7H18z"/>',
    "window_level": '<circle cx="12" cy="12" r="8"/><path d="M12 4a8 8 0 0 1 0 16z" fill="currentColor"/>',
    "point": '<circle cx="12" cy="12" r="3" fill="currentColor"/><path d="M12 3v5M12 16v5M3 12h5M16 12h5"/>',
    "region": '<path d="M4 8h12v12H4zM4 8l4-4h12v12l-4 4M16 8l4-4"/>',
    "crosshair": '<path d="M12 2v8M12 14v8M2 12h8M14 12h8"/>',
    "layout": '<path d="M3 4h18v16H3zM12 4v16M3 12h18"/>',
    "none": '<path d="M6 3v15l4-4 3 7 2.5-1-3-7H18z"/>',
    "paint": '<path d="M20 3c1 1 1 2 0 3l-8 8-3-3 8-8c1-1 2-1 3 0zM9 11c-3 0-4 2-4 4s-1 3-3 4c4 2 10 1 10-5"/>',
    "draw": '<path d="m4 20 1-5L16 4l4 4L9 19zM13 7l4 4"/>',
    "erase": '<path d="m4 15 9-10 7 6-8 9H8zM9 9l7 6M12 20h8"/>',
    "threshold": '<path d="M3 20h18M5 20v-4h3v4M10 20V9h3v11M15 20V4h3v16"/><path d="M2 12h20" stroke-dasharray="2"/>',
    "scissors": '<circle cx="6" cy="6" r="3"/><circle cx="6" cy="18" r="3"/><path d="m8.5 7.5 12 9M8.5 16.5l12-9"/>',
    "islands": '<path d="M5 8c2-4 8-3 8 1s-3 5-6 4-3-3-2-5zM15 16c1-2 5-2 5 1s-4 4-5 2-1-2 0-3z"/>',
    "add": '<path d="M12 4v16M4 12h16"/>',
    "remove": '<path d="M4 12h16"/>',
    "visible": '<path d="M2 12c5-8 15-8 20 0-5 8-15 8-20 0z"/><circle cx="12" cy="12" r="3" fill="currentColor"/>',
    "hidden": '<path d="M2 12c5 6 15 6 20 0M5 15l-2 3M12 17v3M19 15l2 3"/>',
    "fit": '<path d="M14 4h6v6M20 4l-7 7M10 20H4v-6M4 20l7-7"/>',
    "maximize": '<path d="M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5"/>',
    "surface": '<path d="m12 2 9 5v10l-9 5-9-5V7zM12 12l9-5M12 12 3 7M12 12v10"/>',
}


@cache
def icon(name: str) -> QtGui.QIcon:
    """The icon of a name; KeyError for an unknown one."""
    palette = QtWidgets.QApplication.palette()
    result = QtGui.QIcon()
    groups = {
        QtGui.QIcon.Mode.Normal: QtGui.QPalette.ColorGroup.Active,
        QtGui.QIcon.Mode.Disabled: QtGui.QPalette.ColorGroup.Disabled,
    }
    for mode, group in groups.items():
        color = palette.color(group, QtGui.QPalette.ColorRole.ButtonText)
        for scale in (1, 2):
            result.addPixmap(_pixmap(_DRAWINGS[name], color, scale), mode)
    return result


def _pixmap(drawing: str, color: QtGui.QColor, scale: int) -> QtGui.QPixmap:
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_SIZE} {_SIZE}" fill="none" '
        f'stroke="{color.name()}" stroke-width="1.7" stroke-linejoin="round" stroke-linecap="round">'
        f"{drawing.replace('currentColor', color.name())}</svg>"
    )
    pixmap = QtGui.QPixmap(_SIZE * scale, _SIZE * scale)
    pixmap.fill(QtCore.Qt.GlobalColor.transparent)
    painter = QtGui.QPainter(pixmap)
    QtSvg.QSvgRenderer(QtCore.QByteArray(svg.encode())).render(painter)
    painter.end()
    pixmap.setDevicePixelRatio(scale)
    return pixmap
