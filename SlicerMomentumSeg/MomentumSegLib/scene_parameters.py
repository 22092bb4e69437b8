"""The parameters of the scene while the panel is shown: bound to the widgets, and observed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import vtk


class SceneParameters:
    """Binds the module's parameter node to the panel and lets go of it again.

    Args:
        ui: widgets of the panel; those with the property SlicerParameterName show a parameter.
        logic: of the module; gives the parameter node.
        on_changed: called whenever a parameter changed.
    """

    def __init__(self, ui: Any, logic: Any, on_changed: Callable[[], None]) -> None:
        self._ui = ui
        self._logic = logic
        self._on_changed = on_changed
        self._gui_tag: Any = None
        self._observer_tag: Any = None
        self.node: Any = None

    def connect(self) -> None:
        """Show the parameters of the scene, and write into them what the user chooses."""
        if self.node is not None:
            return
        self.node = self._logic.getParameterNode()
        self._gui_tag = self.node.connectParametersToGui(self._bound_widgets())
        self._observer_tag = self.node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._changed)

    def disconnect(self) -> None:
        """What the widgets do from now on is no choice of the user."""
        if self.node is None:
            return
        self.node.disconnectGui(self._gui_tag)
        self.node.RemoveObserver(self._observer_tag)
        self.node = None

    def set(self, name: str, value: Any) -> None:
        """Keep what was chosen with a widget that shows no parameter by itself."""
        if self.node is not None:
            setattr(self.node, name, value)

    def setter(self, name: str) -> Callable[[Any], None]:
        """`set` for one parameter."""
        return lambda value: self.set(name, value)

    def _bound_widgets(self) -> dict[str, Any]:
        """Parameter name -> widget, as the .ui files say. Slicer's `connectGui` finds them too, but returns no tag."""
        names = {widget.property("SlicerParameterName"): widget for widget in vars(self._ui).values()}
        return {str(name): widget for name, widget in names.items() if name}

    def _changed(self, caller: Any = None, event: Any = None) -> None:
        self._on_changed()
