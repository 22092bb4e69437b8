"""The texts of options are read exactly, and refused in words."""

from __future__ import annotations

import pytest

from momentumseg.cli.options import checked_device, parse_box, parse_numbers, parse_range
from momentumseg.errors import InputError


def test_numbers() -> None:
    assert parse_numbers("1, 2,15", "--labels") == [1, 2, 15]
    assert parse_numbers(None, "--labels") is None


@pytest.mark.parametrize("text", ["", "1;2", "-1", "a", "1,,2", "1.5"])
def test_numbers_refused(text: str) -> None:
    with pytest.raises(InputError, match="--labels"):
        parse_numbers(text, "--labels")


def test_range_includes_both_ends() -> None:
    assert list(parse_range("3:5", "--slices") or ()) == [3, 4, 5]
    assert list(parse_range("7:7", "--slices") or ()) == [7]
    assert parse_range(None, "--slices") is None


@pytest.mark.parametrize("text", ["", "5", "5:3", "-1:3", "1:2:3", "a:b", ":"])
def test_range_refused(text: str) -> None:
    with pytest.raises(InputError, match="--slices"):
        parse_range(text, "--slices")


def test_box() -> None:
    assert parse_box("1:2,3:4,5:5", "--box") == ((1, 3), (3, 5), (5, 6))


@pytest.mark.parametrize("text", ["1:2,3:4", "1:2,3:4,5:6,7:8", "1,2,3", ""])
def test_box_refused(text: str) -> None:
    with pytest.raises(InputError, match="--box"):
        parse_box(text, "--box")


def test_device() -> None:
    assert checked_device("cpu") == "cpu"


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "", "meta:x"])
def test_device_refused(name: str) -> None:
    with pytest.raises(InputError, match="--device cpu"):
        checked_device(name)
