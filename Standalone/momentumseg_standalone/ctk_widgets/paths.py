"""Choosing files and folders: ctkPathLineEdit, ctkDirectoryButton."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from momentumseg_standalone.ctk_widgets.properties import forwarded, stored
from momentumseg_standalone.pythonqt.rules import stand_in

_HISTORY_LENGTH = 10


@stand_in
class ctkPathLineEdit(QtWidgets.QWidget):  # noqa: N801 - the name of the class it plays
    """A path to type, to choose from earlier ones, or to browse for."""

    # QDir's filters, which the real class repeats.
    Dirs, Files, Drives, NoSymLinks = 0x001, 0x002, 0x004, 0x008
    AllEntries, TypeMask = 0x007, 0x00F
    Readable, Writable, Executable, PermissionMask = 0x010, 0x020, 0x040, 0x070
    Modified, Hidden, System, AccessMask = 0x080, 0x100, 0x200, 0x3F0
    AllDirs, CaseSensitive, NoDot, NoDotDot, NoDotAndDotDot, NoFilter = 0x400, 0x800, 0x2000, 0x4000, 0x6000, -1
    ShowDirsOnly, DontResolveSymlinks, DontConfirmOverwrite = 0x1, 0x2, 0x4
    DontUseSheet, DontUseNativeDialog, ReadOnly, HideNameFilterDetails = 0x8, 0x10, 0x20, 0x40
    AdjustToContents, AdjustToContentsOnFirstShow, AdjustToMinimumContentsLength = 0, 1, 2

    validInputChanged = QtCore.Signal(bool)
    currentPathChanged = QtCore.Signal(str)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        """Make an empty path."""
        self._path, self._valid = "", False
        self._label, self._setting_key = "", ""
        self._filters = self.AllEntries | self.NoDotAndDotDot | self.Readable
        self._options, self._size_policy = 0, self.AdjustToContentsOnFirstShow
        self._name_filters: list[str] = []
        super().__init__(parent)
        self._combo_box = QtWidgets.QComboBox()
        self._combo_box.editable = True
        self._combo_box.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
        self._combo_box.minimumContentsLength = 8
        self._button = QtWidgets.QToolButton()
        self._button.text = "..."
        self._button.toolTip = "Browse"
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo_box)
        layout.addWidget(self._button)
        self.setFocusProxy(self._combo_box)
        self._combo_box.connect("editTextChanged(QString)", self._on_text)
        self._button.connect("clicked()", self.browse)

    def _on_text(self, text: str) -> None:
        path = os.path.normpath(os.path.expanduser(text)).replace("\\", "/") if text else ""
        if path != self._path:
            self._path = path
            self.currentPathChanged.emit(path)
        valid = bool(path) and self._fits(path)
        if valid != self._valid:
            self._valid = valid
            self.validInputChanged.emit(valid)

    def _fits(self, path: str) -> bool:
        if self._filters == self.NoFilter:
            return True
        folders, files = self._filters & (self.Dirs | self.AllDirs), self._filters & self.Files
        if os.path.isdir(path):
            return bool(folders)
        writable = self._filters & self.Writable and not self._filters & self.Readable
        return bool(files) and (os.path.isfile(path) or bool(writable and os.path.isdir(os.path.dirname(path))))

    def setCurrentPath(self, path: str) -> None:
        """Show a path."""
        if path != self._path:
            self._combo_box.setEditText(path)

    def comboBox(self) -> QtWidgets.QComboBox:
        """Return the inner combo box."""
        return self._combo_box

    def browse(self) -> None:
        """Ask for a path in a dialog."""
        title = self._label or "Select a path"
        start = self._path or str(Path.home())
        name_filter = ";;".join(self._name_filters)
        dialog = QtWidgets.QFileDialog
        if not self._filters & self.Files:
            path = dialog.getExistingDirectory(self, title, start)
        elif self._filters & self.Writable and not self._filters & self.Readable:
            path = dialog.getSaveFileName(self, title, start, name_filter)[0]
        else:
            path = dialog.getOpenFileName(self, title, start, name_filter)[0]
        if path:
            self.setCurrentPath(path)
            self.addCurrentPathToHistory()

    def addCurrentPathToHistory(self) -> None:
        """Offer the current path again next time (kept under `settingKey`)."""
        if not self._path:
            return
        box = self._combo_box
        history = [self._path] + [t for t in (box.itemText(i) for i in range(box.count)) if t != self._path]
        self._show_history(history[:_HISTORY_LENGTH])
        if self._setting_key:
            QtCore.QSettings().setValue(self._setting_key, history[:_HISTORY_LENGTH])

    def retrieveHistory(self) -> None:
        """Offer the paths that were kept under `settingKey`."""
        stored_paths = QtCore.QSettings().value(self._setting_key, []) if self._setting_key else []
        self._show_history([stored_paths] if isinstance(stored_paths, str) else list(stored_paths or []))

    def _show_history(self, paths: list[str]) -> None:
        current = self._path
        self._combo_box.blockSignals(True)
        self._combo_box.clear()
        self._combo_box.addItems(paths)
        self._combo_box.setEditText(current)
        self._combo_box.blockSignals(False)

    def _show_button(self, shown: bool) -> None:
        self._button.setVisible(shown)

    label = stored(str, "_label")
    filters = stored(int, "_filters")
    currentPath = QtCore.Property(str, lambda self: self._path, setCurrentPath)
    options = stored(int, "_options")
    settingKey = stored(str, "_setting_key", retrieveHistory)
    showBrowseButton = QtCore.Property(bool, lambda self: not self._button.isHidden(), _show_button)
    sizeAdjustPolicy = stored(int, "_size_policy")
    minimumContentsLength = forwarded(int, "_combo_box", "minimumContentsLength")
    nameFilters = stored("QStringList", "_name_filters")


@stand_in
class ctkDirectoryButton(QtWidgets.QWidget):  # noqa: N801
    """A button that shows a folder and asks for another one."""

    ShowDirsOnly, DontResolveSymlinks, DontConfirmOverwrite = 0x1, 0x2, 0x4
    DontUseSheet, DontUseNativeDialog, ReadOnly, HideNameFilterDetails = 0x8, 0x10, 0x20, 0x40

    directoryChanged = QtCore.Signal(str)
    directorySelected = QtCore.Signal(str)

    def __init__(self, *arguments: Any) -> None:
        """Take a parent, or a folder and a parent."""
        texts = [a for a in arguments if isinstance(a, str)]
        self._directory = texts[0] if texts else os.getcwd()
        self._caption, self._text = "", ""
        self._options = self.ShowDirsOnly
        self._elide = QtCore.Qt.TextElideMode.ElideMiddle
        self._accept_mode = QtWidgets.QFileDialog.AcceptMode.AcceptOpen
        self._icon = QtGui.QIcon()
        super().__init__(*[a for a in arguments if isinstance(a, QtWidgets.QWidget)])
        self._button = QtWidgets.QPushButton()
        self._button.setMinimumWidth(80)
        self._button.setSizePolicy(QtWidgets.QSizePolicy.Policy.Ignored, QtWidgets.QSizePolicy.Policy.Fixed)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._button)
        self.setFocusProxy(self._button)
        self._icon = self.style().standardIcon(QtWidgets.QStyle.StandardPixmap.SP_DirIcon)
        self._button.connect("clicked()", self.browse)
        self._show()

    def _show(self) -> None:
        text = self._text or self._directory
        room = max(40, self._button.width - 40)
        self._button.text = self.fontMetrics().elidedText(text, self._elide, room).replace("&", "&&")
        self._button.icon = self._icon

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        """Shorten the text anew."""
        super().resizeEvent(event)
        self._show()

    def _set_directory(self, directory: str) -> None:
        if directory != self._directory:
            self._directory = directory
            self._show()
            self.directoryChanged.emit(directory)

    def browse(self) -> None:
        """Ask for a folder in a dialog."""
        caption = self._caption or "Select directory"
        directory = QtWidgets.QFileDialog.getExistingDirectory(self, caption, self._directory)
        if directory:
            self._set_directory(directory)
            self.directorySelected.emit(directory)

    acceptMode = stored(QtWidgets.QFileDialog.AcceptMode, "_accept_mode")
    directory = QtCore.Property(str, lambda self: self._directory, _set_directory)
    caption = stored(str, "_caption")
    text = stored(str, "_text", _show)
    icon = stored(QtGui.QIcon, "_icon", _show)
    elideMode = stored(QtCore.Qt.TextElideMode, "_elide", _show)
    options = stored(int, "_options")
