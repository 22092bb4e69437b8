"""Clicks for networks that know boxes only: what is tried, what is taken, and that nothing right is destroyed."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from momentumseg.sessions.clicks_as_boxes import BoxSearch, Clicks
from momentumseg.sessions.prompt import PromptSession
from momentumseg.sessions.prompt_objects import BoxPrompt, PointPrompt
from momentumseg.volumes.volume import Volume

SIZE = 64


class Boxes:
    """A network that finds a disc of 20 pixels when a box fits around it, and else the box itself, being less sure."""

    def __init__(self) -> None:
        self.asked: list[np.ndarray] = []
        y, x = np.ogrid[:SIZE, :SIZE]
        self.disc = (x - 30) ** 2 + (y - 24) ** 2 <= 100

    def ask(self, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.asked += list(boxes)
        y, x = np.ogrid[:SIZE, :SIZE]
        masks, scores = [], []
        for x0, y0, x1, y1 in boxes:
            inside = (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
            fits = 12 < x0 <= 20 and 6 < y0 <= 14 and 40 <= x1 < 48 and 34 <= y1 < 42
            masks.append(np.where(inside & self.disc if fits else inside, 5.0, -5.0))
            scores.append(0.95 if fits else 0.6)
        return np.stack(masks).astype(np.float32), np.array(scores, dtype=np.float32)

    def search(self) -> BoxSearch:
        return BoxSearch(self.ask, lambda box, clicks: self.ask(box[None]), SIZE)


def clicks(*points: tuple[float, float, bool]) -> Clicks:
    return Clicks(np.array([(x, y) for x, y, _ in points]), np.array([inside for *_, inside in points]))


def test_a_click_tries_sizes_and_takes_the_surest() -> None:
    network = Boxes()
    answers = network.search().answers(clicks((30, 24, True)), None)
    assert answers[0][1] == pytest.approx(0.95)
    np.testing.assert_array_equal(answers[0][0] > 0, network.disc)
    sides = [box[2] - box[0] for box in network.asked]
    assert min(sides) < 15 < 35 < max(sides)
    assert len(answers) == 3
    assert all(first[1] >= second[1] for first, second in zip(answers, answers[1:], strict=False))


def test_what_the_clicks_contradict_comes_last() -> None:
    network = Boxes()
    asked = clicks((30, 24, True), (30, 30, False))  # the second lies in the disc
    best, _ = network.search().answers(asked, None)[0]
    assert best[24, 30] > 0
    assert best[30, 30] <= 0


def test_a_click_moves_the_sides_of_a_box() -> None:
    network = Boxes()
    box = np.array([10.0, 10.0, 20.0, 20.0])
    network.search().answers(clicks((40, 15, True)), box)
    assert all(tried[2] >= 40 for tried in network.asked)
    network.asked.clear()
    network.search().answers(clicks((12, 15, False)), box)
    assert network.asked[0].tolist() == [13, 10, 20, 20]


def test_a_further_click_changes_only_its_surroundings() -> None:
    """The mask so far stays, with a disc around the click up to its border, unless something is clearly better."""
    network = Boxes()
    before = np.where(network.disc, 6.0, -6.0).astype(np.float32)
    before[:20, 26:34] = -6.0  # a part is missing
    best, score = network.search().answers(clicks((30, 24, True), (30, 17, True)), None, (before, 0.95))[0]
    assert best[17, 30] > 0
    changed = (best > 0) != (before > 0)
    rows, columns = np.nonzero(changed)
    assert 0 < changed.sum() < 80
    assert np.hypot(rows - 17, columns - 30).max() <= 5
    assert score <= 1
    untouched, _ = network.search().answers(clicks((30, 24, True)), None, (before, 0.95))[0]
    np.testing.assert_array_equal(untouched, before)


def test_a_bad_mask_is_replaced_by_a_clearly_better_one() -> None:
    network = Boxes()
    before = np.full((SIZE, SIZE), -6.0, dtype=np.float32)
    before[:4, :4] = 6.0
    best, _ = network.search().answers(clicks((30, 24, True)), None, (before, 0.5))[0]
    np.testing.assert_array_equal(best > 0, network.disc)


def test_a_session_asks_with_boxes_when_clicks_are_experimental(
    prompt_fakes: ModuleType, a_phantom_volume: Volume, a_phantom_labelmap: Volume
) -> None:
    model = prompt_fakes.PromptModel(experimental=frozenset({"points", "negative points", "mask", "multimask"}))
    truth = a_phantom_labelmap.array[6] == 1
    with PromptSession(model) as session:
        session.set_volume(a_phantom_volume)
        number = session.add_object()
        session.add_prompt(number, 6, PointPrompt(16, 20))
        found = session.predict(number, 6)
        assert all(question["points"] is None for question in model.network.questions)
        assert found.mask[20, 16]
        assert np.count_nonzero(found.mask & truth) > 0.5 * np.count_nonzero(found.mask)
        session.add_prompt(number, 6, PointPrompt(38, 20, positive=False))
        assert not session.predict(number, 6).mask[20, 38]
        session.clear(number)
        session.add_prompt(number, 6, BoxPrompt.around(truth, 3))
        boxed = session.predict(number, 6)
        session.add_prompt(number, 6, PointPrompt(2, 2, positive=False))
        np.testing.assert_array_equal(session.predict(number, 6).mask, boxed.mask)
        assert all(question["masks"] is None for question in model.network.questions)
