"""The widgets for prompts: what to place, what is shown, accept, take back. They are loaded into the panel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer

from MomentumSegLib.prompt_request import Answer, SlicePrompts
from MomentumSegLib.translation import tr as _

UI_FILE = Path(__file__).resolve().parents[1] / "Resources" / "UI" / "MomentumSegPrompts.ui"

INSIDE, OUTSIDE, BOX = "inside", "outside", "box"
SCRIBBLE_INSIDE, SCRIBBLE_OUTSIDE = "scribble inside", "scribble outside"


@dataclass(frozen=True)
class Actions:
    """What the buttons do.

    Attributes:
        tool: called with the tool whose button was pressed, and whether it is on now.
    """

    tool: Callable[[str, bool], None]
    accept: Callable[[], Any]
    other_mask: Callable[[], Any]
    take_back: Callable[[], Any]
    clear: Callable[[], Any]
    next_segment: Callable[[], Any]


class PromptSection:
    """Loads the widgets and puts them before the button that follows a segment through the volume.

    Args:
        ui: widgets of the panel; those of the section are added.
        panel: the panel's widget.
        actions: what the buttons do.
    """

    def __init__(self, ui: Any, panel: Any, actions: Actions) -> None:
        self.ui = ui
        self.widget = slicer.util.loadUI(str(UI_FILE))
        own = slicer.util.childWidgetVariables(self.widget)
        for name, widget in vars(own).items():
            if not hasattr(ui, name):
                setattr(ui, name, widget)
        layout = panel.layout()
        layout.insertWidget(layout.indexOf(ui.runFrame), self.widget)
        self.widget.setMRMLScene(slicer.mrmlScene)
        self._tools = {
            INSIDE: ui.insidePointButton,
            OUTSIDE: ui.outsidePointButton,
            BOX: ui.boxButton,
            SCRIBBLE_INSIDE: ui.scribbleInsideButton,
            SCRIBBLE_OUTSIDE: ui.scribbleOutsideButton,
        }
        for name, button in self._tools.items():
            button.connect("clicked(bool)", lambda checked, tool=name: actions.tool(tool, bool(checked)))
        ui.acceptButton.connect("clicked(bool)", lambda checked: actions.accept())
        ui.otherMaskButton.connect("clicked(bool)", lambda checked: actions.other_mask())
        ui.takeBackButton.connect("clicked(bool)", lambda checked: actions.take_back())
        ui.clearPromptsButton.connect("clicked(bool)", lambda checked: actions.clear())
        ui.nextSegmentButton.connect("clicked(bool)", lambda checked: actions.next_segment())

    def set_visible(self, visible: bool) -> None:
        """Show the section; what it takes the place of is hidden by `MethodSection`."""
        self.widget.visible = visible

    def show_tool(self, tool: str) -> None:
        """Press the button of the tool that clicks into the views use; empty: none."""
        for name, button in self._tools.items():
            if bool(button.checked) != (name == tool):
                button.checked = name == tool

    def show_segment(self, name: str) -> None:
        """Say which segment the prompts are for; empty: none."""
        title = _("Prompts for {segment}").format(segment=name) if name else _("Prompts")
        self.ui.promptsCollapsibleButton.text = title

    def show(
        self,
        prompts: SlicePrompts | None,
        answer: Answer | None,
        *,
        is_asking: bool,
        is_usable: bool,
        has_prompts: bool,
    ) -> None:
        """Show what there is on the slice.

        Args:
            prompts: of the slice that ``answer`` is for, or that is in view.
            answer: the mask that is shown and not accepted.
            is_asking: whether a mask is being computed.
            is_usable: whether prompts can be given.
            has_prompts: whether the segment has prompts on any slice.
        """
        ui = self.ui
        for button in self._tools.values():
            button.enabled = is_usable
        ui.refineCheckBox.enabled = is_usable
        ui.acceptButton.enabled = is_usable and (answer is not None or is_asking)
        ui.otherMaskButton.enabled = is_usable and answer is not None and len(answer.alternatives) > 1
        ui.takeBackButton.enabled = is_usable and has_prompts
        ui.clearPromptsButton.enabled = is_usable and has_prompts
        ui.nextSegmentButton.enabled = is_usable
        ui.promptStateLabel.text = _state(prompts, answer, is_asking)


def _state(prompts: SlicePrompts | None, answer: Answer | None, is_asking: bool) -> str:
    if prompts is None:
        return _("No prompt on this slice.")
    given = _given(prompts)
    if answer is None:
        text = _("{given}. Computing the mask ...") if is_asking else _("{given}; nothing new to accept.")
        return text.format(given=given[:1].upper() + given[1:])
    text = _("Slice {index}: {given}. Predicted IoU {iou}.").format(
        index=answer.slice_index, given=given, iou=f"{answer.predicted_iou:.2f}"
    )
    if len(answer.alternatives) > 1:
        text += " " + _("Mask {number} of {count}.").format(number=answer.choice + 1, count=len(answer.alternatives))
    if answer.experimental:
        text += " " + _("This model was not trained for {kinds}: look closely, or draw a box.").format(
            kinds=_(" and ").join(_kind_name(kind) for kind in answer.experimental)
        )
    return text


def _given(prompts: SlicePrompts) -> str:
    """How many prompts of each kind: ``"2 points inside, 1 box"``."""
    counts = [
        (prompts.count("mask"), _("the segment's mask"), ""),
        (prompts.count("point", True), _("{count} point inside"), _("{count} points inside")),
        (prompts.count("point", False), _("{count} point outside"), _("{count} points outside")),
        (prompts.count("box"), _("{count} box"), _("{count} boxes")),
        (prompts.count("scribble", True), _("scribble inside"), ""),
        (prompts.count("scribble", False), _("scribble outside"), ""),
    ]
    words = [(one if count == 1 or not more else more).format(count=count) for count, one, more in counts if count]
    return ", ".join(words)


def _kind_name(kind: str) -> str:
    names = {"points": _("points inside"), "negative points": _("points outside"), "mask": _("refining a mask")}
    return names.get(kind, kind)
