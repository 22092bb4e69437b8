"""What inference needs of the training data, through JSON and back."""

from __future__ import annotations

import json

import numpy as np
import pytest

from momentumseg.errors import InputError
from momentumseg.transforms.data_statistics import DataStatistics, LabelTable

A_TABLE = LabelTable((2, 7, 300), ("liver", "left kidney", "spleen"))


def some_statistics(**changed: object) -> DataStatistics:
    values = {
        "spacing": (None, 1.5, 1.5),
        "plane": "acquisition",
        "patch": (192, 160),
        "channels": ("T2",),
        "intensity": "zscore",
        "labels": A_TABLE,
        "cases": 12,
    }
    return DataStatistics(**(values | changed))  # type: ignore[arg-type]


@pytest.mark.parametrize("intensity", ["zscore", "percentile", [-100.0, 300.0]])
def test_statistics_survive_json(intensity: object) -> None:
    statistics = some_statistics(intensity=intensity)
    assert DataStatistics.from_mapping(json.loads(json.dumps(statistics.to_mapping()))) == statistics


def test_statistics_say_what_a_network_needs(a_geometry: np.ndarray) -> None:
    statistics = some_statistics()
    assert (statistics.classes, statistics.in_channels, statistics.dimensions) == (4, 1, 2)
    assert statistics.grid_of((10, 30, 40), a_geometry).shape == (10, 30, 40)


def test_labels_are_counted_for_the_network_and_come_back_as_in_the_files() -> None:
    labelmap = np.array([[0, 2, 7], [300, 2, 0]], dtype=np.uint16)
    indices = A_TABLE.to_indices(labelmap)
    assert indices.dtype == np.uint8
    assert indices.tolist() == [[0, 1, 2], [3, 1, 0]]
    np.testing.assert_array_equal(A_TABLE.to_values(indices), labelmap)
    assert A_TABLE.to_values(indices).dtype == np.uint16


def test_values_outside_the_table_are_background() -> None:
    assert A_TABLE.to_indices(np.array([1, 2, 301], dtype=np.uint16)).tolist() == [0, 1, 0]


@pytest.mark.parametrize("values", [(), (0, 1), (2, 1), (1, 1), tuple(range(1, 257))])
def test_tables_that_cannot_be_trained_are_refused(values: tuple[int, ...]) -> None:
    with pytest.raises(InputError):
        LabelTable(values, tuple(map(str, values)))


def test_a_damaged_description_is_refused() -> None:
    table = some_statistics().to_mapping()
    for broken in ({**table, "spacing": [1.0]}, {**table, "labels": [3]}, {}, {**table, "intensity": "sharp"}):
        with pytest.raises(InputError):
            DataStatistics.from_mapping(broken)
