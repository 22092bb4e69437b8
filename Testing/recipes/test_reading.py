from __future__ import annotations

from pathlib import Path

import pytest

from momentumseg.errors import InputError
from momentumseg.recipes.reading import read_recipe, recipe_names


@pytest.fixture
def a_recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text('base = "lms-laptop"\n[training]\niterations = 10\n', encoding="utf-8")
    return path


def test_a_recipe_fills_in_what_it_leaves_out_from_its_base(a_recipe_file: Path) -> None:
    recipe, base = read_recipe(a_recipe_file), read_recipe("lms-laptop")
    assert recipe["training"] == {**base["training"], "iterations": 10}
    assert {**recipe, "training": 0} == {**base, "training": 0}


def test_a_table_with_another_name_replaces_the_table_of_the_base(a_recipe_file: Path) -> None:
    a_recipe_file.write_text('base = "lms-laptop"\n[network.backbone]\nname = "tiny"\n', encoding="utf-8")
    recipe = read_recipe(a_recipe_file)
    assert recipe["network"] == {"backbone": {"name": "tiny"}, "head": read_recipe("lms-laptop")["network"]["head"]}


def test_a_base_that_is_a_file_is_looked_for_beside_the_recipe(a_recipe_file: Path) -> None:
    child = a_recipe_file.with_name("child.toml")
    child.write_text('base = "mine.toml"\n[training]\nseed = 4\n', encoding="utf-8")
    assert read_recipe(child)["training"]["iterations"] == 10


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("training.iterations=7", 7),
        ("training.x=1e-3", 1e-3),
        ("training.x=true", True),
        ('training.x=["a", 2]', ["a", 2]),
        ("training.x=some words = here", "some words = here"),
        ("training.x=", ""),
    ],
)
def test_overrides_are_toml_values_or_words(override: str, value: object) -> None:
    name = override.partition("=")[0].split(".")[1]
    assert read_recipe("lms-laptop", [override])["training"][name] == value


def test_an_override_does_not_stay_for_the_next_reader() -> None:
    read_recipe("lms-laptop", ["network.head.stages=9"])
    assert read_recipe("lms-laptop")["network"]["head"]["stages"] == 2


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.iterations", "not of the form"),
        ("=3", "not of the form"),
        ("training.=3", "not of the form"),
        ("training.iterations.x=3", "'iterations', which is a value"),
        ("trianing.iterations=3", r"unknown table \[trianing\]"),
        ("training=3", r"write \[training\]"),
        ("card.date=2026-01-31", "put it in quotes"),
    ],
)
def test_malformed_overrides_are_refused(override: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_recipe("lms-laptop", [override])


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"iterations 3", "cannot be read"), (b"\xff\xfe", "cannot be read"), (b'base = "mine.toml"', "circle")],
)
def test_broken_files_are_refused(a_recipe_file: Path, content: bytes, words: str) -> None:
    a_recipe_file.write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_recipe(a_recipe_file)


def test_unknown_recipes_are_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="choose one of .*lms-laptop"):
        read_recipe("lms-desktop")
    with pytest.raises(InputError, match="cannot be read"):
        read_recipe(tmp_path)


def test_recipes_of_the_package_are_known() -> None:
    assert {"lms-laptop", "flms-laptop", "lms-paper", "prototype-laptop", "regional-laptop"} <= set(recipe_names())
