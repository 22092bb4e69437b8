"""Few-shot segmentation by the worker is the session's own, slice by slice and as crops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from momentumseg.sessions.few_shot import FewShotSession
from momentumseg.volumes.volume import Volume
from momentumseg.weights.loading import load_few_shot_model


def _direct(model: Path, volume: Volume, drawn, **options):
    with FewShotSession(load_few_shot_model(model)) as session:
        session.set_volume(volume, plane=options.pop("plane", "axial"))
        for index, label, mask in drawn:
            session.add_support(mask, index, label=label)
        result = session.segment(**options)
        return result, session.suggest_next_slice()


def _placed(crop: np.ndarray, origin, shape) -> np.ndarray:
    whole = np.zeros(shape, crop.dtype)
    whole[tuple(slice(start, start + size) for start, size in zip(origin, crop.shape, strict=True))] = crop
    return whole


@pytest.fixture
def two_labels(a_phantom_labelmap: Volume):
    labels = a_phantom_labelmap.array
    return [(6, 1, labels[6] == 1), (5, 2, labels[5] == 2)]


@pytest.mark.parametrize("consistency", [False, None])
def test_a_result_is_that_of_a_session(
    a_worker, a_sent_volume, a_model_file, a_phantom_volume, two_labels, consistency
) -> None:
    values, arrays = a_worker.call(*a_worker.segment(a_sent_volume, a_model_file, two_labels, consistency=consistency))
    result, next_slice = _direct(a_model_file, a_phantom_volume, two_labels, consistency=consistency)
    shape = a_phantom_volume.shape
    labelmap = _placed(arrays["labelmap"], values["origin"], shape)
    np.testing.assert_array_equal(labelmap, result.labelmap.array)
    uncertainty = _placed(arrays["uncertainty"], values["uncertainty_origin"], shape)
    assert uncertainty.dtype == np.uint8 and uncertainty.any()
    np.testing.assert_allclose(uncertainty / 255.0, result.uncertainty.array, atol=0.5 / 255 + 1e-6)
    assert values["labels"] == [1, 2] and values["slice_axis"] == 0 and values["next_slice"] == next_slice
    assert values["mean_uncertainty"] == pytest.approx(result.mean_uncertainty)
    assert (values["device"], values["model"]) == ("cpu", str(a_model_file))
    for label in (1, 2):
        of_label = result.labelmap.array == label
        assert of_label.any(), "the test must see both labels"
        assert values["volume_ml"][label] == pytest.approx(of_label.sum() * 1.5 * 1.5 * 5 / 1000)
        expected = result.uncertainty.array[of_label].mean()
        assert values["label_uncertainty"][label] == pytest.approx(expected, abs=1 / 255)


@pytest.mark.parametrize("consistency", [False, None])
def test_final_slices_together_are_the_result(
    a_worker, a_sent_volume, a_model_file, a_phantom_volume, two_labels, consistency
) -> None:
    job = a_worker.send(*a_worker.segment(a_sent_volume, a_model_file, two_labels, consistency=consistency))
    a_worker.wait(job)
    _, values, arrays = a_worker.end_of(job)
    whole = np.zeros(a_phantom_volume.shape, np.uint8)
    parts = a_worker.of(job, "partial")
    for place, crop in parts:
        if place["final"]:
            shape = whole.shape[1:]
            whole[place["slice_index"]] = _placed(crop["labels"], place["origin"], shape) if crop else 0
    np.testing.assert_array_equal(whole, _placed(arrays["labelmap"], values["origin"], whole.shape))
    first = [place["slice_index"] for place, _ in parts][: whole.shape[0]]
    assert sorted(first) == list(range(whole.shape[0])) and set(first[:2]) == {5, 6}, "nearest to the drawn ones first"
    assert len(parts) == whole.shape[0] * (1 if consistency is False else 2)
    fractions = [fraction for fraction, *_ in a_worker.of(job, "progress")]
    assert fractions == sorted(fractions) and fractions[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("plane", ["coronal", "sagittal"])
def test_other_planes_and_a_part_of_the_volume(
    a_worker, a_sent_volume, a_model_file, a_phantom_volume, a_phantom_labelmap, plane
) -> None:
    axis = {"coronal": 1, "sagittal": 2}[plane]
    index = 20 if axis == 1 else 16
    mask = np.take(a_phantom_labelmap.array, index, axis) == 1
    options = {"plane": plane, "slice_range": [index - 4, index + 3], "box": [[2, 44], [1, 39], [1, 11]]}
    values, arrays = a_worker.call(*a_worker.segment(a_sent_volume, a_model_file, [(index, 1, mask)], **options))
    result, _ = _direct(a_model_file, a_phantom_volume, [(index, 1, mask)], consistency=False, **options)
    assert values["slice_axis"] == axis and result.labelmap.array.any()
    labelmap = _placed(arrays["labelmap"], values["origin"], a_phantom_volume.shape)
    np.testing.assert_array_equal(labelmap, result.labelmap.array)
    assert sorted(values["mean_uncertainty"]) == list(range(index - 4, index + 3))


def test_supports_of_another_volume(
    a_worker, a_sent_volume, a_model_file, a_phantom_volume, a_phantom_labelmap
) -> None:
    other = a_phantom_volume.like(a_phantom_volume.array[::-1] + np.int16(3), "other")
    mask = a_phantom_labelmap.array[::-1][5] == 1
    a_worker.call(*a_worker.set_volume("andere Größe", other))
    method, parameters, arrays = a_worker.segment(a_sent_volume, a_model_file, [(5, 1, mask)])
    parameters["supports"][0]["volume"] = "andere Größe"
    values, found = a_worker.call(method, parameters, arrays)
    with FewShotSession(load_few_shot_model(a_model_file)) as session:
        session.set_volume(a_phantom_volume)
        session.add_support(mask, 5, volume=other)
        expected = session.segment(consistency=False).labelmap.array
    np.testing.assert_array_equal(_placed(found["labelmap"], values["origin"], other.shape), expected)
    a_worker.call("forget_volume", {"volume": "andere Größe"})


def test_two_volumes_in_turn(a_worker, a_model_file, a_phantom_volume, a_phantom_labelmap) -> None:
    flipped = a_phantom_volume.like(np.ascontiguousarray(a_phantom_volume.array[:, ::-1]), "flipped")
    masks = {"one": a_phantom_labelmap.array[6] == 1, "two": a_phantom_labelmap.array[6, ::-1] == 1}
    a_worker.call(*a_worker.set_volume("one", a_phantom_volume))
    a_worker.call(*a_worker.set_volume("two", flipped))
    found = {"one": [], "two": []}
    for name in ("one", "two", "one", "two"):
        values, arrays = a_worker.call(*a_worker.segment(name, a_model_file, [(6, 1, masks[name])]))
        found[name].append(_placed(arrays["labelmap"], values["origin"], flipped.shape))
    for name, volume in (("one", a_phantom_volume), ("two", flipped)):
        expected = _direct(a_model_file, volume, [(6, 1, masks[name])], consistency=False)[0].labelmap.array
        for labelmap in found[name]:
            np.testing.assert_array_equal(labelmap, expected)


def test_a_volume_that_is_sent_again_is_another_one(
    a_worker, a_model_file, a_phantom_volume, a_phantom_labelmap
) -> None:
    darker = a_phantom_volume.like(np.ascontiguousarray(a_phantom_volume.array[:, :, ::-1]), "again")
    drawn = [(6, 1, a_phantom_labelmap.array[6] == 1)]
    a_worker.call(*a_worker.set_volume("same id", a_phantom_volume))
    a_worker.call(*a_worker.segment("same id", a_model_file, drawn))
    a_worker.call(*a_worker.set_volume("same id", darker))
    values, arrays = a_worker.call(*a_worker.segment("same id", a_model_file, drawn))
    expected = _direct(a_model_file, darker, drawn, consistency=False)[0].labelmap.array
    np.testing.assert_array_equal(_placed(arrays["labelmap"], values["origin"], darker.shape), expected)


def test_iterates_are_those_of_the_last_segmentation_that_kept_them(
    a_worker, a_sent_volume, a_phantom_volume, a_phantom_labelmap
) -> None:
    drawn = [(6, 1, a_phantom_labelmap.array[6] == 1)]
    question = {"volume": a_sent_volume, "label": 1, "slice_index": 5}
    model = "lmsnet-general"
    a_worker.call(*a_worker.segment(a_sent_volume, model, drawn, slice_range=[4, 8], keep_iterates=True))
    values, arrays = a_worker.call("iterates", question)
    result, _ = _direct(model, a_phantom_volume, drawn, slice_range=(4, 8), consistency=False, keep_iterates=True)
    expected = result.iterate_slices(1, 5)
    assert values["stages"] == len(expected) > 1 and len(arrays) == 3 * len(expected)
    for number, stage in enumerate(expected, start=1):
        for name, pixels in stage.items():
            np.testing.assert_array_equal(arrays[f"stage{number}_{name}"], pixels)
    assert "were not kept" in a_worker.fail("iterates", {**question, "slice_index": 0}).sentence
    a_worker.call("free_memory")
    assert "segment it again" in a_worker.fail("iterates", question).sentence


def test_encoding_ahead_gives_way_and_is_used(a_worker, a_sent_volume, a_model_file, two_labels) -> None:
    a_worker.call("free_memory")
    place = {"volume": a_sent_volume, "model": str(a_model_file), "device": "cpu", "plane": "axial"}
    ahead = a_worker.send("encode", {**place, "first_slice": 6})
    a_worker.call(*a_worker.segment(a_sent_volume, a_model_file, two_labels))
    a_worker.wait(ahead)
    assert a_worker.end_of(ahead) == ("result", {"encoded": 12, "interrupted": False}, {})


@pytest.mark.parametrize(
    ("slice_index", "mask", "words"),
    [
        (6, np.zeros((40, 48)), "Nothing is drawn on slice 6"),
        (12, np.ones((40, 48)), "Slice 12 does not exist"),
        (6, np.ones((40, 47)), "40, 47"),
    ],
)
def test_a_support_that_cannot_be_used_is_refused_and_the_next_request_works(
    a_worker, a_sent_volume, a_model_file, two_labels, slice_index, mask, words
) -> None:
    failure = a_worker.fail(*a_worker.segment(a_sent_volume, a_model_file, [*two_labels, (slice_index, 3, mask)]))
    assert failure.kind == "user" and words in failure.sentence
    assert a_worker.call(*a_worker.segment(a_sent_volume, a_model_file, two_labels))[0]["labels"] == [1, 2]


def test_nothing_drawn_and_unknown_names_are_refused(
    a_worker, a_sent_volume, a_model_file, two_labels, tmp_path
) -> None:
    assert "No axial slice is drawn" in a_worker.fail(*a_worker.segment(a_sent_volume, a_model_file, [])).sentence
    damaged = tmp_path / "kaputt ü.safetensors"
    damaged.write_bytes(b"no model")
    for model, words in (("nope", "no model named 'nope'"), (damaged, "kaputt"), (tmp_path / "no.pth", "not exist")):
        failure = a_worker.fail(*a_worker.segment(a_sent_volume, model, two_labels))
        assert words in failure.sentence and "\n" not in failure.sentence
    failure = a_worker.fail(*a_worker.segment(a_sent_volume, a_model_file, two_labels, device="cuda:77"))
    assert "'cuda:77' cannot be used" in failure.sentence
    failure = a_worker.fail(*a_worker.segment(a_sent_volume, a_model_file, two_labels, slice_range=[40, 50]))
    assert "slice range" in failure.sentence


def test_a_segmentation_is_cancelled_between_slices_and_nothing_is_sent_afterwards(
    a_worker, a_sent_volume, a_model_file, two_labels
) -> None:
    job = a_worker.send(*a_worker.segment(a_sent_volume, "lmsnet-general", two_labels, consistency=None))
    a_worker.wait_until(lambda: bool(a_worker.of(job, "partial")))
    job.cancel()
    told = len(a_worker.events)
    a_worker.wait(job)
    assert job.state == "cancelled"
    assert [event[1] for event in a_worker.events[told:]] == ["error"]
