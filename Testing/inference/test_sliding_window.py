"""Sliding windows against the plain network, a naive reference, and mirrored and batched versions of themselves."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from momentumseg.errors import Cancelled, InputError
from momentumseg.inference.sliding_window import predict_layers, predict_probabilities
from momentumseg.networks.segmentation import SegmentationNetwork

RNG = np.random.default_rng(0)


class Toy(SegmentationNetwork):
    """One convolution; symmetric filters make it equivariant to mirroring."""

    def __init__(self, dimensions: int = 3, symmetric: bool = False, divisor: int = 4, channels: int = 1) -> None:
        super().__init__(channels, 3)
        self.dimensions, self.divisor, self.calls = dimensions, divisor, 0
        torch.manual_seed(0)
        kind = nn.Conv3d if dimensions == 3 else nn.Conv2d
        self.layer = kind(channels, 3, 3, padding=1)
        self.dropout = nn.Dropout(0.5)
        if symmetric:
            axes = range(2, 2 + dimensions)
            sets = [combination for n in range(dimensions + 1) for combination in itertools.combinations(axes, n)]
            with torch.no_grad():
                self.layer.weight.copy_(sum(self.layer.weight.flip(axes) for axes in sets) / len(sets))

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return self.dropout(self.layer(self.checked(images)))


def an_image(*shape: int, channels: int = 1) -> np.ndarray:
    return RNG.normal(size=(channels, *shape)).astype(np.float32)


def plain(network: SegmentationNetwork, image: np.ndarray) -> np.ndarray:
    """Softmax of the forward of a whole image."""
    network.eval()
    with torch.no_grad():
        images = torch.from_numpy(image)
        if network.dimensions == 2:
            return torch.softmax(network(images.transpose(0, 1)), dim=1).transpose(0, 1).numpy()
        return torch.softmax(network(images[None]), dim=1)[0].numpy()


@pytest.mark.parametrize("dimensions", [2, 3])
def test_one_window_that_covers_all_is_the_plain_network(dimensions: int) -> None:
    network, image = Toy(dimensions), an_image(8, 12, 16)
    found = predict_probabilities(network, image, patch=(8, 12, 16)[-dimensions:])
    np.testing.assert_allclose(found, plain(network, image), atol=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("shape", "patch"), [((5, 9, 30), (8, 8, 12)), ((21, 8, 11), (8, 8, 8)), ((3, 3, 3), (8, 8, 8))]
)
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.8])
def test_layers_of_windows_are_all_windows_at_once(shape: tuple, patch: tuple, overlap: float) -> None:
    network, image = Toy(), an_image(*shape)
    found = predict_probabilities(network, image, patch=patch, overlap=overlap)
    np.testing.assert_allclose(found, naive(network, image, patch, overlap), atol=1e-5)


def naive(network: SegmentationNetwork, image: np.ndarray, patch: Sequence[int], overlap: float) -> np.ndarray:
    """Every window added to the whole volume, with the weights of the docstring."""
    padding = [
        (max(p - s, 0) // 2, max(p - s, 0) - max(p - s, 0) // 2) for s, p in zip(image.shape[1:], patch, strict=True)
    ]
    padded = np.pad(image, [(0, 0), *padding], constant_values=image.min())
    weights = np.ones(patch)
    starts = []
    for axis, side in enumerate(patch):
        centre, size = (side - 1) / 2, padded.shape[axis + 1]
        line = np.maximum(np.exp(-0.5 * ((np.arange(side) - centre) / (side / 8)) ** 2), 1e-3)
        weights = weights * line.reshape([-1 if other == axis else 1 for other in range(3)])
        step = side if size == side else max(1, int(side * (1 - overlap)))
        starts.append(sorted({min(start, size - side) for start in range(0, size + step, step)}))
    total, norm = np.zeros((3, *padded.shape[1:])), np.zeros(padded.shape[1:])
    for corner in itertools.product(*starts):
        window = tuple(slice(start, start + side) for start, side in zip(corner, patch, strict=True))
        total[(slice(None), *window)] += weights * plain(network, padded[(slice(None), *window)])
        norm[window] += weights
    inside = tuple(slice(before, size - after) for (before, after), size in zip(padding, norm.shape, strict=True))
    return (total / norm)[(slice(None), *inside)]


@pytest.mark.parametrize("dimensions", [2, 3])
def test_mirroring_changes_nothing_where_the_network_is_symmetric(dimensions: int) -> None:
    image, patch = an_image(10, 13, 9), (8, 8, 8)[-dimensions:]
    symmetric, other = Toy(dimensions, symmetric=True), Toy(dimensions)
    np.testing.assert_allclose(
        predict_probabilities(symmetric, image, patch=patch, mirror=True),
        predict_probabilities(symmetric, image, patch=patch),
        atol=1e-5,
    )
    mirrored = predict_probabilities(other, image, patch=patch, mirror=True)
    assert np.abs(mirrored - predict_probabilities(other, image, patch=patch)).max() > 0.01


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("batch", [2, 5, 100])
def test_result_does_not_depend_on_the_number_of_windows_at_once(dimensions: int, batch: int) -> None:
    network, image, patch = Toy(dimensions), an_image(9, 20, 17), (8, 8, 8)[-dimensions:]
    alone = predict_probabilities(network, image, patch=patch, batch=1)
    np.testing.assert_allclose(predict_probabilities(network, image, patch=patch, batch=batch), alone, atol=1e-6)


def test_probabilities_sum_to_one_and_layers_are_in_order() -> None:
    image = an_image(23, 9, 12, channels=2)
    layers = list(predict_layers(Toy(channels=2), image, patch=(8, 8, 8)))
    ends = [layer.first + layer.probabilities.shape[1] for layer in layers]
    assert [layer.first for layer in layers] == [0, *ends[:-1]]
    assert ends[-1] == 23
    assert max(layer.probabilities.shape[1] for layer in layers) <= 8
    for layer in layers:
        np.testing.assert_allclose(layer.probabilities.sum(axis=0), 1.0, atol=1e-5)


def test_sides_that_the_network_cannot_have_are_enlarged() -> None:
    network, image = Toy(divisor=8), an_image(5, 6, 7)
    padded = np.pad(image, [(0, 0), (1, 2), (1, 1), (0, 1)], constant_values=image.min())
    expected = plain(network, padded)[:, 1:6, 1:7, :7]
    np.testing.assert_allclose(predict_probabilities(network, image, patch=(5, 6, 7)), expected, atol=1e-6)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_progress_rises_to_the_number_of_windows(dimensions: int) -> None:
    told: list[tuple[int, int]] = []
    network, image = Toy(dimensions), an_image(13, 20, 9)
    predict_probabilities(
        network, image, patch=(8, 8, 8)[-dimensions:], batch=3, progress=lambda *numbers: told.append(numbers)
    )
    done = [number for number, _ in told]
    assert done == sorted(set(done))
    assert len({total for _, total in told}) == 1
    assert told[-1][0] == told[-1][1]


@pytest.mark.parametrize("dimensions", [2, 3])
def test_cancel_is_heard_between_windows(dimensions: int) -> None:
    network, image = Toy(dimensions), an_image(8, 40, 40)
    with pytest.raises(Cancelled):
        predict_probabilities(
            network, image, patch=(8, 8, 8)[-dimensions:], batch=1, cancelled=lambda: network.calls >= 3
        )
    assert network.calls == 3


def test_every_part_returns_to_the_mode_it_was_in() -> None:
    network = Toy()
    network.train()
    network.layer.eval()
    first = predict_probabilities(network, an_image(8, 8, 8), patch=(8, 8, 8))
    assert (network.training, network.layer.training, network.dropout.training) == (True, False, True)
    assert first.flags.writeable
    with pytest.raises(Cancelled):
        predict_probabilities(network, an_image(8, 8, 8), patch=(8, 8, 8), cancelled=lambda: True)
    assert network.dropout.training


def test_no_gradient_and_no_inference_mode_is_left_behind() -> None:
    network = Toy()
    for _ in predict_layers(network, an_image(20, 8, 8), patch=(8, 8, 8)):
        assert not torch.is_inference_mode_enabled()
    loss = network(torch.zeros(1, 1, 8, 8, 8)).sum()
    loss.backward()
    assert network.layer.weight.grad is not None


@pytest.mark.parametrize(
    ("patch", "overlap", "words"),
    [((8, 8), 0.5, "3 dimensions"), ((8, 8, 0), 0.5, "1 voxel"), ((8, 8, 8), 1.0, "overlap of windows is 1.0")],
)
def test_what_cannot_be_used_is_said(patch: tuple, overlap: float, words: str) -> None:
    with pytest.raises(InputError, match=words):
        predict_probabilities(Toy(), an_image(8, 8, 8), patch=patch, overlap=overlap)


def test_other_channels_are_refused_in_words() -> None:
    with pytest.raises(InputError, match="2 channels"):
        predict_probabilities(Toy(), an_image(8, 8, 8, channels=2), patch=(8, 8, 8))
