"""Automatic segmentation by the worker is the session's own, as crops; models are told apart."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from momentumseg.networks.registry import build_segmentation_network
from momentumseg.sessions.automatic import AutomaticSession
from momentumseg.transforms.data_statistics import DataStatistics, LabelTable
from momentumseg.volumes.volume import Volume
from momentumseg.weights.segmentation_models import load_segmentation_model, save_segmentation_model

NAMES = {2: "kidney", 7: "liver"}


def an_automatic_model(path: Path, seed: int = 0, channels: tuple[str, ...] = ("CT",)) -> Path:
    """A tiny network with random weights."""
    torch.manual_seed(seed)
    table = {"name": "resunet", "in_channels": len(channels), "classes": 3, "dimensions": 3, "widths": [4, 8]}
    network = build_segmentation_network({**table, "norm": "instance"})
    statistics = DataStatistics(
        spacing=(None, 3.0, 3.0),
        plane="volume",
        patch=(8, 16, 16),
        channels=channels,
        intensity="percentile",
        labels=LabelTable.of(NAMES),
    )
    save_segmentation_model(
        network,
        path,
        recipe={"inference": {"mirror": False}},
        card={"name": "abdomen", "licence": "CC BY 4.0"},
        statistics=statistics.to_mapping(),
    )
    return path


@pytest.fixture(scope="module")
def an_automatic_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return an_automatic_model(tmp_path_factory.mktemp("ein Modell „ü“") / "abdomen.safetensors")


def placed(crop: np.ndarray, origin: list[int], shape: tuple[int, ...]) -> np.ndarray:
    whole = np.zeros(shape, crop.dtype)
    whole[tuple(slice(start, start + size) for start, size in zip(origin, crop.shape, strict=True))] = crop
    return whole


def a_request(identity: str, model: Path, **options: object) -> tuple[str, dict]:
    fixed = {"volume": identity, "model": str(model), "device": "cpu", "mirror": False, "box": None}
    return "segment_automatic", {**fixed, **options}


@pytest.mark.parametrize("options", [{}, {"mirror": True}, {"box": [[5, 30], [8, 30], [2, 9]]}])
def test_a_result_is_that_of_a_session(a_worker, a_sent_volume, an_automatic_file, a_phantom_volume, options) -> None:
    values, arrays = a_worker.call(*a_request(a_sent_volume, an_automatic_file, **options))
    with AutomaticSession(load_segmentation_model(an_automatic_file)) as session:
        session.set_volume(a_phantom_volume)
        expected = session.segment(**options)
    shape = a_phantom_volume.shape
    np.testing.assert_array_equal(placed(arrays["labelmap"], values["origin"], shape), expected.labelmap.array)
    np.testing.assert_array_equal(
        placed(arrays["uncertainty"], values["uncertainty_origin"], shape), expected.uncertainty_bytes
    )
    assert expected.labelmap.array.any()
    assert (values["labels"], values["label_names"]) == ([2, 7], NAMES)
    assert values["volume_ml"] == pytest.approx(expected.volume_ml)
    assert values["label_uncertainty"] == pytest.approx(expected.label_uncertainty)
    assert values["mean_uncertainty"] == pytest.approx(expected.mean_uncertainty)
    assert (values["slice_axis"], values["next_slice"], values["device"]) == (0, None, "cpu")
    assert values["model"] == str(an_automatic_file)
    assert values["seconds"] > 0


def test_progress_rises_to_the_end(a_worker, a_sent_volume, an_automatic_file) -> None:
    job = a_worker.send(*a_request(a_sent_volume, an_automatic_file))
    a_worker.wait(job)
    told = [fraction for fraction, *_ in a_worker.of(job, "progress")]
    assert told == sorted(told) and told[-1] == 1.0


def test_cancel_ends_it_and_the_next_request_is_answered(a_worker, a_phantom_volume, an_automatic_file) -> None:
    large = Volume(np.tile(a_phantom_volume.array, (8, 6, 6)), a_phantom_volume.ijk_to_ras, "large")
    a_worker.call(*a_worker.set_volume("large", large))
    job = a_worker.send(*a_request("large", an_automatic_file, mirror=True))
    a_worker.wait_until(lambda: len(a_worker.of(job, "progress")) >= 4)
    job.cancel()
    a_worker.wait_until(lambda: not job.is_active)
    assert not a_worker.of(job, "result")
    a_worker.call("forget_volume", {"volume": "large"})
    a_worker.call("noop")


def test_model_that_was_trained_again_is_read_again(a_worker, a_sent_volume, tmp_path) -> None:
    path = an_automatic_model(tmp_path / "again.safetensors", seed=0)
    first, first_arrays = a_worker.call(*a_request(a_sent_volume, path))
    an_automatic_model(path, seed=5)
    os.utime(path, (1, 1))
    second, second_arrays = a_worker.call(*a_request(a_sent_volume, path))
    assert first["label_uncertainty"] != second["label_uncertainty"]


def test_several_channels_are_volumes_of_the_worker(a_worker, a_sent_volume, a_phantom_volume, tmp_path) -> None:
    path = an_automatic_model(tmp_path / "two.safetensors", channels=("T1", "T2"))
    failure = a_worker.fail(*a_request(a_sent_volume, path))
    assert "2 images of each case (T1, T2) and was given 1" in failure.sentence
    a_worker.call(*a_worker.set_volume("second", a_phantom_volume.like(a_phantom_volume.array[::-1].copy())))
    values, _ = a_worker.call(*a_request(a_sent_volume, path, channels=["second"]))
    assert values["labels"] == [2, 7]
    a_worker.call("forget_volume", {"volume": "second"})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mirror": "yes"}, "mirror = 'yes'"),
        ({"volume": "none"}, "does not have the volume 'none'"),
        ({"box": [[90, 99], [0, 5], [0, 5]]}, "contains nothing of the volume"),
        ({"channels": "T2"}, "must be a list"),
    ],
)
def test_bad_requests_are_refused_in_words(a_worker, a_sent_volume, an_automatic_file, options, words) -> None:
    assert words in a_worker.fail(*a_request(a_sent_volume, an_automatic_file, **options)).sentence


def test_few_shot_model_is_refused_and_its_method_named(a_worker, a_sent_volume, a_model_file) -> None:
    assert (
        "needs a drawn slice: use it with the method 'Few-shot'"
        in a_worker.fail(*a_request(a_sent_volume, a_model_file)).sentence
    )


def test_own_automatic_model_is_listed_as_such(a_worker, an_automatic_file, a_model_file) -> None:
    for name, file in (("abdomen-ours", an_automatic_file), ("few-ours", a_model_file)):
        a_worker.call("import_model", {"name": name, "path": str(file)})
    listed = {model["name"]: model for model in a_worker.call("list_models", {"kind": "automatic"})[0]["models"]}
    assert set(listed) == {"abdomen-ours"}
    assert (listed["abdomen-ours"]["title"], listed["abdomen-ours"]["licence"]) == ("abdomen", "CC BY 4.0")
    few = [model["name"] for model in a_worker.call("list_models", {"kind": "few-shot"})[0]["models"]]
    assert "few-ours" in few and "abdomen-ours" not in few
    for name in ("abdomen-ours", "few-ours"):
        a_worker.call("delete_model", {"name": name})
