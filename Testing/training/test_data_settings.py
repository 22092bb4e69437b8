"""The [data] table of a recipe: what is understood, and what is refused in words."""

from __future__ import annotations

from typing import Any

import pytest

from momentumseg.errors import InputError
from momentumseg.recipes.reading import read_recipe, recipe_names
from momentumseg.training.data_settings import DataSettings


def test_a_table_as_toml_gives_it() -> None:
    table = {"patch": [192, 160], "plane": "acquisition", "intensity": [-100, 300], "labels": {"1": "liver"}}
    settings = DataSettings.of({"data": {**table, "spacing": [1.5, 1.5], "validation": 0.2, "labelled": 3}})
    assert settings.patch == (192, 160) and settings.dimensions == 2
    assert settings.spacing == (1.5, 1.5)
    assert settings.labels == {1: "liver"}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({}, r"set data\.patch"),
        ({"patch": [32, 32, 0]}, r"data\.patch is \[32, 32, 0\]"),
        ({"patch": "large"}, r"data\.patch is 'large'"),
        ({"patch": [32, 32]}, r"data\.patch \[32, 32\] does not fit data\.plane = 'volume'"),
        ({"patch": [8, 8, 8], "plane": "axial"}, "which needs two sides"),
        ({"patch": [8, 8], "plane": "oblique"}, r"data\.plane is 'oblique'"),
        ({"patch": [8, 8, 8], "spacing": [1.0, -1.0, 1.0]}, r"data\.spacing is \[1\.0, -1\.0, 1\.0\]"),
        ({"patch": [8, 8, 8], "spacing": [1.0, 1.0]}, r"data\.spacing"),
        ({"patch": [8, 8, 8], "spacing": "mean"}, r"data\.spacing is 'mean'"),
        ({"patch": [8, 8, 8], "intensity": "sharp"}, "intensity rule 'sharp'"),
        ({"patch": [8, 8, 8], "foreground": 2}, r"data\.foreground is 2"),
        ({"patch": [8, 8, 8], "validation": -0.1}, r"data\.validation is -0\.1"),
        ({"patch": [8, 8, 8], "test": 1.5}, r"data\.test is 1\.5"),
        ({"patch": [8, 8, 8], "labelled": 0}, r"data\.labelled is 0"),
        ({"patch": [8, 8, 8], "fold": "first"}, r"data\.fold is 'first'"),
        ({"patch": [8, 8, 8], "patient": "("}, "no regular expression"),
        ({"patch": [8, 8, 8], "patient": 3}, "no regular expression"),
        ({"patch": [8, 8, 8], "labels": {"liver": 1}}, r"data\.labels is"),
        ({"patch": [8, 8, 8], "colour": 1}, "unknown option 'colour'"),
    ],
)
def test_what_cannot_be_used_is_refused(table: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        DataSettings.of({"data": table})


@pytest.mark.parametrize("name", [name for name in recipe_names() if "patch" in read_recipe(name).get("data", {})])
def test_the_recipes_of_the_package_have_tables_that_can_be_used(name: str) -> None:
    assert DataSettings.of(read_recipe(name)).dimensions in (2, 3)
