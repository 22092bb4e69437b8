"""Sections that open and close: ctkCollapsibleButton, ctkCollapsibleGroupBox, ctkExpandButton."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from momentumseg_standalone.ctk_widgets.properties import stored
from momentumseg_standalone.pythonqt.rules import stand_in

_Alignment = QtCore.Qt.AlignmentFlag
_FULL_HEIGHT = 16777215  # QWIDGETSIZE_MAX


def _show_children(widget: QtWidgets.QWidget, shown: bool) -> None:
    """Hide the children of a collapsed section; those that were hidden on purpose stay hidden when it opens."""
    for child in QtCore.QObject.children(widget):
        if not isinstance(child, QtWidgets.QWidget) or child.isWindow():
            continue
        if not shown and not child.isHidden():
            QtCore.QObject.setProperty(child, "_q_collapsed", True)
            child.hide()
        elif shown and QtCore.QObject.property(child, "_q_collapsed"):
            QtCore.QObject.setProperty(child, "_q_collapsed", None)
            child.show()


@stand_in
class ctkCollapsibleButton(QtWidgets.QAbstractButton):  # noqa: N801 - the name of the class it plays
    """A title bar with an arrow; the widgets in its layout are hidden while it is collapsed."""

    contentsCollapsed = QtCore.Signal(bool)

    def __init__(self, *arguments: Any) -> None:
        """Take a parent, or a title and a parent."""
        texts = [a for a in arguments if isinstance(a, str)]
        parents = [a for a in arguments if a is not None and not isinstance(a, str)]
        self._collapsed = False
        self._collapsed_height = 10
        self._flat = False
        self._frame_shape = QtWidgets.QFrame.Shape.NoFrame
        self._frame_shadow = QtWidgets.QFrame.Shadow.Plain
        self._line_width = 1
        self._mid_line_width = 0
        self._text_alignment = _Alignment.AlignLeft | _Alignment.AlignVCenter
        self._indicator_alignment = _Alignment.AlignLeft | _Alignment.AlignVCenter
        super().__init__(*parents[:1])
        self.checkable = True
        self.checked = True
        self.text = texts[0] if texts else ""
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Minimum, QtWidgets.QSizePolicy.Policy.Preferred)
        self._leave_room_for_title()
        QtCore.QObject.connect(self, QtCore.SIGNAL("toggled(bool)"), lambda checked: self._collapse(not checked))

    def _title_height(self) -> int:
        return self.fontMetrics().height() + 10

    def _collapse(self, collapsed: bool) -> None:
        if collapsed == self._collapsed:
            return
        self._collapsed = collapsed
        self.checked = not collapsed
        self.setMaximumHeight(self._title_height() + self._collapsed_height if collapsed else _FULL_HEIGHT)
        _show_children(self, not collapsed)
        self.updateGeometry()
        self.contentsCollapsed.emit(collapsed)

    collapsed = QtCore.Property(bool, lambda self: self._collapsed, _collapse)
    collapsedHeight = stored(int, "_collapsed_height")
    flat = stored(bool, "_flat")
    contentsFrameShape = stored(QtWidgets.QFrame.Shape, "_frame_shape")
    contentsFrameShadow = stored(QtWidgets.QFrame.Shadow, "_frame_shadow")
    contentsLineWidth = stored(int, "_line_width")
    contentsMidLineWidth = stored(int, "_mid_line_width")
    buttonTextAlignment = stored(_Alignment, "_text_alignment")
    indicatorAlignment = stored(_Alignment, "_indicator_alignment")

    def event(self, event: QtCore.QEvent) -> bool:
        """Keep the layout below the title bar; hide what is added while collapsed."""
        if event.type() == QtCore.QEvent.Type.LayoutRequest or event.type() == QtCore.QEvent.Type.StyleChange:
            self._leave_room_for_title()
        return super().event(event)

    def childEvent(self, event: QtCore.QChildEvent) -> None:
        """Keep the layout below the title bar from the first child on."""
        self._leave_room_for_title()
        super().childEvent(event)

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        """Keep the layout below the title bar."""
        self._leave_room_for_title()
        super().resizeEvent(event)

    def _leave_room_for_title(self) -> None:
        """Make the title a margin of the layout, or, without one, the smallest height.

        Qt could not ask for a size hint of our own, since PythonQt makes a property of it.
        """
        margins = QtCore.QMargins(0, self._title_height(), 0, 0)
        if self.contentsMargins() != margins:
            self.setContentsMargins(margins)
        smallest = self._title_height() if self.layout() is None else 0
        if QtWidgets.QWidget.minimumHeight(self) != smallest:
            self.setMinimumHeight(smallest)

    def hitButton(self, position: QtCore.QPoint) -> bool:
        """Only a click on the title bar opens and closes."""
        return position.y() <= self._title_height()

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        """Open and close by Return as well as by the space bar."""
        if event.key() in (QtCore.Qt.Key.Key_Return, QtCore.Qt.Key.Key_Enter):
            self.click()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        """Draw the title bar as the style draws a button, with an arrow."""
        painter = QtWidgets.QStylePainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = QtCore.QRect(0, 0, QtWidgets.QWidget.width(self), self._title_height())
        if not self._flat:
            option.state |= QtWidgets.QStyle.StateFlag.State_Raised
            painter.drawControl(QtWidgets.QStyle.ControlElement.CE_PushButtonBevel, option)
        arrow = QtWidgets.QStyleOption()
        arrow.initFrom(self)
        side = self._title_height() - 14
        arrow.rect = QtCore.QRect(8, 7, side, side)
        shape = QtWidgets.QStyle.PrimitiveElement
        painter.drawPrimitive(shape.PE_IndicatorArrowRight if self._collapsed else shape.PE_IndicatorArrowDown, arrow)
        text = option.rect.adjusted(side + 16, 0, -6, 0)
        painter.drawItemText(
            text, int(self._text_alignment), option.palette, QtWidgets.QWidget.isEnabled(self),
            QtWidgets.QAbstractButton.text(self), QtGui.QPalette.ColorRole.ButtonText,
        )  # fmt: skip


@stand_in
class ctkCollapsibleGroupBox(QtWidgets.QGroupBox):  # noqa: N801
    """A group box whose title opens and closes it."""

    def __init__(self, *arguments: Any) -> None:
        """Take a parent, or a title and a parent."""
        self._collapsed = False
        self._collapsed_height = 14
        super().__init__(*(a for a in arguments if a is not None))
        self.checkable = True
        self.checked = True
        QtCore.QObject.connect(self, QtCore.SIGNAL("toggled(bool)"), lambda checked: self._collapse(not checked))

    def _collapse(self, collapsed: bool) -> None:
        if collapsed == self._collapsed:
            return
        self._collapsed = collapsed
        self.checked = not collapsed
        height = self.fontMetrics().height() + self._collapsed_height
        self.setMaximumHeight(height if collapsed else _FULL_HEIGHT)
        _show_children(self, not collapsed)
        self.updateGeometry()

    collapsed = QtCore.Property(bool, lambda self: self._collapsed, _collapse)
    collapsedHeight = stored(int, "_collapsed_height")

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        """Draw an arrow instead of the group box's check mark."""
        painter = QtWidgets.QStylePainter(self)
        option = QtWidgets.QStyleOptionGroupBox()
        self.initStyleOption(option)
        check = QtWidgets.QStyle.SubControl.SC_GroupBoxCheckBox
        label = QtWidgets.QStyle.SubControl.SC_GroupBoxLabel
        kind = QtWidgets.QStyle.ComplexControl.CC_GroupBox
        where, title = (self.style().subControlRect(kind, option, part, self) for part in (check, label))
        option.subControls &= ~(check | label)
        painter.drawComplexControl(kind, option)
        flags = int(_Alignment.AlignLeft | _Alignment.AlignVCenter | QtCore.Qt.TextFlag.TextShowMnemonic)
        painter.drawItemText(title, flags, option.palette, self.isEnabled(), option.text, QtGui.QPalette.ColorRole.Text)
        arrow = QtWidgets.QStyleOption()
        arrow.initFrom(self)
        arrow.rect = where
        shape = QtWidgets.QStyle.PrimitiveElement
        painter.drawPrimitive(shape.PE_IndicatorArrowRight if self._collapsed else shape.PE_IndicatorArrowDown, arrow)


@stand_in
class ctkExpandButton(QtWidgets.QToolButton):  # noqa: N801
    """A small checkable arrow button."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        """Make an unchecked button."""
        self._orientation = QtCore.Qt.Orientation.Horizontal
        self._mirror = True
        super().__init__(parent)
        self.checkable = True
        self._show_arrow()
        QtCore.QObject.connect(self, QtCore.SIGNAL("toggled(bool)"), lambda checked: self._show_arrow())

    def _show_arrow(self) -> None:
        arrows = QtCore.Qt.ArrowType
        turned = self._mirror and self.isChecked()
        horizontal = (arrows.RightArrow, arrows.LeftArrow)
        vertical = (arrows.DownArrow, arrows.UpArrow)
        pair = horizontal if self._orientation == QtCore.Qt.Orientation.Horizontal else vertical
        self.setArrowType(pair[turned])

    orientation = stored(QtCore.Qt.Orientation, "_orientation", _show_arrow)
    mirrorOnExpand = stored(bool, "_mirror", _show_arrow)
