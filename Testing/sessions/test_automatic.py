"""Automatic segmentation: every orientation alike, the way back, boxes, uncertainty, memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor, nn

from momentumseg.errors import Cancelled, GeometryError, InputError
from momentumseg.inference.sliding_window import predict_probabilities
from momentumseg.io.read import read_volume
from momentumseg.networks.registry import build_segmentation_network
from momentumseg.networks.segmentation import SegmentationNetwork
from momentumseg.sessions.automatic import AutomaticSession
from momentumseg.transforms.case_intensity import normalized_channels
from momentumseg.transforms.data_statistics import DataStatistics, LabelTable
from momentumseg.volumes.volume import Volume

SPACING = (0.8, 1.1, 2.5)  # of i, j, k
SHAPE = (14, 22, 19)


class OfVoxels(SegmentationNetwork):
    """Logits of a voxel are a linear function of its own intensities: no context, so every part equals the whole."""

    def __init__(self, classes: int, dimensions: int = 3, channels: int = 1, gain: float = 8.0) -> None:
        super().__init__(channels, classes)
        self.dimensions, self.divisor = dimensions, 2
        self.mix = (nn.Conv3d if dimensions == 3 else nn.Conv2d)(channels, classes, 1)
        with torch.no_grad():
            self.mix.weight.copy_(torch.linspace(-gain, gain, classes).view(-1, *[1] * (dimensions + 1)))
            self.mix.bias.copy_(-torch.linspace(-2, 2, classes).square())

    def forward(self, images: Tensor) -> Tensor:
        return self.mix(self.checked(images))


@dataclass
class Model:
    """What a session needs of a loaded model."""

    network: SegmentationNetwork
    statistics: DataStatistics
    recipe: dict[str, Any] = field(default_factory=dict)


def a_model(network: SegmentationNetwork | None = None, **changes: Any) -> Model:
    """A tiny network for three classes unless another one is given."""
    if network is None:
        torch.manual_seed(3)
        table = {"name": "resunet", "in_channels": 1, "classes": 3, "dimensions": 3, "widths": [4, 8]}
        network = build_segmentation_network({**table, "norm": "instance"})
    facts = {
        "spacing": (None, None, None),
        "plane": "volume",
        "patch": (8,) * network.dimensions,
        "channels": ("T1",),
        "intensity": "zscore",
        "labels": LabelTable.of({value: f"part {value}" for value in range(1, network.classes)}),
    }
    return Model(network, DataStatistics(**{**facts, **changes}))


def a_volume(shape: tuple[int, int, int] = SHAPE, seed: int = 0) -> Volume:
    noise = np.random.default_rng(seed).normal(size=shape)
    smooth = sum(np.roll(noise, (a, b, c), (0, 1, 2)) for a, b, c in product(range(3), repeat=3))
    return Volume((100 * smooth).astype(np.int16), np.diag([*SPACING, 1.0]), "head")


def segmented(model: Model, volume: Volume, *further: Volume, **options: Any) -> Any:
    with AutomaticSession(model) as session:
        session.set_volume(volume, *further)
        return session.segment(**options)


def rearranged(volume: Volume, order: Sequence[int], flips: Sequence[int]) -> tuple[Volume, Any]:
    """The same voxels in the same places of the patient, stored in another order; and what stores an array so."""

    def store(array: np.ndarray) -> np.ndarray:
        return np.flip(array.transpose(order), flips)

    new_shape = store(volume.array).shape
    to_old = np.zeros((4, 4))
    to_old[3, 3] = 1.0
    for new_axis, old_axis in enumerate(order):  # (K, J, I) axes; columns of a matrix are i, j, k
        to_old[2 - old_axis, 2 - new_axis] = -1.0 if new_axis in flips else 1.0
        to_old[2 - old_axis, 3] = new_shape[new_axis] - 1 if new_axis in flips else 0.0
    return Volume(store(volume.array).copy(), volume.ijk_to_ras @ to_old), store


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("flips", [(1,), (0, 2)])
def test_result_is_the_same_however_the_file_stores_the_volume(order: tuple, flips: tuple) -> None:
    model, volume = a_model(spacing=(2.0, None, 1.0)), a_volume()
    expected = segmented(model, volume)
    other, store = rearranged(volume, order, flips)
    found = segmented(model, other)
    assert len(np.unique(expected.labelmap.array)) == 3
    np.testing.assert_array_equal(found.labelmap.array, store(expected.labelmap.array))
    np.testing.assert_array_equal(found.uncertainty_bytes, store(expected.uncertainty_bytes))
    np.testing.assert_array_equal(found.labelmap.ijk_to_ras, other.ijk_to_ras)
    assert found.volume_ml == pytest.approx(expected.volume_ml)
    along = store(np.broadcast_to(np.arange(SHAPE[0])[:, None, None], SHAPE))  # old slice at each new voxel
    new_of_old = {int(np.take(along, new, found.slice_axis).flat[0]): new for new in found.mean_uncertainty}
    assert {new_of_old[old]: mean for old, mean in expected.mean_uncertainty.items()} == found.mean_uncertainty


def test_oblique_volume_gives_the_same_answer() -> None:
    model, volume = a_model(), a_volume()
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_euler("xyz", (12, -20, 8), degrees=True).as_matrix()
    found = segmented(model, Volume(volume.array, turned @ volume.ijk_to_ras))
    np.testing.assert_array_equal(found.labelmap.array, segmented(model, volume).labelmap.array)


@pytest.mark.parametrize("spacing", [(None, None, None), (1.0, 1.0, 1.0), (5.0, 0.7, 2.0)])
@pytest.mark.parametrize("mirror", [False, True])
def test_labels_and_uncertainty_are_those_of_the_whole_probabilities(spacing: tuple, mirror: bool) -> None:
    model, volume = a_model(spacing=spacing), a_volume()
    found = segmented(model, volume, mirror=mirror)
    grid = model.statistics.grid_of(volume.shape, volume.ijk_to_ras)
    image = normalized_channels(grid.forward_image(volume.array)[None], "zscore")
    whole = predict_probabilities(model.network, image, patch=(8, 8, 8), mirror=mirror)
    probabilities = grid.backward_probabilities(whole)
    sure = np.diff(np.sort(probabilities, axis=0)[-2:], axis=0)[0] > 1e-4
    np.testing.assert_array_equal(found.labelmap.array[sure], probabilities.argmax(axis=0)[sure])
    entropy = -(probabilities * np.log(np.maximum(probabilities, 1e-12))).sum(axis=0) / np.log(3)
    np.testing.assert_allclose(found.uncertainty.array, entropy, atol=0.003)


def test_slices_of_the_trained_plane_are_given_to_a_network_of_two_dimensions() -> None:
    torch.manual_seed(1)
    network = build_segmentation_network({"name": "resunet", "in_channels": 1, "classes": 3, "widths": [4, 8]})
    model, volume = a_model(network, plane="coronal", patch=(8, 16)), a_volume()
    alone = volume.array[:, 5:6]  # one coronal slice: j goes from posterior to anterior
    whole = segmented(model, volume)
    assert whole.slice_axis == 1
    mean, deviation = volume.array.mean(), volume.array.std()
    image = ((alone - mean) / deviation).astype(np.float32)
    grid = model.statistics.grid_of(alone.shape, volume.ijk_to_ras)
    expected = grid.backward_probabilities(
        predict_probabilities(network, grid.forward_image(image)[None], patch=(8, 16))
    ).argmax(axis=0)
    assert np.mean(whole.labelmap.array[:, 5:6] == expected) > 0.999


def test_labels_have_the_values_and_names_of_the_files() -> None:
    names = {3: "kidney", 300: "spleen"}
    found = segmented(a_model(OfVoxels(3), labels=LabelTable.of(names)), a_volume())
    assert found.labelmap.array.dtype == np.uint16
    assert set(np.unique(found.labelmap.array)) == {0, 3, 300}
    assert found.label_names == names


@pytest.mark.parametrize("spacing", [(None, None, None), (1.0, 2.0, 1.0)])
@pytest.mark.parametrize("plane", ["volume", "sagittal"])
def test_box_is_segmented_as_in_the_whole_and_the_rest_is_background(spacing: tuple, plane: str) -> None:
    network = OfVoxels(3, 3 if plane == "volume" else 2)
    model, volume, box = a_model(network, spacing=spacing, plane=plane), a_volume(), ((2, 9), (0, 30), (4, 7))
    whole, part = segmented(model, volume), segmented(model, volume, box=box)
    inside = np.zeros(SHAPE, dtype=bool)
    inside[4:7, :, 2:9] = True
    np.testing.assert_array_equal(part.labelmap.array[inside], whole.labelmap.array[inside])
    assert not part.labelmap.array[~inside].any()
    assert not part.uncertainty_bytes[~inside].any()
    assert set(part.mean_uncertainty) == (set(range(4, 7)) if plane == "volume" else set(range(2, 9)))


def test_what_is_measured_is_what_is_in_the_arrays() -> None:
    found = segmented(a_model(), a_volume())
    voxel = np.prod(SPACING) / 1000
    for label in (1, 2):
        mask = found.labelmap.array == label
        assert found.volume_ml[label] == pytest.approx(mask.sum() * voxel)
        assert found.label_uncertainty[label] == pytest.approx(found.uncertainty.array[mask].mean(), abs=0.003)
    assert sorted(found.mean_uncertainty) == list(range(SHAPE[0]))


@pytest.mark.parametrize(("gain", "low", "high"), [(0.0, 0.8, 1.0), (1e4, 0.0, 0.05)])
def test_uncertainty_is_low_where_the_network_is_sure(gain: float, low: float, high: float) -> None:
    network = OfVoxels(3, gain=gain)
    nn.init.zeros_(network.mix.bias)
    assert low <= segmented(a_model(network), a_volume()).uncertainty.array.mean() <= high


def test_recipe_says_whether_to_mirror_and_how_far_windows_overlap() -> None:
    model, volume = a_model(), a_volume()
    plain, mirrored = segmented(model, volume), segmented(model, volume, mirror=True)
    assert (plain.uncertainty_bytes != mirrored.uncertainty_bytes).any()
    model.recipe["inference"] = {"mirror": True}
    np.testing.assert_array_equal(segmented(model, volume).uncertainty_bytes, mirrored.uncertainty_bytes)
    model.recipe["inference"] = {"overlap": 0.0}
    assert (segmented(model, volume).uncertainty_bytes != plain.uncertainty_bytes).any()
    model.recipe["inference"] = {"overlap": "much"}
    with pytest.raises(InputError, match=r"inference\.overlap = 'much'"):
        AutomaticSession(model)


def test_several_channels_are_taken_in_order() -> None:
    model = a_model(OfVoxels(3, channels=2), channels=("T1", "T2"))
    first, second = a_volume(seed=0), a_volume(seed=1)
    with torch.no_grad():
        model.network.mix.weight[:, 1] = 0.0
    expected = segmented(a_model(OfVoxels(3)), first).labelmap.array
    np.testing.assert_array_equal(segmented(model, first, second).labelmap.array, expected)
    assert (segmented(model, second, first).labelmap.array != expected).any()
    with pytest.raises(InputError, match=r"2 images of each case \(T1, T2\) and was given 1"):
        segmented(model, first)
    with pytest.raises(GeometryError, match="same voxels"):
        segmented(model, first, a_volume((14, 22, 20)))


def test_progress_is_told_and_cancel_is_heard() -> None:
    told: list[tuple[int, int]] = []
    segmented(a_model(), a_volume(), progress=lambda *numbers: told.append(numbers))
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert told[-1][0] == told[-1][1]
    with pytest.raises(Cancelled):
        segmented(a_model(), a_volume(), cancelled=lambda: True)


def test_requests_that_cannot_be_met_are_refused_in_words() -> None:
    session = AutomaticSession(a_model())
    with pytest.raises(InputError, match="no volume to segment"):
        session.segment()
    session.set_volume(a_volume())
    with pytest.raises(InputError, match="contains nothing of the volume"):
        session.segment(box=((40, 50), (0, 5), (0, 5)))
    with pytest.raises(InputError, match="value 4"):
        session.set_volume(Volume(np.full((3, 3, 3), 4), np.eye(4)))
    with pytest.raises(InputError, match="no volume to segment"):
        session.segment()


@pytest.mark.parametrize("spacing", [(None, None, None), (2.0, 2.0, 2.0)])
def test_probabilities_of_a_long_volume_are_never_in_memory_as_a_whole(spacing: tuple) -> None:
    classes = 20
    network = OfVoxels(classes)
    volume = a_volume((300, 32, 32))
    session = AutomaticSession(a_model(network, spacing=spacing, patch=(8, 32, 32)))
    session.set_volume(volume)
    tracemalloc.start()
    session.segment()
    _, peak = tracemalloc.get_traced_memory()  # numpy's memory; torch's is that of one layer
    tracemalloc.stop()
    assert peak < volume.array.size * classes * 4 / 4


def test_real_volume_is_segmented_on_its_own_voxels(a_hippocampus_case: tuple[Path, Path]) -> None:
    volume = read_volume(a_hippocampus_case[0])
    found = segmented(a_model(patch=(32, 32, 32), spacing=(1.0, 1.0, 1.0)), volume)
    assert found.labelmap.shape == volume.shape
    np.testing.assert_array_equal(found.labelmap.ijk_to_ras, volume.ijk_to_ras)
    assert 0.0 <= found.uncertainty.array.min() <= found.uncertainty.array.max() <= 1.0
