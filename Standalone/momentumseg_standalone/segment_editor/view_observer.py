"""Events of the views, before Slicer's own interaction sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer

# Above the priority of the displayable managers' style (0).
_PRIORITY = 1.0
_EVENTS = (
    "LeftButtonPressEvent",
    "LeftButtonReleaseEvent",
    "LeftButtonDoubleClickEvent",
    "RightButtonPressEvent",
    "RightButtonReleaseEvent",
    "MouseMoveEvent",
    "MouseWheelForwardEvent",
    "MouseWheelBackwardEvent",
    "KeyPressEvent",
    "EnterEvent",
    "LeaveEvent",
)

Process = Callable[[str, Any, Any], bool]
PaintOverlay = Callable[[Any, Any], None]


class ViewObserver:
    """Hands the events of all views to one function.

    Args:
        process: called with the event's name, the interactor and the view's widget; True keeps the event from others.
        paint_overlay: called with a painter and the widget of a slice view after the view was drawn.
    """

    def __init__(self, process: Process, paint_overlay: PaintOverlay) -> None:
        self._process = process
        self._paint_overlay = paint_overlay
        self._observed: list[tuple[Any, int]] = []
        self._overlays: list[tuple[Any, Any]] = []

    def start(self) -> None:
        """Observe the views that there are now."""
        self.stop()
        for widget in slice_widgets():
            self._observe(widget)
            view = widget.sliceView()
            overlay = _bound(self._paint_overlay, widget)
            view._overlays.append(overlay)
            self._overlays.append((view, overlay))

    def stop(self) -> None:
        """Observe no more."""
        for interactor, tag in self._observed:
            interactor.RemoveObserver(tag)
        for view, overlay in self._overlays:
            if overlay in view._overlays:
                view._overlays.remove(overlay)
                view.update()
        self._observed, self._overlays = [], []

    def refresh(self) -> None:
        """Draw the overlays again; the views themselves have not changed."""
        for view, _ in self._overlays:
            view.update()

    def _observe(self, widget: Any) -> None:
        interactor = widget.viewWidget().interactor()
        for event in _EVENTS:
            tag_of: list[int] = []

            def handle(caller: Any, name: str, tag_of: list[int] = tag_of, widget: Any = widget) -> None:
                command = caller.GetCommand(tag_of[0])
                command.SetAbortFlag(int(self._process(name, caller, widget)))

            tag_of.append(interactor.AddObserver(event, handle, _PRIORITY))
            self._observed.append((interactor, tag_of[0]))


def slice_widgets() -> list[Any]:
    """The widgets of the slice views that are shown."""
    manager = slicer.app.layoutManager()
    if manager is None:
        return []
    return [widget for name in manager.sliceViewNames() if (widget := manager.sliceWidget(name)) is not None]


def _bound(paint: PaintOverlay, widget: Any) -> Callable[[Any], None]:
    return lambda painter: paint(painter, widget)
