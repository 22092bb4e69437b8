"""Several labels in one voxel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from momentumseg.sessions.label_distribution import (
    label_probabilities,
    mean_uncertainty,
    most_probable,
    normalized_entropy,
    uncertain_pixels,
    upsample_logits,
)


@pytest.fixture
def some_logits() -> torch.Tensor:
    """(3 labels, 9 rows, 9 columns)."""
    return torch.randn((3, 9, 9), generator=torch.Generator().manual_seed(0)) * 4


def test_one_label_is_the_sigmoid(some_logits):
    assert torch.equal(label_probabilities(some_logits[:1]), torch.sigmoid(some_logits[:1]))
    labels = most_probable(label_probabilities(some_logits[:1]).numpy())
    assert np.array_equal(labels == 1, (some_logits[0] > 0).numpy())


def test_several_labels_are_the_softmax_with_a_background_of_zero(some_logits):
    expected = torch.exp(some_logits) / (1 + torch.exp(some_logits).sum(dim=0))
    assert torch.allclose(label_probabilities(some_logits), expected, atol=1e-6)


def test_the_largest_positive_logit_wins(some_logits):
    best, label = some_logits.max(dim=0)
    expected = torch.where(best > 0, label + 1, 0).numpy()
    assert np.array_equal(most_probable(label_probabilities(some_logits).numpy()), expected)


def test_a_label_without_evidence_changes_nothing(some_logits):
    hopeless = torch.cat([some_logits[:1], torch.full((1, 9, 9), -30.0)])
    difference = label_probabilities(hopeless)[0] - torch.sigmoid(some_logits[0])
    assert difference.abs().max() < 1e-6


def test_entropy_is_one_when_all_is_open_and_zero_when_certain():
    assert normalized_entropy(np.full((3, 2, 2), 0.25, np.float32)) == pytest.approx(np.ones((2, 2)))
    assert (normalized_entropy(np.zeros((3, 2, 2), np.float32)) == 0).all()
    assert (normalized_entropy(np.ones((1, 2, 2), np.float32)) == 0).all()


def test_uncertainty_counts_where_the_structure_may_be():
    organ, empty = np.zeros((2, 1, 50, 50), np.float32)
    organ[0, :20, :20] = 0.6
    empty[...] = 0.01
    assert mean_uncertainty(organ) > 0.9
    assert mean_uncertainty(organ * 0) == 0
    assert mean_uncertainty(empty) < mean_uncertainty(organ)


def test_uncertain_pixels_are_expected_and_undecided():
    open_label, certain, faint = np.zeros((3, 10, 10), np.float32)
    open_label[:2] = 0.5
    certain[5:] = 1.0
    faint[...] = 0.001
    assert uncertain_pixels(np.stack([open_label, certain, faint])) == pytest.approx([10, 0, 0.0], abs=0.02)


def test_up_sampling_keeps_the_corners(some_logits):
    up = upsample_logits(some_logits, 33)
    assert torch.allclose(up[:, ::4, ::4], some_logits, atol=1e-5)
    assert upsample_logits(up, 33) is up
