"""Messages and settings: ctkMessageBox, ctkSettingsPanel, ctkFittedTextBrowser."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from momentumseg_standalone.ctk_widgets.properties import stored
from momentumseg_standalone.pythonqt.rules import stand_in


@stand_in
class ctkMessageBox(QtWidgets.QMessageBox):  # noqa: N801 - the name of the class it plays
    """A message box that can be told not to come again."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        """Make an empty message."""
        self._settings_key = ""
        super().__init__(parent)
        self._check_box = QtWidgets.QCheckBox("Don't show this message again")
        QtWidgets.QMessageBox.setCheckBox(self, self._check_box)
        self._check_box.hide()
        QtCore.QObject.connect(self, QtCore.SIGNAL("finished(int)"), self.onFinished)

    def _remembered(self) -> int | None:
        """Return the button that closed the message when it was told not to come again."""
        if not self._settings_key:
            return None
        value = QtCore.QSettings().value(self._settings_key)
        return None if value in (None, "") else int(value)  # type: ignore[call-overload]

    def exec(self) -> int:
        """Show the message and wait; return the remembered button at once if it must not come again."""
        remembered = self._remembered()
        return super().exec() if remembered is None else remembered

    def onFinished(self, resultCode: int) -> None:  # noqa: N803
        """Remember the button if the message must not come again."""
        clicked = self.clickedButton()
        if self._settings_key and self._check_box.isChecked() and clicked is not None:
            QtCore.QSettings().setValue(self._settings_key, int(self.standardButton(clicked)))

    def setDontShowAgain(self, checked: bool) -> None:
        """Check or uncheck "don't show again"."""
        self._check_box.checked = checked

    def _set_visible(self, visible: bool) -> None:
        self._check_box.setVisible(visible)

    def _set_key(self, key: str) -> None:
        self._settings_key = key
        self._set_visible(bool(key))

    dontShowAgain = QtCore.Property(bool, lambda self: self._check_box.isChecked(), setDontShowAgain)
    dontShowAgainSettingsKey = QtCore.Property(str, lambda self: self._settings_key, _set_key)
    dontShowAgainVisible = QtCore.Property(bool, lambda self: not self._check_box.isHidden(), _set_visible)


@stand_in
class ctkSettingsPanel(QtWidgets.QWidget):  # noqa: N801
    """A page of the settings dialog: widgets' properties that are kept in QSettings."""

    OptionNone, OptionRequireRestart, OptionAll_Mask = 0, 1, 1

    settingChanged = QtCore.Signal(str, object)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        """Make an empty page that keeps its values in the application's settings."""
        self._settings: QtCore.QSettings | None = None
        self._registered: dict[str, tuple[QtCore.QObject, str, Any]] = {}
        super().__init__(parent)

    def _store(self) -> QtCore.QSettings:
        return self._settings if self._settings is not None else QtCore.QSettings()

    def registerProperty(
        self,
        key: str,
        receiver: QtCore.QObject,
        property_name: str,
        signal: str | bytes,
        label: str = "",
        options: int = 0,
        settings: QtCore.QSettings | None = None,
    ) -> None:
        """Keep a widget's property under a key; `signal` (as SIGNAL gives it) tells that the user changed it."""
        name = signal.decode() if isinstance(signal, bytes) else signal
        default = QtCore.QObject.property(receiver, property_name)
        self._registered[key] = (receiver, property_name, default)
        stored_value = self._store().value(key)
        if stored_value is not None:
            QtCore.QObject.setProperty(receiver, property_name, stored_value)
        receiver.connect(name.lstrip("012"), lambda: self._changed(key))

    def _changed(self, key: str) -> None:
        receiver, property_name, _ = self._registered[key]
        value = QtCore.QObject.property(receiver, property_name)
        self._store().setValue(key, value)
        self.settingChanged.emit(key, value)

    def applySettings(self) -> None:
        """Nothing to do: values count as soon as they are changed."""

    def resetSettings(self) -> None:
        """Show the kept values again."""
        self.reloadSettings()

    def reloadSettings(self) -> None:
        """Show the kept values again."""
        for key, (receiver, property_name, default) in self._registered.items():
            QtCore.QObject.setProperty(receiver, property_name, self._store().value(key, default))

    def restoreDefaultSettings(self) -> None:
        """Go back to the values that the widgets had when they were registered."""
        for receiver, property_name, default in self._registered.values():
            QtCore.QObject.setProperty(receiver, property_name, default)


@stand_in
class ctkFittedTextBrowser(QtWidgets.QTextBrowser):  # noqa: N801
    """A text browser that is as high as its text."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        """Make an empty, open browser."""
        self._collapsed, self._no_scroll = False, False
        self._more, self._less = "Show details...", "Hide details."
        self._teaser, self._details = "", ""
        super().__init__(parent)
        QtCore.QObject.connect(self, QtCore.SIGNAL("textChanged()"), self._fit)

    def _fit(self) -> None:
        height = self._height()
        if self.minimumHeight != height or self.maximumHeight != height:
            self.setFixedHeight(height)

    def _height(self) -> int:
        document = QtWidgets.QTextEdit.document(self)
        document.setTextWidth(max(50, QtWidgets.QWidget.width(self) - 2 * self.frameWidth - 4))
        return int(document.size.height()) + 2 * self.frameWidth + 4

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        """Break the lines anew."""
        super().resizeEvent(event)
        self._fit()

    def wheelEvent(self, event: QtGui.QWheelEvent) -> None:
        """Leave the wheel to the panel around, if asked to."""
        if self._no_scroll:
            event.ignore()
        else:
            super().wheelEvent(event)

    def setCollapsibleText(self, text: str) -> None:
        """Show the first line, and all when the user asks for the details."""
        self._details = text
        self._teaser = text.split("\n", 1)[0]
        self._show()

    def setCollapsibleHtml(self, html: str) -> None:
        """Show a text with formats."""
        self._details = self._teaser = html
        self._show()

    def setCollapsiblePlainText(self, text: str) -> None:
        """Show a text without formats: the first line, and all when the user asks for the details."""
        self.setCollapsibleText(text)

    def collapsibleText(self) -> str:
        """Return the whole text."""
        return self._details

    def _show(self) -> None:
        if self._details:
            self.setText(self._teaser if self._collapsed else self._details)

    collapsed = stored(bool, "_collapsed", _show)
    disableMouseScroll = stored(bool, "_no_scroll")
    showDetailsText = stored(str, "_more", _show)
    hideDetailsText = stored(str, "_less", _show)
