"""Prompts by the worker are the session's own: answers, objects followed slice by slice, encoding that gives way."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from momentumseg.sessions.prompt import PromptSession
from momentumseg.sessions.prompt_objects import BoxPrompt, PointPrompt, ScribblePrompt
from momentumseg.volumes.volume import Volume

MIDDLE = 6
BOX = {"kind": "box", "x0": 4, "y0": 5, "x1": 28, "y1": 34}
CLICK = {"kind": "point", "x": 16, "y": 20}
BESIDE = {"kind": "point", "x": 38, "y": 20, "positive": False}
COMMON = {"model": "any", "device": "cpu", "plane": "axial"}


@pytest.fixture(scope="module")
def a_shared_client(a_launch: Callable[..., Any], worker_environment: dict[str, str]) -> Iterator[Any]:
    """A worker whose model for prompts is that of the tests."""
    from MomentumSegLib.worker_client import WorkerClient
    from MomentumSegLib.worker_launch import WorkerLaunch

    script = Path(__file__).with_name("worker_with_prompt_model.py")
    client = WorkerClient(WorkerLaunch((sys.executable, str(script)), worker_environment), grace_seconds=120.0)
    client.start()
    yield client
    client.stop(10.0)


@pytest.fixture
def ask(a_worker, a_sent_volume: str) -> Iterator[Callable[..., tuple[dict, dict]]]:
    def predict(prompts: list[dict], arrays: dict | None = None, **changed: Any) -> tuple[dict, dict]:
        parameters = {**COMMON, "volume": a_sent_volume, "object": "liver", "slice_index": MIDDLE, "prompts": prompts}
        return a_worker.call("prompt_predict", {**parameters, **changed}, arrays)

    yield predict
    a_worker.call("prompt_forget", {"object": None})


@pytest.fixture
def a_session(prompt_fakes: ModuleType, a_phantom_volume: Volume) -> Iterator[PromptSession]:
    model = prompt_fakes.PromptModel(experimental=frozenset({"points", "negative points"}))  # as that of the worker
    with PromptSession(model) as session:
        session.set_volume(a_phantom_volume)
        yield session


def placed(crop: np.ndarray, origin, shape) -> np.ndarray:
    whole = np.zeros(shape, crop.dtype)
    whole[tuple(slice(start, start + size) for start, size in zip(origin, crop.shape, strict=True))] = crop
    return whole


def test_an_answer_is_that_of_a_session(ask, a_session: PromptSession) -> None:
    values, arrays = ask([BOX])
    number = a_session.add_object()
    expected = a_session.set_prompts(number, MIDDLE, [BoxPrompt(4, 5, 28, 34)])
    np.testing.assert_array_equal(placed(arrays["mask"], values["origin"], (40, 48)), expected.mask)
    probability = placed(arrays["probability"], values["origin"], (40, 48))
    np.testing.assert_allclose(probability[expected.mask] / 255, expected.probability[expected.mask], atol=0.003)
    assert values["predicted_iou"] == pytest.approx(expected.predicted_iou)
    assert (values["experimental"], values["notice"]) == ([], "Show this first.")
    assert values["alternatives"] == []


def test_a_click_offers_masks_and_one_can_be_chosen(ask) -> None:
    values, arrays = ask([CLICK])
    assert len(values["alternatives"]) > 1
    assert values["experimental"] == ["points"]
    np.testing.assert_array_equal(placed(arrays["mask"], values["origin"], (40, 48)), arrays["alternative_0"])
    chosen, more = ask([{**CLICK, "choice": 1}])
    np.testing.assert_array_equal(placed(more["mask"], chosen["origin"], (40, 48)), arrays["alternative_1"])


def test_prompts_are_added_and_taken_back(ask, a_session: PromptSession) -> None:
    first, _ = ask([CLICK])
    both, arrays = ask([CLICK, BESIDE])
    assert both["was_encoded"]
    number = a_session.add_object()
    expected = a_session.set_prompts(number, MIDDLE, [PointPrompt(16, 20), PointPrompt(38, 20, False)])
    np.testing.assert_array_equal(placed(arrays["mask"], both["origin"], (40, 48)), expected.mask)
    assert ask([CLICK])[0]["predicted_iou"] == first["predicted_iou"]
    nothing, no_arrays = ask([])
    assert nothing["predicted_iou"] is None
    assert no_arrays == {}


def test_paint_and_masks_come_as_arrays(ask, a_session: PromptSession) -> None:
    paint = np.zeros((40, 48), dtype=np.uint8)
    paint[18:22, 10:23] = 1
    values, arrays = ask([{"kind": "scribble", "mask": "paint"}], {"paint": paint})
    number = a_session.add_object()
    expected = a_session.set_prompts(number, MIDDLE, [ScribblePrompt.from_mask(paint != 0)])
    np.testing.assert_array_equal(placed(arrays["mask"], values["origin"], (40, 48)), expected.mask)
    values, _ = ask([{"kind": "mask", "mask": "old"}], {"old": paint}, object="other")
    assert values["predicted_iou"] > 0
    values, _ = ask([{"kind": "scribble", "path": [[12, 18], [20, 22]]}], object="third")
    assert values["predicted_iou"] > 0


def test_objects_are_followed_slice_by_slice(a_worker, ask, a_sent_volume: str, a_session: PromptSession) -> None:
    ask([BOX])
    other = {"kind": "box", "x0": 33, "y0": 11, "x1": 43, "y1": 27}
    objects = [
        {"object": "liver", "label": 3, "slices": [{"slice_index": MIDDLE, "prompts": [BOX]}]},
        {"object": "kidney", "label": 5, "slices": [{"slice_index": 5, "prompts": [other]}]},
    ]
    job = a_worker.send("prompt_follow", {**COMMON, "volume": a_sent_volume, "objects": objects})
    a_worker.wait(job)
    kind, values, arrays = a_worker.end_of(job)
    assert kind == "result"
    first, second = a_session.add_object(3), a_session.add_object(5)
    a_session.set_prompts(first, MIDDLE, [BoxPrompt(4, 5, 28, 34)])
    a_session.set_prompts(second, 5, [BoxPrompt(33, 11, 43, 27)])
    expected = a_session.follow()
    np.testing.assert_array_equal(placed(arrays["labelmap"], values["origin"], (12, 40, 48)), expected.labelmap.array)
    uncertainty = placed(arrays["uncertainty"], values["uncertainty_origin"], (12, 40, 48))
    np.testing.assert_allclose(uncertainty / 255, expected.uncertainty.array, atol=0.003)
    assert values["labels"] == [3, 5]
    assert values["next_slice"] == expected.least_certain_slice
    assert [end["object"] for end in values["ends"]] == ["liver", "kidney"]
    partials = a_worker.of(job, "partial")
    last = {(part["object"], part["slice_index"]): (part, more) for part, more in partials if part["final"]}
    assert len(last) == sum(len(by_slice) for by_slice in expected.slices.values())
    part, more = last["liver", MIDDLE]
    mask = placed(more["mask"], part["origin"], (40, 48)) != 0
    np.testing.assert_array_equal(mask, a_session.predict(first, MIDDLE).mask)
    assert part["source"] == "prompted"


def test_bounds_and_settings(a_worker, ask, a_sent_volume: str) -> None:
    objects = [{"object": "a", "label": 1, "slices": [{"slice_index": MIDDLE, "prompts": [BOX]}]}]
    parameters = {**COMMON, "volume": a_sent_volume, "objects": objects}
    values, arrays = a_worker.call("prompt_follow", {**parameters, "slice_range": [5, 8]})
    assert (values["ends"][0]["first"], values["ends"][0]["last"]) == (5, 7)
    values, arrays = a_worker.call("prompt_follow", {**parameters, "roi": [[[10, 20], [0, 40], [4, 8]]]})
    assert (values["origin"][0], len(arrays["labelmap"])) == (4, 4)
    values, _ = a_worker.call("prompt_follow", {**parameters, "settings": {"lowest_iou": 1.01}})
    assert (values["ends"][0]["first"], values["ends"][0]["last"]) == (MIDDLE, MIDDLE)


def test_what_is_not_named_any_more_is_not_followed(a_worker, ask, a_sent_volume: str) -> None:
    ask([BOX])
    ask([BOX], slice_index=3)
    objects = [{"object": "liver", "label": 1, "slices": [{"slice_index": MIDDLE, "prompts": [BOX]}]}]
    parameters = {**COMMON, "volume": a_sent_volume, "objects": objects, "slice_range": [MIDDLE, MIDDLE + 1]}
    values, _ = a_worker.call("prompt_follow", parameters)
    assert list(values["predicted_iou"]["liver"]) in ([MIDDLE], [str(MIDDLE)])


def test_slices_are_encoded_ahead(a_worker, ask, a_sent_volume: str) -> None:
    parameters = {**COMMON, "volume": a_sent_volume, "plane": "coronal", "first_slice": 3, "reach": 2}
    values, _ = a_worker.call("prompt_encode_ahead", parameters)
    assert values == {"encoded": 5, "interrupted": False}  # slices 1 to 5
    answer, _ = ask([{"kind": "point", "x": 16, "y": 6}], plane="coronal", slice_index=2)
    assert answer["was_encoded"]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"prompts": [{"kind": "circle"}]}, "give a point, box, scribble or mask"),
        ({"prompts": "none"}, "must be a list of tables"),
        ({"prompts": [{"kind": "point", "x": "1", "y": 2}]}, "cannot be used"),
        ({"prompts": [{"kind": "box", "x0": 3, "y0": 3, "x1": 3, "y1": 9}]}, "no area"),
        ({"prompts": [{"kind": "mask", "mask": "lost"}]}, "no array 'lost'"),
        ({"prompts": [CLICK, {**CLICK, "positive": False}]}, "inside and as outside"),
        ({"slice_index": 99}, "Slice 99 does not exist"),
        ({"window": [3]}, "pair of numbers"),
        ({"window": [5, 3]}, "shows nothing"),
        ({"volume": "lost"}, "does not have the volume"),
        ({"label": 0}, "Label 0"),
    ],
)
def test_bad_requests_become_sentences(a_worker, ask, a_sent_volume: str, changed: dict, words: str) -> None:
    parameters = {**COMMON, "volume": a_sent_volume, "object": "bad", "slice_index": MIDDLE, "prompts": [CLICK]}
    failure = a_worker.fail("prompt_predict", {**parameters, **changed})
    assert failure.kind == "user"
    assert words in failure.sentence


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"objects": []}, "no prompt to start from"),
        ({"objects": [{"label": 1}]}, "give object (a text), label and slices"),
        ({"objects": [{"object": "a", "label": 1, "slices": [{"prompts": []}]}]}, "no slice_index"),
        ({"roi": [[1, 2, 3]]}, "no list of boxes"),
        ({"slice_range": [1]}, "no pair"),
        ({"settings": {"speed": 3}}, "no setting 'speed'"),
        ({"settings": {"margin": "wide"}}, "margin = 'wide'"),
    ],
)
def test_bad_requests_to_follow_become_sentences(a_worker, ask, a_sent_volume: str, changed: dict, words: str) -> None:
    objects = [{"object": "a", "label": 1, "slices": [{"slice_index": MIDDLE, "prompts": [BOX]}]}]
    failure = a_worker.fail("prompt_follow", {**COMMON, "volume": a_sent_volume, "objects": objects, **changed})
    assert failure.kind == "user"
    assert words in failure.sentence
