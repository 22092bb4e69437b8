from __future__ import annotations

from typing import Any

import pytest

from momentumseg.errors import InputError
from momentumseg.networks.registry import backbone_names, build_backbone, build_few_shot_network, head_names

TINY = {"name": "tiny"}


def test_backbones_and_heads_of_the_project_are_known() -> None:
    lite = {f"efficientnet_lite{size}" for size in range(3)}
    assert lite | {"resnet101_d4", "tiny", "tiny_vit_litemedsam"} <= set(backbone_names())
    assert set(head_names()) == {"flms", "lms", "prototype", "regional"}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, r"no \[backbone\] table"),
        ({"backbone": TINY}, r"no \[head\] table"),
        ({"backbone": "tiny", "head": {"name": "lms"}}, r"no \[backbone\] table"),
        ({"backbone": {"name": "huge"}, "head": {"name": "lms"}}, "no backbone named 'huge'; choose one of"),
        ({"backbone": TINY, "head": {"name": "unet"}}, "no head named 'unet'; choose one of"),
        ({"backbone": TINY, "head": {}}, "no head named None"),
        ({"backbone": TINY, "head": {"name": "lms", "stagse": 2}}, "'lms' does not accept these options"),
        ({"backbone": TINY, "head": {"name": "lms", "channels": 2}}, "'lms' does not accept these options"),
        ({"backbone": {"name": "tiny", "width": -1}, "head": {"name": "lms"}}, "'tiny' does not accept these options"),
    ],
)
def test_tables_that_describe_no_network_are_refused_in_words(config: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        build_few_shot_network(config)


def test_options_reach_the_backbone() -> None:
    assert build_backbone({"name": "tiny", "channels": 5}).out_channels == 5
