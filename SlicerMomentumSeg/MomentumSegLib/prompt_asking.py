"""One question for a mask at a time: the prompts of a slice to the worker, and its answer back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from MomentumSegLib.errors import UserError
from MomentumSegLib.interfaces import Client, Failure, Job
from MomentumSegLib.prompt_request import LABEL, Answer, PromptRequest, SlicePrompts
from MomentumSegLib.volume_sender import VolumeSender


@dataclass(eq=False)
class Question:
    """A slice whose prompts are with the worker."""

    slice_index: int
    prompts: SlicePrompts
    job: Job | None = None


@dataclass(frozen=True)
class Refusal:
    """Why a question has no answer; see :class:`MomentumSegLib.interfaces.Failure`."""

    sentence: str
    kind: str = "user"
    reason: str = ""


class PromptAsker:
    """Keeps one question on its way.

    Args:
        client: the worker's.
        sender: gives volumes to the worker.
        on_answered: called with the question and its answer; None: the worker found no mask to show.
        on_refused: called with the question and why it has no answer.
    """

    def __init__(
        self,
        client: Client,
        sender: VolumeSender,
        *,
        on_answered: Callable[[Question, Answer | None], None],
        on_refused: Callable[[Question, Refusal], None],
    ) -> None:
        self._client = client
        self._sender = sender
        self._on_answered = on_answered
        self._on_refused = on_refused
        self.question: Question | None = None

    def ask(self, request: PromptRequest, slice_index: int, prompts: SlicePrompts) -> None:
        """Ask for the mask of a slice's prompts. The question before must have been answered or dropped."""
        question = Question(slice_index, prompts)
        self.question = question
        try:
            self._sender.ensure(
                request.volume_id,
                lambda warnings: self._send(question, request),
                lambda failure: self._failed(question, failure),
            )
        except UserError as error:
            self._refuse(question, Refusal(str(error)))

    def drop(self, *, cancel: bool = False) -> None:
        """Wait for no answer; it may come all the same, because cancelling costs a slow worker all it has encoded."""
        question, self.question = self.question, None
        if cancel and question is not None and question.job is not None and question.job.is_active:
            question.job.cancel()

    def give_up(self, sentence: str) -> None:
        """End a worker that does not answer, start another one, and refuse the question with this sentence."""
        question, self.question = self.question, None
        if question is None:
            return
        self._client.end(sentence)
        self._client.start()
        self._on_refused(question, Refusal(sentence))

    def _send(self, question: Question, request: PromptRequest) -> None:
        if self.question is not question:
            return
        parameters = {
            **request.common,
            "object": request.object_name,
            "label": LABEL,
            "slice_index": question.slice_index,
            "prompts": [dict(entry) for entry in question.prompts.entries],
        }
        question.job = self._client.request(
            "prompt_predict",
            parameters,
            question.prompts.arrays,
            on_result=lambda values, arrays: self._answered(question, values, arrays),
            on_error=lambda failure: self._failed(question, failure),
        )

    def _answered(self, question: Question, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        if self.question is question:
            self.question = None
            self._on_answered(question, _answer(question, values, arrays) if "mask" in arrays else None)

    def _failed(self, question: Question, failure: Failure) -> None:
        if self.question is not question:
            return
        if failure.log:
            logging.error("MomentumSeg: %s (log: %s)", failure.sentence, failure.log)
        self._refuse(question, Refusal(failure.sentence, failure.kind, failure.reason))

    def _refuse(self, question: Question, refusal: Refusal) -> None:
        if self.question is question:
            self.question = None
            self._on_refused(question, refusal)


def _answer(question: Question, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Answer:
    row, column = values.get("origin") or (0, 0)
    alternatives = tuple(float(value) for value in values.get("alternatives") or ())
    choices = [entry.get("choice") for entry in question.prompts.entries]
    chosen = next((choice for choice in choices if choice is not None), 0)
    return Answer(
        slice_index=question.slice_index,
        key=question.prompts.key,
        mask=np.ascontiguousarray(arrays["mask"], dtype=np.uint8),
        origin=(int(row), int(column)),
        predicted_iou=float(values.get("predicted_iou") or 0.0),
        alternatives=alternatives,
        choice=min(chosen, len(alternatives) - 1) if alternatives else 0,
        experimental=tuple(values.get("experimental") or ()),
        seconds=float(values.get("seconds") or 0.0),
    )
