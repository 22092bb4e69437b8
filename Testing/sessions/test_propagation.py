"""Following objects through a volume: where they end, what corrects the path, what bounds it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from momentumseg.errors import Cancelled, InputError
from momentumseg.sessions.follow_result import FollowedSlice, resolve_labels
from momentumseg.sessions.prompt import PromptSession
from momentumseg.sessions.prompt_objects import BoxPrompt, PointPrompt
from momentumseg.sessions.propagation import FollowConfig
from momentumseg.volumes.volume import Volume

MIDDLE = 6


@pytest.fixture
def a_session(prompt_fakes: ModuleType, a_phantom_volume: Volume, tmp_path: Path) -> Iterator[PromptSession]:
    with PromptSession(prompt_fakes.PromptModel(), cache_folder=tmp_path) as session:
        session.set_volume(a_phantom_volume)
        yield session


def prompted(session: PromptSession, labels: Volume, label: int = 1, slices: tuple[int, ...] = (MIDDLE,)) -> int:
    number = session.add_object(label)
    for index in slices:
        session.add_prompt(number, index, BoxPrompt.around(labels.array[index] == label, 2))
    return number


def test_objects_are_followed_to_their_ends(a_session: PromptSession, a_phantom_labelmap: Volume) -> None:
    numbers = [prompted(a_session, a_phantom_labelmap, label) for label in (1, 2)]
    result = a_session.follow()
    for number, label in zip(numbers, (1, 2), strict=True):
        found, truth = result.labelmap.array == label, a_phantom_labelmap.array == label
        # the pointed ends of the ellipsoid are smaller than the smallest area
        assert 2 * np.count_nonzero(found & truth) / (np.count_nonzero(found) + np.count_nonzero(truth)) > 0.9
        assert result.ends[number].first >= np.flatnonzero(truth.any(axis=(1, 2)))[0]
    assert (result.ends[numbers[1]].first, result.ends[numbers[1]].last) == (3, 8)
    np.testing.assert_array_equal(result.labelmap.ijk_to_ras, a_phantom_labelmap.ijk_to_ras)
    assert result.labelmap.array.dtype == np.uint8
    assert result.least_certain_slice not in (None, MIDDLE)


def test_slices_are_streamed_and_are_those_of_the_result(a_session: PromptSession, a_phantom_labelmap: Volume) -> None:
    number = prompted(a_session, a_phantom_labelmap, slices=(4, 8))
    seen: list[FollowedSlice] = []
    steps: list[tuple[int, int]] = []
    result = a_session.follow(on_slice=seen.append, progress=lambda done, total: steps.append((done, total)))
    assert {one.slice_index for one in seen[:2]} == {4, 8}, "the prompted slices come first"
    final = {one.slice_index: one for one in seen if one.is_final}
    assert final == dict(result.slices[number])
    assert {one.slice_index for one in seen if not one.is_final} == {5, 6, 7}
    assert {one.source for one in final.values() if 4 < one.slice_index < 8} == {"between"}
    assert steps[-1] == (12, 12)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)


def test_the_result_does_not_depend_on_what_was_followed_with_it(
    a_session: PromptSession, a_phantom_labelmap: Volume
) -> None:
    first, second = (prompted(a_session, a_phantom_labelmap, label) for label in (1, 2))
    both, alone = a_session.follow(), a_session.follow([second])
    for index, found in alone.slices[second].items():
        np.testing.assert_array_equal(found.logits, both.slices[second][index].logits)
    assert set(both.slices) == {first, second}


def test_cancel_leaves_the_session_as_it_was(a_session: PromptSession, a_phantom_labelmap: Volume) -> None:
    number = prompted(a_session, a_phantom_labelmap)
    seen: list[int] = []
    with pytest.raises(Cancelled):
        a_session.follow(on_slice=lambda one: seen.append(one.slice_index), cancelled=lambda: len(seen) > 2)
    assert len(seen) == 3
    assert a_session.objects[number].slices == [MIDDLE]
    assert a_session.follow().slices[number]


def test_a_range_and_boxes_bound_it(a_session: PromptSession, a_phantom_labelmap: Volume) -> None:
    prompted(a_session, a_phantom_labelmap)
    result = a_session.follow(slice_range=(5, 8))
    assert result.slice_indices == [5, 6, 7]
    assert "bounds" in next(iter(result.ends.values())).after_last
    box = ((10, 20), (0, 40), (4, 8))
    found = a_session.follow(roi=box).labelmap.array
    inside = np.zeros_like(found, dtype=bool)
    inside[4:8, :, 10:20] = True
    assert found.any()
    assert not found[~inside].any()
    second = ((0, 48), (0, 20), (8, 10))
    two = a_session.follow(roi=[box, second]).labelmap.array
    assert np.flatnonzero(two.any(axis=(1, 2))).tolist() == [4, 5, 6, 7, 8, 9]
    assert not two[8:, 20:].any()
    with pytest.raises(InputError, match="lie outside the bounds"):
        a_session.follow(slice_range=(0, 3))


def test_a_prompt_on_a_further_slice_corrects_the_path(
    prompt_fakes: ModuleType, a_geometry: np.ndarray, tmp_path: Path
) -> None:
    """A structure whose brightness drifts away: from one side it is lost, from both it is found."""
    voxels = np.full((21, 32, 32), 0.0, dtype=np.float32)
    truth = np.zeros(voxels.shape, dtype=bool)
    truth[:, 10:22, 10:22] = True
    voxels[truth] = np.repeat(np.linspace(1000, 300, 21), 144)
    voxels[:, 0, 0] = 1000  # fixes the window of every slice
    voxels[12, 10:13, 10:22] = 0  # a part of it is missing on one slice
    with PromptSession(prompt_fakes.PromptModel(), cache_folder=tmp_path) as session:
        session.set_volume(Volume(voxels, a_geometry))
        number = session.add_object()
        session.add_prompt(number, 2, BoxPrompt(8, 8, 23, 23))
        one_side = session.follow(config=FollowConfig(largest_change=1.2, largest_shift=None))
        assert one_side.ends[number].last == 11
        assert "area changes from 144 to 108" in one_side.ends[number].after_last
        session.add_prompt(number, 18, BoxPrompt(8, 8, 23, 23))
        result = session.follow(config=FollowConfig(largest_change=1.2, largest_shift=None))
        assert set(result.slice_indices) >= set(range(19))
        found = result.labelmap.array.astype(bool)
        assert np.count_nonzero(found[13:19] & truth[13:19]) > 0.95 * np.count_nonzero(truth[13:19])


@pytest.mark.parametrize("between", ["blend", "nearest", "iou"])
def test_paths_between_two_prompts_are_joined(
    a_session: PromptSession, a_phantom_labelmap: Volume, between: str
) -> None:
    prompted(a_session, a_phantom_labelmap, slices=(4, 8))
    result = a_session.follow(config=FollowConfig(between=between))
    truth = a_phantom_labelmap.array == 1
    for index in (5, 6, 7):
        found = result.labelmap.array[index] == 1
        assert np.count_nonzero(found ^ truth[index]) < 0.1 * np.count_nonzero(truth[index])


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"lowest_iou": 1.01}, "predicted overlap falls to 0.75"),
        ({"largest_change": 1.01}, "area changes"),
        ({"largest_shift": 1e-6}, "brightness inside changes"),
        ({"smallest_area": 5000}, "nothing is found"),
        ({"smallest_return": 0.999}, "following back"),
    ],
)
def test_every_rule_can_end_an_object(
    a_session: PromptSession, a_phantom_labelmap: Volume, config: dict[str, float], reason: str
) -> None:
    quiet = {"lowest_iou": 0.0, "largest_change": 1e9, "smallest_overlap": 0.0, "largest_shift": None}
    number = prompted(a_session, a_phantom_labelmap)
    ends = a_session.follow(config=FollowConfig(**{**quiet, "smallest_return": None, **config})).ends[number]
    assert reason in f"{ends.before_first} {ends.after_last}"


def test_settings_that_cannot_be_used() -> None:
    with pytest.raises(InputError, match="joined by"):
        FollowConfig(between="both")
    with pytest.raises(InputError, match="margin of -1"):
        FollowConfig(margin=-1)


def test_nothing_to_follow(a_session: PromptSession, a_phantom_labelmap: Volume) -> None:
    with pytest.raises(InputError, match="no prompt to start from"):
        a_session.follow()
    number = a_session.add_object()
    a_session.add_prompt(number, MIDDLE, PointPrompt(16, 20))
    a_session.add_prompt(number, MIDDLE, PointPrompt(17, 21, False))  # as bright as the rest: nothing is left
    with pytest.raises(InputError, match="give an empty mask"):
        a_session.follow()
    with pytest.raises(InputError, match="no object 99"):
        a_session.follow([99])


def test_a_blank_slice_ends_an_object(prompt_fakes: ModuleType, a_phantom_volume: Volume, a_phantom_labelmap) -> None:
    voxels = a_phantom_volume.array.copy()
    voxels[8] = 20
    with PromptSession(prompt_fakes.PromptModel()) as session:
        session.set_volume(a_phantom_volume.like(voxels))
        number = prompted(session, a_phantom_labelmap)
        assert session.follow().ends[number].last == 7


def a_slice(label: int, logits: list[list[float]], origin: tuple[int, int] = (0, 0), iou: float = 1.0) -> FollowedSlice:
    return FollowedSlice(label, label, 0, origin, np.array(logits, dtype=np.float16), iou, "followed")


def test_the_surer_object_has_the_voxel() -> None:
    first, second = a_slice(1, [[5, 2], [-1, 3]]), a_slice(2, [[4, 3]], origin=(0, 0))
    labels = np.zeros((2, 3), dtype=np.uint8)
    resolve_labels([second, first], labels)
    assert labels.tolist() == [[1, 2, 0], [0, 1, 0]]
    tie = np.zeros((1, 1), dtype=np.uint8)
    resolve_labels([a_slice(2, [[1]]), a_slice(1, [[1]])], tie)
    assert tie.tolist() == [[1]]


def test_uncertainty_is_that_of_the_voxels_and_of_the_slice() -> None:
    unsure = a_slice(1, [[0.001, 30.0, -30.0]], iou=0.7).uncertainty
    assert unsure[0] == pytest.approx([1.0, 0.3, 0.0], abs=1e-3)


def test_uncertainty_is_high_at_borders(a_session: PromptSession, a_phantom_labelmap: Volume) -> None:
    prompted(a_session, a_phantom_labelmap)
    uncertainty = a_session.follow().uncertainty.array
    assert uncertainty.min() == 0
    assert 0.5 < uncertainty.max() <= 1


def test_prompted_slices_alone(a_session: PromptSession, a_phantom_labelmap: Volume) -> None:
    prompted(a_session, a_phantom_labelmap, slices=(5,))
    result = a_session.prompted_slices()
    assert np.flatnonzero(result.labelmap.array.any(axis=(1, 2))).tolist() == [5]
    assert result.least_certain_slice is None
