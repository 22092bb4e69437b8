"""Prompts in the scene, their masks from the worker, and accepted masks in the segment. No widget is touched here.

The scene is the state: prompts are markups and painted scribbles, and a segment's tag says which of them are accepted.
The controller looks at it whenever something changed, asks the worker for the masks that are missing, one slice at a
time, and shows them. However fast prompts change, one question is on its way; the next one is about what is there then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from MomentumSegLib.errors import UserError
from MomentumSegLib.interfaces import Client, UndoStack
from MomentumSegLib.phase import Phase
from MomentumSegLib.prompt_asking import PromptAsker, Question, Refusal
from MomentumSegLib.prompt_follow import PromptFollower
from MomentumSegLib.prompt_nodes import POSITIVE, PromptNodes, is_defined, kind_of, unplaced_sentence
from MomentumSegLib.prompt_preview import PromptPreview
from MomentumSegLib.prompt_reading import ReadPrompts, mask_prompts, read_prompts
from MomentumSegLib.prompt_request import Answer, PromptRequest
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
        self._ticks = ticks
        self._view = view
        self._asker = PromptAsker(client, sender, on_answered=self._answered, on_refused=self._refuse)
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
        return self._asker.question is not None

    @property
    def question(self) -> Question | None:
        """The slice whose mask is being computed."""
        return self._asker.question

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
        if self.is_asking or self._request is None or not open_slices:
            return
        index = self._slice_on_screen if self._slice_on_screen in open_slices else max(open_slices)
        self._asker.ask(self._request, index, self._read.slices[index])
        self._view.prompts_changed()

    def _answered(self, question: Question, answer: Answer | None) -> None:
        if answer is not None and question.slice_index in self._read.slices:
            self._answers.pop(question.slice_index, None)  # the latest comes last
            self._answers[question.slice_index] = answer
            self._show()
            self._view.answered(answer)
        self._go_on()

    def _refuse(self, question: Question, refusal: Refusal) -> None:
        """These prompts have no mask; they are not asked again before one of them changes."""
        self._accept_soon = False
        self._refused[question.slice_index] = question.prompts.key
        self._answers.pop(question.slice_index, None)
        self._show()
        self._view.said(refusal.sentence)
        if refusal.kind == "start":
            self._view.failed(refusal.kind, refusal.sentence, refusal.reason)
            return  # the worker would not start for another slice either
        self._go_on()

    def _go_on(self) -> None:
        self._ask()
        if self._accept_soon and not self.is_asking:
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
        if self.is_asking:
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
        if not self.is_asking and not self.phase.is_busy:
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
        self._asker.drop(cancel=True)
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
        self._asker.drop()
        self._follower.start(request, self._slices, prompts, self._read.bounds)

    def give_up(self) -> None:
        """The worker does not answer: end it and start another one, which knows nothing yet."""
        text = _("Cancelled; the worker is started again. Move a prompt or give another one to ask again.")
        self._asker.give_up(text)

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
        self._asker.drop()
        self._accept_soon = False
        self._request, self._slices, self._read = None, None, _NOTHING
        self._answers, self._refused, self._accepted = {}, {}, {}
        self._preview.remove()


def _accepted_sentence(indices: list[int]) -> str:
    if len(indices) == 1:
        return _("Slice {index} is in the segment (Undo takes it back). Go on, or follow through the volume.").format(
            index=indices[0]
        )
    return _("{count} slices are in the segment (Undo takes them back). Go on, or follow through the volume.").format(
        count=len(indices)
    )
