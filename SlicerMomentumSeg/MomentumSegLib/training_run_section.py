"""The buttons of a training, its bar, its status line, and the picture of a validation case."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import qt
import slicer

from MomentumSegLib.training_metrics import dices_of
from MomentumSegLib.training_phase import TrainingPhase, duration_text
from MomentumSegLib.training_picture import draw_validation, write_png
from MomentumSegLib.translation import tr as _

_STEPS = 1000
_PICTURE_SIDE = 330  # pixels, as wide as a narrow panel allows


class TrainingRunSection:
    """Says what the training does and what the user can do about it.

    Args:
        ui: widgets of the panel.
        on_start, on_pause, on_resume, on_keep, on_new: called when the user wants that.
    """

    def __init__(
        self,
        ui: Any,
        *,
        on_start: Callable[[], None],
        on_pause: Callable[[], None],
        on_resume: Callable[[], None],
        on_keep: Callable[[], None],
        on_new: Callable[[], None],
    ) -> None:
        self.ui = ui
        self._phase = TrainingPhase.IDLE
        self._actions = {"start": on_start, "pause": on_pause, "resume": on_resume}
        ui.startButton.connect("clicked(bool)", lambda checked: self._press())
        ui.keepButton.connect("clicked(bool)", lambda checked: on_keep())
        ui.newButton.connect("clicked(bool)", lambda checked: on_new())
        self.forget_picture()

    def show(self, phase: TrainingPhase, problem: str) -> None:
        """Show the state.

        Args:
            phase: of the controller.
            problem: why a training cannot begin; empty: it can.
        """
        self._phase = phase
        ui = self.ui
        text, tip, enabled = _main_button(phase, problem)
        ui.startButton.text, ui.startButton.toolTip, ui.startButton.enabled = text, tip, enabled
        ui.keepButton.visible = phase in (TrainingPhase.TRAINING, TrainingPhase.PAUSING, TrainingPhase.PAUSED)
        ui.keepButton.enabled = phase in (TrainingPhase.TRAINING, TrainingPhase.PAUSED)
        ui.newButton.visible = phase is TrainingPhase.PAUSED
        ui.trainingProgressBar.visible = phase is not TrainingPhase.IDLE
        if phase is TrainingPhase.FINISHED:
            self._bar(1.0, _("finished"))

    def say(self, sentence: str) -> None:
        self.ui.statusLabel.text = sentence

    def show_preparing(self, fraction: float) -> None:
        """Before the first iteration: reading and preparing of cases. Negative: nobody knows how far."""
        bar = self.ui.trainingProgressBar
        bar.maximum = _STEPS if fraction >= 0 else 0
        bar.value = round(_STEPS * max(fraction, 0))
        bar.format = _("preparing, %p %")

    def show_progress(self, values: Mapping[str, Any]) -> None:
        """Show how far the training is: ``iteration`` of ``iterations``, ``remaining_seconds``."""
        iteration, iterations = int(values.get("iteration") or 0), int(values.get("iterations") or 0)
        remaining = values.get("remaining_seconds")
        left = _("{duration} left").format(duration=duration_text(float(remaining))) if remaining is not None else ""
        self._bar(iteration / iterations if iterations else 0.0, left or "%p %")
        text = _("Iteration {iteration} of {iterations}.").format(iteration=iteration, iterations=iterations)
        self.say(f"{text} {sentence}" if (sentence := _losses_text(values)) else text)

    def show_picture(self, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Show a validation case: arrays ``image``, ``reference`` and ``predicted``, (H, W) uint8 each."""
        if not {"image", "reference", "predicted"} <= set(arrays):
            return
        picture = draw_validation(arrays["image"], arrays["reference"], arrays["predicted"], _PICTURE_SIDE)
        path = Path(slicer.app.temporaryPath) / "momentumseg-training-validation.png"
        write_png(picture, str(path))
        pixmap = qt.QPixmap(str(path))
        path.unlink(missing_ok=True)
        self.ui.pictureLabel.setPixmap(pixmap)
        self.ui.pictureLabel.visible = True
        self.ui.captionLabel.visible = True
        caption = _("{case} at iteration {iteration}: reference green, prediction orange. Dice {dice}.")
        self.ui.captionLabel.text = caption.format(
            case=values.get("case") or _("Validation"),
            iteration=int(values.get("iteration") or 0),
            dice=", ".join(f"{name} {value:.2f}" for name, value in dices_of(values)[0].items()) or _("not known"),
        )

    def forget_picture(self) -> None:
        """Another training begins."""
        self.ui.pictureLabel.visible = False
        self.ui.captionLabel.visible = False

    def _bar(self, fraction: float, text: str) -> None:
        bar = self.ui.trainingProgressBar
        bar.maximum = _STEPS
        bar.value = round(_STEPS * fraction)
        bar.format = text

    def _press(self) -> None:
        if self._phase in (TrainingPhase.TRAINING, TrainingPhase.CHECKING):
            self._actions["pause"]()
        elif self._phase is TrainingPhase.PAUSED:
            self._actions["resume"]()
        elif not self._phase.is_busy:
            self._actions["start"]()


def _losses_text(values: Mapping[str, Any]) -> str:
    losses = values.get("losses") or {}
    parts = [_("Loss {value}").format(value=f"{losses['loss']:.3f}")] if "loss" in losses else []
    _by_name, mean = dices_of(values)
    if mean is not None:
        parts.append(_("mean Dice of the validation {value}").format(value=f"{mean:.2f}"))
    return f"{', '.join(parts)}." if parts else ""


def _main_button(phase: TrainingPhase, problem: str) -> tuple[str, str, bool]:
    """Text, tool tip and whether it can be pressed."""
    if phase is TrainingPhase.CHECKING:
        return _("Cancel"), _("Give the check up; nothing has been started"), True
    if phase is TrainingPhase.TRAINING:
        return _("Pause"), _("Stop after this iteration; Resume goes on from there, also after a restart"), True
    if phase is TrainingPhase.PAUSING:
        return _("Pausing ..."), _("The iteration is finished and the checkpoint written"), False
    if phase is TrainingPhase.KEEPING:
        return _("Keeping ..."), _("The best state becomes a model"), False
    if phase is TrainingPhase.PAUSED:
        return _("Resume"), _("Go on from the last checkpoint"), True
    tip = problem or _("Check once more, and train; one can segment meanwhile")
    return _("Start training"), tip, not problem
