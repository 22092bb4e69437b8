"""Prompts in the scene, their masks from the worker, and accepted masks in the segment. No widget is touched here.

The scene is the state: prompts are markups and painted scribbles, and a segment's tag says which of them are accepted.
The controller looks at it whenever something changed, asks the worker for the masks that are missing, one slice at a
time, and shows them. However fast prompts change, one question is on its way; the next one is about what is there then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from MomentumSegLib.errors import UserError
from MomentumSegLib.interfaces import Client, Failure, Job, UndoStack
from MomentumSegLib.phase import Phase
from MomentumSegLib.prompt_follow import PromptFollower
from MomentumSegLib.prompt_nodes import POSITIVE, PromptNodes, is_defined, kind_of, unplaced_sentence
from MomentumSegLib.prompt_preview import PromptPreview
from MomentumSegLib.prompt_reading import ReadPrompts, mask_prompts, read_prompts
from MomentumSegLib.prompt_request import LABEL, Answer, PromptRequest
from MomentumSegLib.prompt_scribbles import read_scribbles, remove_scribbles
from MomentumSegLib.prompt_view import PromptView
from MomentumSegLib.prompt_writing import OnFollowed, PromptWriter
from MomentumSegLib.scene_watch import SceneWatch
from MomentumSegLib.segment_voxels import Crop
from MomentumSegLib.slice_geometry import SliceGeometry
from MomentumSegLib.ticks import Ticks
from MomentumSegLib.translation import tr as _
from MomentumSegLib.volume_data import read_volume_geometry
from MomentumSegLib.volume_sender import VolumeSender

_NOTHING = ReadPrompts({})


@dataclass(eq=False)
class _Question:
    """A slice whose prompts are with the worker."""

    slice_index: int
    key: str
    job: Job | None = None


class PromptController:
    """Answers the prompts of one segment at a time.

    Args:
        scene: the MRML scene.
        client: the worker's.
        ticks: between whose steps the window stays alive.
        view: is told what happens.
        sender: gives volumes to the worker.
        undo: keeps the undo state before a segment is written; None: nothing to undo.
        editor_node: returns the vtkMRMLSegmentEditorNode whose masking is obeyed, or None.
        on_followed: called after a followed segment was written.
    """

    def __init__(
        self,
        scene: Any,
        client: Client,
        ticks: Ticks,
        view: PromptView,
        sender: VolumeSender,
        *,
        undo: UndoStack | None = None,
        editor_node: Callable[[], Any] = lambda: None,
        on_followed: OnFollowed | None = None,
    ) -> None:
        self._scene = scene
        self._client = client
        self._ticks = ticks
        self._view = view
        self._sender = sender
        self.nodes = PromptNodes(scene, self._markups_changed)
        self._preview = PromptPreview(scene)
        self._writer = PromptWriter(scene, undo, editor_node, on_followed)
        self._follower = PromptFollower(
            scene, client, ticks, view, sender, self._writer, self._preview, self._follow_ended
        )
        self._watch = SceneWatch(scene, on_removed=self._node_removed, on_close=self._scene_closes)
        self._request: PromptRequest | None = None
        self._slice_on_screen: int | None = None
        self._slices: SliceGeometry | None = None
        self._read = _NOTHING
        self._scribbles: list[tuple[bool, Crop]] = []
        self._masks: Crop | None = None
        self._accepted: Mapping[int, str] = {}
        self._answers: dict[int, Answer] = {}
        self._refused: dict[int, str] = {}
        self._question: _Question | None = None
        self._accept_soon = False
        self._look_soon = False

    # What there is

    @property
    def phase(self) -> Phase:
        """Of following."""
        return self._follower.phase

    @property
    def prompts(self) -> ReadPrompts:
        """The prompts of the segment that is worked on."""
        return self._read

    @property
    def is_asking(self) -> bool:
        """Whether a mask is being computed."""
        return self._question is not None

    @property
    def waiting(self) -> dict[int, Answer]:
        """The masks that are shown and not accepted yet, by slice."""
        return {index: self._answers[index] for index in self._unaccepted() if index in self._answers}

    def answer_near(self, slice_index: int | None) -> Answer | None:
        """The answer to look at: that of a slice, else the last one that is not accepted."""
        waiting = self.waiting
        if slice_index in waiting:
            return waiting[slice_index]
        return list(waiting.values())[-1] if waiting else None

    # Looking and asking

    def update(
        self, request: PromptRequest | None, slice_on_screen: int | None = None, *, voxels_changed: bool = True
    ) -> None:
        """Look at the prompts of a request's segment, and have what changed answered.

        Args:
            request: None: nothing is worked on; what is shown vanishes.
            slice_on_screen: that is answered first.
            voxels_changed: False when the segmentation is as it was at the last look.
        """
        if self.phase.is_busy:
            return
        if request is None:
            self._let_go()
            return
        if self._request is None or request.target != self._request.target:
            self._let_go()
            voxels_changed = True
        elif request.refine != self._request.refine:
            voxels_changed = True
        self._request, self._slice_on_screen = request, slice_on_screen
        self._watch.watch((request.volume_id, request.segmentation_id))
        try:
            self._look(request, voxels_changed)
        except UserError as error:
            self._read = _NOTHING
            self._preview.remove()
            self._view.said(str(error))
            return
        self.nodes.show_only(request.segmentation_id, request.segment_id)
        self._answers = {index: answer for index, answer in self._answers.items() if index in self._read.slices}
        self._show()
        self._ask()

    def _look(self, request: PromptRequest, voxels_changed: bool) -> None:
        """Read prompts and segment. Raises `UserError`."""
        slices = SliceGeometry.of(read_volume_geometry(self._scene.GetNodeByID(request.volume_id)), request.plane)
        if voxels_changed or self._slices is None:
            segmentation = self._scene.GetNodeByID(request.segmentation_id)
            base = self._writer.base(request, slices)
            self._masks = base if request.refine else None
            self._scribbles = read_scribbles(segmentation, request.segment_id, slices.volume)
            self._accepted = self._writer.accepted(request)
        nodes = self.nodes.of(request.segmentation_id, request.segment_id)
        self.nodes.number_new(nodes)
        self._slices = slices
        warned = self._read.warning
        with self.nodes.quiet():
            self._read = read_prompts(nodes, slices, self._scribbles, self._masks, self._slice_on_screen)
        if self._read.warning and self._read.warning != warned:
            self._view.said(self._read.warning)

    def _unaccepted(self) -> dict[int, str]:
        """Keys of the prompts whose mask is not in the segment, by slice."""
        found = {index: prompts.key for index, prompts in self._read.slices.items()}
        return {index: key for index, key in found.items() if self._accepted.get(index) != key}

    def _unanswered(self) -> dict[int, str]:
        return {
            index: key
            for index, key in self._unaccepted().items()
            if (index not in self._answers or self._answers[index].key != key) and self._refused.get(index) != key
        }

    def _show(self) -> None:
        if self._request is not None and self._slices is not None:
            self._preview.show(self._request, self._slices, self.waiting)

    def _ask(self) -> None:
        """Have one slice answered; the next one follows its answer."""
        open_slices = self._unanswered()
        if self._question is not None or self._request is None or not open_slices:
            return
        index = self._slice_on_screen if self._slice_on_screen in open_slices else max(open_slices)
        question = _Question(index, open_slices[index])
        self._question = question
        request, prompts = self._request, self._read.slices[index]
        try:
            self._sender.ensure(
                request.volume_id,
                lambda warnings: self._send(question, request, prompts.entries, prompts.arrays),
                lambda failure: self._failed(question, failure),
            )
        except UserError as error:
            self._refuse(question, str(error))
        self._view.prompts_changed()

    def _send(
        self, question: _Question, request: PromptRequest, entries: Any, arrays: Mapping[str, np.ndarray]
    ) -> None:
        if self._question is not question:
            return
        parameters = {
            **request.common,
            "object": request.object_name,
            "label": LABEL,
            "slice_index": question.slice_index,
            "prompts": [dict(entry) for entry in entries],
        }
        question.job = self._client.request(
            "prompt_predict",
            parameters,
            arrays,
            on_result=lambda values, found: self._answered(question, values, found),
            on_error=lambda failure: self._failed(question, failure),
        )

    def _answered(self, question: _Question, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        if self._question is not question:
            return
        self._question = None
        if question.slice_index in self._read.slices and "mask" in arrays:
            answer = self._answer(question, values, arrays)
            self._answers.pop(question.slice_index, None)  # the latest comes last
            self._answers[question.slice_index] = answer
            self._show()
            self._view.answered(answer)
        self._go_on()

    def _answer(self, question: _Question, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Answer:
        row, column = values.get("origin") or (0, 0)
        alternatives = tuple(float(value) for value in values.get("alternatives") or ())
        choices = [entry.get("choice") for entry in self._read.slices[question.slice_index].entries]
        chosen = next((choice for choice in choices if choice is not None), 0)
        return Answer(
            slice_index=question.slice_index,
            key=question.key,
            mask=np.ascontiguousarray(arrays["mask"], dtype=np.uint8),
            origin=(int(row), int(column)),
            predicted_iou=float(values.get("predicted_iou") or 0.0),
            alternatives=alternatives,
            choice=min(chosen, len(alternatives) - 1) if alternatives else 0,
            experimental=tuple(values.get("experimental") or ()),
            seconds=float(values.get("seconds") or 0.0),
        )

    def _failed(self, question: _Question, failure: Failure) -> None:
        if self._question is not question:
            return
        if failure.log:
            logging.error("MomentumSeg: %s (log: %s)", failure.sentence, failure.log)
        self._refuse(question, failure.sentence, failure.kind, failure.reason)

    def _refuse(self, question: _Question, sentence: str, kind: str = "user", reason: str = "") -> None:
        """These prompts have no mask; they are not asked again before one of them changes."""
        self._question = None
        self._accept_soon = False
        self._refused[question.slice_index] = question.key
        self._answers.pop(question.slice_index, None)
        self._show()
        self._view.said(sentence)
        if kind == "start":
            self._view.failed(kind, sentence, reason)
            return  # the worker would not start for another slice either
        self._go_on()

    def _go_on(self) -> None:
        self._ask()
        if self._question is None and self._accept_soon:
            self._accept_soon = False
            self.accept()
        self._view.prompts_changed()

    # What the user does

    def accept(self) -> bool:
        """Write the masks that are shown into the segment, in one undo step; False: there is none, or not yet."""
        request = self._request
        if request is None or self.phase.is_busy:
            return False
        self.update(request, self._slice_on_screen)
        if self._question is not None:
            self._accept_soon = True
            self._view.said(_("The mask is accepted as soon as it is there."))
            return False
        slices, waiting = self._slices, self.waiting
        if not waiting or slices is None:
            self._refused.clear()  # asked once more: the worker may be well again
            self._ask()
            self._view.said(_("There is no new mask to accept.") if self._read.slices else unplaced_sentence())
            return False
        masks = {index: self._whole(answer, slices) for index, answer in waiting.items()}
        try:
            keys = {index: answer.key for index, answer in waiting.items()}
            self._writer.write_slices(request, slices, masks, keys)
        except UserError as error:
            self._view.said(str(error))
            return False
        self.update(request, self._slice_on_screen)
        sentence = _accepted_sentence(sorted(masks))
        self._view.said(sentence)
        self._ticks.later(lambda: self._finish_surface(request, sentence))
        return True

    def _finish_surface(self, request: PromptRequest, sentence: str) -> None:
        """Bring the surface up to date; its change is no reason to forget what was said."""
        self._writer.finish_surface(request.segmentation_id)
        if self._question is None and not self.phase.is_busy:
            self._view.said(sentence)

    def take_back(self) -> bool:
        """Take the point or box that was given last out of the scene."""
        request = self._request
        if request is None or self.phase.is_busy:
            return False
        found = self.nodes.remove_last(request.segmentation_id, request.segment_id)
        if not found:
            self._view.said(_("There is no point or box to take back. Scribbles are undone in the Segment Editor."))
        return found

    def clear(self) -> None:
        """Take all prompts of the segment out of the scene; the segment stays as it is."""
        request = self._request
        if request is None or self.phase.is_busy:
            return
        self._accept_soon = False
        self._drop_question(cancel=True)
        segmentation = self._scene.GetNodeByID(request.segmentation_id)
        self.nodes.remove(request.segmentation_id, request.segment_id)
        if segmentation is not None:
            remove_scribbles(segmentation, request.segment_id)
        self.update(request, self._slice_on_screen)
        self._view.prompts_changed()

    def next_mask(self) -> bool:
        """Show another of the masks that an ambiguous click may have meant."""
        answer = self.answer_near(self._slice_on_screen)
        if self._request is None or self._slices is None or answer is None or len(answer.alternatives) < 2:
            self._view.said(_("There is no other mask: only a single click can mean several."))
            return False
        for node in self.nodes.of(self._request.segmentation_id, self._request.segment_id):
            for index in range(node.GetNumberOfControlPoints() if kind_of(node) == POSITIVE else 0):
                place = node.GetNthControlPointPositionWorld(index)
                if is_defined(node, index) and self._slices.index_at(place) == answer.slice_index:
                    self.nodes.choose(node, index, (answer.choice + 1) % len(answer.alternatives))
                    return True
        return False

    def follow(self, request: PromptRequest) -> None:
        """Follow the segment through the volume from all its prompts. Raises `UserError`."""
        if self.phase.is_busy:
            raise UserError(_("A segmentation is running: cancel it or wait until it is done."))
        self.update(request, self._slice_on_screen)
        if self._slices is None or self._request is None:
            return
        prompts = dict(self._read.slices)
        if not prompts and request.refine and self._masks is not None:
            prompts = mask_prompts(self._masks, self._slices)
        if not prompts:
            raise UserError(self._read.warning or unplaced_sentence())
        self._accept_soon = False
        self._drop_question()
        self._follower.start(request, self._slices, prompts, self._read.bounds)

    def cancel(self, why: str = "") -> None:
        """Stop following; nothing was changed."""
        self._follower.cancel(why)

    def close(self) -> None:
        """Stop everything and let go of the scene."""
        self._follower.close()
        self._let_go()
        self._watch.stop()
        self.nodes.stop()

    @staticmethod
    def _whole(answer: Answer, slices: SliceGeometry) -> np.ndarray:
        """(rows, columns) uint8 of the whole slice."""
        mask = np.zeros(slices.slice_shape, dtype=np.uint8)
        (row, column), (rows, columns) = answer.origin, answer.mask.shape
        mask[row : row + rows, column : column + columns] = answer.mask != 0
        return mask

    # Changes of the scene

    def _markups_changed(self) -> None:
        """A prompt was given, moved or removed; while one is dragged, many times before the next look."""
        if self._request is not None and not self._look_soon:
            self._look_soon = True
            self._ticks.later(self._look_at_markups)

    def _look_at_markups(self) -> None:
        self._look_soon = False
        if self._request is not None and not self.phase.is_busy:
            self.update(self._request, self._slice_on_screen, voxels_changed=False)
            self._view.prompts_changed()

    def _follow_ended(self) -> None:
        if self._request is not None:
            self.update(self._request, self._slice_on_screen)

    def _node_removed(self, node_id: str) -> None:
        request = self._request
        if request is not None and node_id == request.volume_id:
            self.cancel(_("The volume was deleted, so following it was cancelled."))
        else:
            self.cancel(_("The output segmentation was deleted, so the run was cancelled."))
        if not self.phase.is_busy:
            self._let_go()
        self._ticks.later(self.nodes.remove_orphans)

    def _scene_closes(self) -> None:
        self.cancel(_("The scene was closed, so the segmentation was cancelled."))
        self._let_go()
        self._writer.forget()

    def _let_go(self) -> None:
        """Nothing is worked on: nothing is shown, and no answer is waited for."""
        self._drop_question()
        self._accept_soon = False
        self._request, self._slices, self._read = None, None, _NOTHING
        self._answers, self._refused, self._accepted = {}, {}, {}
        self._preview.remove()

    def _drop_question(self, *, cancel: bool = False) -> None:
        """Wait for no answer; it may come all the same, because cancelling costs a slow worker all it has encoded."""
        question, self._question = self._question, None
        if cancel and question is not None and question.job is not None and question.job.is_active:
            question.job.cancel()


def _accepted_sentence(indices: list[int]) -> str:
    if len(indices) == 1:
        return _("Slice {index} is in the segment (Undo takes it back). Go on, or follow through the volume.").format(
            index=indices[0]
        )
    return _("{count} slices are in the segment (Undo takes them back). Go on, or follow through the volume.").format(
        count=len(indices)
    )
