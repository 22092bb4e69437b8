"""One object that a user points at: its prompts slice by slice, what came of them, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from momentumseg.errors import InputError
from momentumseg.sessions.prompt_decoder import Candidate, SlicePrediction
from momentumseg.sessions.prompt_objects import MaskPrompt, PointPrompt, Prompt


@dataclass(frozen=True)
class SliceState:
    """Prompts of an object on a slice.

    Attributes:
        prompts: in the order in which they were given; never empty.
        before: the mask before the last prompts; part of the next question.
        prediction: the answer, None before it was asked for.
    """

    prompts: tuple[Prompt, ...]
    before: Candidate | None = field(default=None, repr=False)
    prediction: SlicePrediction | None = field(default=None, repr=False)

    def with_prompt(self, prompt: Prompt) -> SliceState:
        """One prompt more; the mask so far becomes part of the question, unless the prompt brings its own."""
        if isinstance(prompt, MaskPrompt):
            return SliceState((*self.prompts, prompt))
        known = self.prediction.chosen if self.prediction is not None else self.before
        return SliceState((*self.prompts, prompt), known)


class PromptedObject:
    """State of one object in one volume and plane. Not safe for several threads by itself.

    Args:
        object_id: number that the session gave it.
        label: 1 .. 65535, in label maps.
    """

    def __init__(self, object_id: int, label: int) -> None:
        self.id = object_id
        self.label = label
        self._chains: dict[int, list[SliceState]] = {}
        self._order: list[int] = []

    @property
    def slices(self) -> list[int]:
        """Slices with prompts, ascending."""
        return sorted(self._chains)

    @property
    def states(self) -> dict[int, SliceState]:
        """Present state of each slice with prompts."""
        return {index: self._chains[index][-1] for index in self.slices}

    def state(self, slice_index: int) -> SliceState:
        """Raises `InputError` when there is no prompt on that slice."""
        if slice_index not in self._chains:
            raise InputError(
                f"There is no prompt on slice {slice_index}: click into the structure or draw a box around it."
            )
        return self._chains[slice_index][-1]

    def extended(self, slice_index: int, prompt: Prompt) -> SliceState:
        """The state that `add` would make."""
        chain = self._chains.get(slice_index)
        return chain[-1].with_prompt(prompt) if chain else SliceState((prompt,))

    def add(self, slice_index: int, state: SliceState) -> None:
        """Make a state that `extended` returned the present one."""
        self._chains.setdefault(slice_index, []).append(state)
        self._order.append(slice_index)

    def answer(self, slice_index: int, question: SliceState, prediction: SlicePrediction) -> None:
        """Keep the prediction of a state that is still the present one."""
        chain = self._chains.get(slice_index)
        if chain and chain[-1] is question:
            chain[-1] = replace(question, prediction=prediction)

    def undo(self) -> int | None:
        """Take the last prompt back; returns its slice, or None when there is none."""
        if not self._order:
            return None
        slice_index = self._order.pop()
        chain = self._chains[slice_index]
        chain.pop()
        if not chain:
            del self._chains[slice_index]
        return slice_index

    def choose(self, slice_index: int, choice: int) -> None:
        """Take another of the masks that an ambiguous click offered.

        Raises:
            InputError: no prompt there, or the last prompts were not ambiguous.
        """
        state = self.state(slice_index)
        offered = len(state.prediction.alternatives) if state.prediction is not None else 0
        point = state.prompts[0]
        if offered < 2 or not isinstance(point, PointPrompt):
            raise InputError(f"The prompts on slice {slice_index} have one meaning only: there is nothing to choose.")
        if not 0 <= choice < offered:
            raise InputError(f"There is no mask {choice} to choose on slice {slice_index}: take 0 to {offered - 1}.")
        self._chains[slice_index][-1] = SliceState((replace(point, choice=choice),), state.before)

    def keep_common(self, slice_index: int, prompts: Sequence[Prompt]) -> int:
        """Take prompts of a slice back until the rest begins ``prompts``; returns how many are left."""
        chain = self._chains.get(slice_index, [])
        while chain and chain[-1].prompts != tuple(prompts[: len(chain[-1].prompts)]):
            chain.pop()
        taken = len(chain)
        kept: list[int] = []
        for index in self._order:
            if index != slice_index or kept.count(index) < taken:
                kept.append(index)
        self._order = kept
        if not chain:
            self._chains.pop(slice_index, None)
        return len(chain[-1].prompts) if chain else 0

    def clear(self, slice_index: int | None = None) -> None:
        """Forget the prompts of a slice, or all."""
        if slice_index is None:
            self._chains.clear()
            self._order.clear()
        else:
            self.keep_common(slice_index, ())
