"""A prompted session: answers, what they are made of, undo, embeddings ahead of time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from momentumseg.errors import EmptySupportError, InputError
from momentumseg.sessions.prompt import PromptSession
from momentumseg.sessions.prompt_objects import BoxPrompt, MaskPrompt, PointPrompt, ScribblePrompt
from momentumseg.volumes.volume import Volume

MIDDLE = 6
INSIDE = PointPrompt(16, 20)
BESIDE = PointPrompt(38, 20, positive=False)


@pytest.fixture
def a_prompt_model(prompt_fakes: ModuleType) -> Any:
    return prompt_fakes.PromptModel()


@pytest.fixture
def a_session(a_prompt_model, a_phantom_volume: Volume, tmp_path: Path) -> Iterator[PromptSession]:
    with PromptSession(a_prompt_model, cache_folder=tmp_path) as session:
        session.set_volume(a_phantom_volume)
        yield session


@pytest.fixture
def the_truth(a_phantom_labelmap: Volume) -> Callable[[int], np.ndarray]:
    return lambda index: a_phantom_labelmap.array[index] == 1


def dice(mask: np.ndarray, truth: np.ndarray) -> float:
    return 2 * np.count_nonzero(mask & truth) / (np.count_nonzero(mask) + np.count_nonzero(truth))


def test_a_box_gives_the_structure(a_session: PromptSession, the_truth) -> None:
    number = a_session.add_object()
    a_session.add_prompt(number, MIDDLE, BoxPrompt.around(the_truth(MIDDLE), 3))
    found = a_session.predict(number, MIDDLE)
    assert found.mask.dtype == bool
    assert found.mask.shape == (40, 48)
    assert dice(found.mask, the_truth(MIDDLE)) > 0.95
    assert found.predicted_iou == pytest.approx(0.75)
    np.testing.assert_array_equal(found.probability > 0.5, found.mask)


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_any_plane(a_session: PromptSession, a_phantom_volume: Volume, a_phantom_labelmap: Volume, plane: str) -> None:
    a_session.set_volume(a_phantom_volume, plane=plane)
    index, x, y = a_session.slices.locate((16, 20, MIDDLE))
    number = a_session.add_object()
    a_session.add_prompt(number, index, PointPrompt(x, y, choice=2), plane=plane)
    truth = np.moveaxis(a_phantom_labelmap.array == 1, a_session.slice_axis, 0)[index]
    assert dice(a_session.predict(number, index).mask, truth) > 0.85


def test_a_slice_is_encoded_once_and_asked_once(a_session: PromptSession, a_prompt_model, the_truth) -> None:
    number = a_session.add_object()
    assert not a_session.is_encoded(MIDDLE)
    a_session.add_prompt(number, MIDDLE, INSIDE)
    assert a_session.predict(number, MIDDLE) is a_session.predict(number, MIDDLE)
    a_session.add_prompt(number, MIDDLE, BESIDE)
    a_session.predict(number, MIDDLE)
    assert (a_prompt_model.network.encoded, len(a_prompt_model.network.questions)) == (1, 2)
    assert a_session.is_encoded(MIDDLE)


def test_a_single_click_is_ambiguous_and_can_be_chosen(a_session: PromptSession) -> None:
    number = a_session.add_object()
    a_session.add_prompt(number, MIDDLE, INSIDE)
    first = a_session.predict(number, MIDDLE)
    assert [one.predicted_iou for one in first.alternatives] == sorted(
        (one.predicted_iou for one in first.alternatives), reverse=True
    )
    assert len(first.alternatives) == 3
    second = a_session.choose(number, MIDDLE, 2)
    np.testing.assert_array_equal(second.low_resolution, first.alternatives[2].low_resolution)
    with pytest.raises(InputError, match="take 0 to 2"):
        a_session.choose(number, MIDDLE, 3)
    a_session.add_prompt(number, MIDDLE, BESIDE)
    assert len(a_session.predict(number, MIDDLE).alternatives) == 1
    with pytest.raises(InputError, match="one meaning only"):
        a_session.choose(number, MIDDLE, 0)


def test_the_next_click_sees_the_mask_so_far(a_session: PromptSession, a_prompt_model) -> None:
    number = a_session.add_object()
    a_session.add_prompt(number, MIDDLE, INSIDE)
    first = a_session.predict(number, MIDDLE)
    a_session.add_prompt(number, MIDDLE, BESIDE)
    a_session.predict(number, MIDDLE)
    questions = a_prompt_model.network.questions
    assert questions[0]["masks"] is None
    np.testing.assert_array_equal(questions[1]["masks"][0, 0].numpy(), first.low_resolution)
    assert questions[1]["labels"].tolist() == [[1, 0]]


def test_a_model_without_mask_prompts_is_not_given_any(a_session: PromptSession, a_prompt_model) -> None:
    a_prompt_model.capabilities = a_prompt_model.capabilities - {"mask"}
    number = a_session.add_object()
    for prompt in (INSIDE, BESIDE):
        a_session.add_prompt(number, MIDDLE, prompt)
        a_session.predict(number, MIDDLE)
    assert all(question["masks"] is None for question in a_prompt_model.network.questions)


def test_undo_goes_back_over_slices_and_brings_the_answer_back(a_session: PromptSession) -> None:
    number = a_session.add_object()
    a_session.add_prompt(number, MIDDLE, INSIDE)
    first = a_session.predict(number, MIDDLE)
    a_session.add_prompt(number, MIDDLE, BESIDE)
    a_session.predict(number, MIDDLE)
    a_session.add_prompt(number, 4, INSIDE)
    assert a_session.undo(number) == 4
    assert a_session.objects[number].slices == [MIDDLE]
    assert a_session.undo(number) == MIDDLE
    assert a_session.predict(number, MIDDLE) is first
    assert (a_session.undo(number), a_session.undo(number)) == (MIDDLE, None)
    with pytest.raises(InputError, match="no prompt on slice 6"):
        a_session.predict(number, MIDDLE)


def test_a_list_of_prompts_answers_the_same_whatever_was_asked_before(a_session: PromptSession, a_prompt_model) -> None:
    prompts = [INSIDE, BESIDE, PointPrompt(14, 22)]
    at_once, step_by_step = a_session.add_object(), a_session.add_object()
    whole = a_session.set_prompts(at_once, MIDDLE, prompts)
    for count in (1, 2, 3):
        last = a_session.set_prompts(step_by_step, MIDDLE, prompts[:count])
    np.testing.assert_array_equal(whole.logits, last.logits)
    asked = len(a_prompt_model.network.questions)
    assert a_session.set_prompts(step_by_step, MIDDLE, prompts) is last
    shorter = a_session.set_prompts(step_by_step, MIDDLE, prompts[:2])
    assert len(a_prompt_model.network.questions) == asked
    np.testing.assert_array_equal(shorter.logits, a_session.set_prompts(at_once, MIDDLE, prompts[:2]).logits)
    assert a_session.set_prompts(step_by_step, MIDDLE, []) is None
    assert a_session.objects[step_by_step].slices == []
    assert a_session.undo(step_by_step) is None


def test_what_is_outside_may_come_first_in_a_list(a_session: PromptSession) -> None:
    number = a_session.add_object()
    with pytest.raises(InputError, match="only what does not belong"):
        a_session.add_prompt(number, MIDDLE, BESIDE)
    a_session.add_prompt(number, MIDDLE, BoxPrompt(2, 4, 30, 36))
    a_session.add_prompt(number, MIDDLE, BESIDE)
    assert a_session.predict(number, MIDDLE).mask.any()


def test_several_boxes_are_parts_of_one_object(a_session: PromptSession, a_phantom_labelmap: Volume) -> None:
    number = a_session.add_object()
    for label in (1, 2):
        box = BoxPrompt.around(a_phantom_labelmap.array[MIDDLE] == label, 2)
        a_session.add_prompt(number, MIDDLE, box)
    found = a_session.predict(number, MIDDLE)
    assert dice(found.mask, a_phantom_labelmap.array[MIDDLE] > 0) > 0.95


def test_a_scribble_is_some_points(a_session: PromptSession, a_prompt_model, the_truth) -> None:
    number = a_session.add_object()
    paint = np.zeros((40, 48), dtype=bool)
    paint[18:22, 10:23] = True
    a_session.add_prompt(number, MIDDLE, ScribblePrompt.from_mask(paint, count=4))
    assert dice(a_session.predict(number, MIDDLE).mask, the_truth(MIDDLE)) > 0.9
    assert a_prompt_model.network.questions[-1]["labels"].tolist() == [[1, 1, 1, 1]]


def test_an_existing_mask_is_refined(a_session: PromptSession, a_prompt_model, the_truth) -> None:
    truth = the_truth(MIDDLE)
    rough = truth & (np.arange(48) < 20)
    number = a_session.add_object()
    a_session.refine(number, MIDDLE, rough)
    question = a_prompt_model.network.questions[-1]
    assert question["boxes"] is not None
    back = a_session.slices.to_slice(question["masks"][0, 0].numpy()) > 0
    np.testing.assert_array_equal(back, rough)
    with pytest.raises(EmptySupportError):
        a_session.refine(number, MIDDLE, np.zeros((40, 48)))


def test_accepted_masks_belong_to_the_caller(a_session: PromptSession) -> None:
    number = a_session.add_object(label=7)
    a_session.add_prompt(number, MIDDLE, INSIDE)
    mask = a_session.predict(number, MIDDLE).mask
    accepted = a_session.accept(number)
    np.testing.assert_array_equal(accepted[MIDDLE], mask)
    assert a_session.objects[number].slices == []


def test_prompts_rest_with_their_volume_and_plane(a_session: PromptSession, a_phantom_volume: Volume) -> None:
    number = a_session.add_object()
    a_session.add_prompt(number, MIDDLE, INSIDE)
    a_session.set_volume(a_phantom_volume, plane="coronal")
    assert a_session.objects == {}
    with pytest.raises(InputError, match=f"no object {number}"):
        a_session.predict(number, MIDDLE)
    a_session.set_volume(a_phantom_volume)
    assert a_session.objects[number].slices == [MIDDLE]
    a_session.remove_object(number)
    assert a_session.objects == {}


@pytest.mark.parametrize(
    ("missing", "prompt", "words"),
    [
        ("points", INSIDE, "does not take clicks or scribbles: draw a box"),
        ("boxes", BoxPrompt(1, 1, 9, 9), "does not take boxes: click into"),
        ("negative points", ScribblePrompt(((1, 1), (2, 2)), False), "clicks outside the structure"),
    ],
)
def test_a_model_that_cannot_says_what_it_can(
    a_session: PromptSession, a_prompt_model, missing: str, prompt, words: str
) -> None:
    a_prompt_model.capabilities = a_prompt_model.capabilities - {missing}
    with pytest.raises(InputError, match=words):
        a_session.add_prompt(a_session.add_object(), MIDDLE, prompt)


def test_bad_places_are_refused_and_change_nothing(a_session: PromptSession) -> None:
    number = a_session.add_object()
    a_session.add_prompt(number, MIDDLE, INSIDE)
    for index, prompt, plane, words in (
        (12, INSIDE, None, "Slice 12 does not exist"),
        (MIDDLE, PointPrompt(48, 3), None, "outside slice 6"),
        (MIDDLE, INSIDE, "coronal", "drawn on a coronal slice but axial slices"),
        (MIDDLE, replace(INSIDE, positive=False), None, "inside and as outside"),
    ):
        with pytest.raises(InputError, match=words):
            a_session.add_prompt(number, index, prompt, plane=plane)
    assert a_session.objects[number].states[MIDDLE].prompts == (INSIDE,)
    with pytest.raises(InputError, match="Label 0"):
        a_session.add_object(0)


def test_an_empty_image_is_refused(a_prompt_model, a_phantom_volume: Volume, tmp_path: Path) -> None:
    voxels = a_phantom_volume.array.astype(np.float32)
    voxels[3], voxels[4] = 5.0, np.nan
    with PromptSession(a_prompt_model, cache_folder=tmp_path) as session:
        with pytest.raises(InputError, match="No volume is set"):
            session.add_object()
        warnings = session.set_volume(a_phantom_volume.like(voxels))
        assert "NaN" in warnings[0]
        for index in (3, 4):
            with pytest.raises(InputError, match=f"Slice {index} has the same value everywhere"):
                session.add_prompt(session.add_object(), index, INSIDE)
        session.encode(range(12))  # must not stop at a slice that shows nothing
        with pytest.raises(InputError):
            session.set_volume(a_phantom_volume.like(np.full((12, 40, 48), np.nan)))


def test_neighbours_are_encoded_ahead_and_the_order_follows_the_user(
    a_session: PromptSession, a_prompt_model, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[int] = []
    channels = a_session.slices.channels

    def slow(index: int) -> np.ndarray:
        order.append(index)
        time.sleep(0.05)
        return channels(index)

    monkeypatch.setattr(a_session.slices, "channels", slow)
    number = a_session.add_object()
    a_session.encode_ahead(2)
    a_session.add_prompt(number, 9, INSIDE)
    a_session.predict(number, 9)
    while a_session.is_encoding:
        time.sleep(0.01)
    assert order[0] == 2
    assert sorted(order) == list(range(12)), "each slice is encoded once"
    after = order[order.index(9) + 2 :]  # one more may have been on its way
    assert after.index(10) < after.index(3)
    assert a_session.encoded_count == 12


def test_only_the_neighbourhood_is_encoded_ahead(a_session: PromptSession) -> None:
    a_session.encode_ahead(1, reach=2)
    while a_session.is_encoding:
        time.sleep(0.01)
    assert [a_session.is_encoded(index) for index in range(6)] == [True, True, True, True, False, False]
    a_session.encode_ahead(10, reach=1)
    while a_session.is_encoding:
        time.sleep(0.01)
    assert a_session.encoded_count == 7


def test_embeddings_keep_to_their_budget_and_are_cleaned_up(a_prompt_model, tmp_path: Path) -> None:
    """1000 slices: memory within the budget, the rest on disk, nothing left behind."""
    voxels = np.random.default_rng(0).integers(0, 99, (1000, 8, 8)).astype(np.uint8)
    one = 16 * 16 * 16 * 2  # bytes of the tiny embedding
    with PromptSession(a_prompt_model, cache_budget_bytes=100 * one, cache_folder=tmp_path) as session:
        session.set_volume(Volume(voxels, np.eye(4)))
        session.encode(range(1000))
        assert session.encoded_count == 1000
        assert session._cache.memory_bytes <= 100 * one
        assert len(list(tmp_path.rglob("*.npy"))) == 900
        number = session.add_object()
        session.add_prompt(number, 3, PointPrompt(4, 4))
        session.predict(number, 3)
        assert a_prompt_model.network.encoded == 1000, "a spilled slice is read, not encoded again"
    assert list(tmp_path.iterdir()) == []


def test_another_preprocessing_or_window_does_not_take_old_embeddings(
    a_prompt_model, prompt_fakes: ModuleType, a_phantom_volume: Volume
) -> None:
    from momentumseg.sessions.prompt_decoder import embedding_identity
    from momentumseg.transforms.prompt_preprocessing import PromptPreprocessing

    other = replace(a_prompt_model, preprocessing=PromptPreprocessing.of("medsam", 64, 64))
    assert embedding_identity(a_prompt_model) != embedding_identity(other)
    assert embedding_identity(a_prompt_model) != embedding_identity(replace(a_prompt_model, embedding_sha256="1" * 64))
    assert embedding_identity(a_prompt_model) == embedding_identity(replace(a_prompt_model, sha256="another decoder"))


def test_a_3d_box_prompts_its_middle_slice(a_session: PromptSession) -> None:
    number = a_session.add_object()
    assert a_session.add_roi(number, ((4, 30), (6, 36), (2, 11))) == MIDDLE
    (box,) = a_session.objects[number].states[MIDDLE].prompts
    assert box == BoxPrompt(3.5, 5.5, 29.5, 35.5)
    with pytest.raises(InputError, match="contains nothing"):
        a_session.add_roi(number, ((60, 70), (6, 36), (2, 11)))


def test_a_mask_prompt_starts_afresh(a_session: PromptSession, a_prompt_model, the_truth) -> None:
    number = a_session.add_object()
    a_session.add_prompt(number, MIDDLE, INSIDE)
    before = a_session.predict(number, MIDDLE).low_resolution
    a_session.add_prompt(number, MIDDLE, MaskPrompt(the_truth(MIDDLE)))
    a_session.predict(number, MIDDLE)
    assert not np.array_equal(a_prompt_model.network.questions[-1]["masks"][0, 0].numpy(), before)
