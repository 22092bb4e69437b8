"""A prompted session that serves many requests: each names all prompts of a slice, and only what is new is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from momentumseg.sessions.prompt import PromptSession
from momentumseg.sessions.prompt_decoder import SlicePrediction
from momentumseg.sessions.prompt_objects import MaskPrompt, PointPrompt, Prompt, ScribblePrompt
from momentumseg.transforms.prompt_preprocessing import IntensityWindow
from momentumseg.volumes.volume import Volume


class KeptPrompts:
    """A session with its model and device; objects have the client's names.

    Args:
        session: new, without a volume.
        model, device: as the client named them.
        experimental: kinds of prompts that the model was not trained for.
        notice: what must be shown before the model is used; empty for most.
    """

    def __init__(
        self, session: PromptSession, model: str, device: str, experimental: frozenset[str], notice: str
    ) -> None:
        self.session = session
        self.model = model
        self.device = device
        self.notice = notice
        self._experimental = experimental
        self._volume: tuple[Volume, str, IntensityWindow | None] | None = None
        self._numbers: dict[tuple[str, str, str], int] = {}

    def close(self) -> None:
        """Give the embeddings back."""
        self.session.close()

    def of_volume(self, volume: Volume, plane: str, window: IntensityWindow | None) -> PromptSession:
        """The session with this volume, plane and window set."""
        known = self._volume
        if known is None or known[0] is not volume or known[1:] != (plane, window):
            self._volume = None  # should the volume be refused, the next request sets its own again
            self.session.set_volume(volume, plane=plane, window=window)
            self._volume = volume, plane, window
        return self.session

    def object_number(self, name: str, label: int) -> int:
        """The session's number of an object of this volume and plane; a new one when the name is new."""
        slices = self.session.slices
        key = slices.id, slices.space.plane, name
        if key not in self._numbers:
            self._numbers[key] = self.session.add_object(label)
        number = self._numbers[key]
        self.session.set_label(number, label)
        return number

    def answer(self, name: str, label: int, slice_index: int, prompts: Sequence[Prompt]) -> SlicePrediction | None:
        """The mask of all prompts of a slice; None for no prompts."""
        return self.session.set_prompts(self.object_number(name, label), slice_index, prompts)

    def set_object(self, name: str, label: int, slices: Mapping[int, Sequence[Prompt]]) -> int:
        """Have exactly these prompts on exactly these slices; returns the session's number."""
        number = self.object_number(name, label)
        for index in self.session.objects[number].slices:
            if not slices.get(index):
                self.session.clear(number, index)
        for index, prompts in slices.items():
            self.session.set_prompts(number, index, prompts)
        return number

    def forget(self, name: str | None) -> None:
        """Forget the prompts of an object in all volumes and planes, or of all objects."""
        for key in [key for key in self._numbers if name in (None, key[2])]:
            self.session.discard_object(self._numbers.pop(key))

    def experimental_of(self, prompts: Sequence[Prompt]) -> list[str]:
        """Which of these prompts the model was not trained for."""
        kinds = set()
        for prompt in prompts:
            if isinstance(prompt, (PointPrompt, ScribblePrompt)):
                kinds.add("points" if prompt.positive else "negative points")
            elif isinstance(prompt, MaskPrompt):
                kinds.add("mask")
        return sorted(kinds & self._experimental)
