from __future__ import annotations

import pytest

from momentumseg.errors import WeightsError
from momentumseg.weights.cards import ModelCard, readable_size, render_markdown, render_text

CARD = ModelCard(
    name="one",
    description="Finds | bars.",
    licence="CC BY 4.0",
    training_data="phantoms",
    metrics={"Dice": 0.81239, "folds": "5"},
    extra={"seed": 3},
)


def test_card_survives_its_table() -> None:
    assert ModelCard.from_mapping(CARD.to_mapping()) == CARD


def test_facts_that_are_no_attribute_are_kept() -> None:
    card = ModelCard.from_mapping({"name": "one", "seed": 3, "extra": {"iterations": 5}})
    assert card.extra == {"seed": 3, "iterations": 5}


@pytest.mark.parametrize(
    ("facts", "words"), [({}, "no name"), ({"name": ""}, "no name"), ({"name": "a", "metrics": 3}, "metrics")]
)
def test_unusable_facts_are_refused_in_words(facts: dict[str, object], words: str) -> None:
    with pytest.raises(WeightsError, match=words):
        ModelCard.from_mapping(facts)


def test_text_says_licence_data_metrics_size_and_checksum() -> None:
    text = render_text(CARD, 18_826_032, "ab" * 32)
    for words in ("CC BY 4.0", "phantoms", "0.812", "18.8 MB (18,826,032 bytes)", "ab" * 32):
        assert words in text
    assert {line[15:].lstrip() == line[15:] for line in text.splitlines()} == {True}, "values are aligned"
    assert "seed" not in text


def test_missing_licence_is_said_and_not_left_out() -> None:
    assert "not stated: ask the author" in render_text(ModelCard(name="one"))


def test_markdown_is_a_table_whose_cells_hold() -> None:
    lines = render_markdown(CARD).splitlines()
    assert lines[0] == "### one"
    assert "| Description | Finds \\| bars. |" in lines
    assert all(line.count("|") - line.count("\\|") == 3 for line in lines[2:])


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 B"), (999, "999 B"), (18_826_032, "18.8 MB"), (2_564_550_879, "2.6 GB")]
)
def test_sizes_are_readable(size: int, words: str) -> None:
    assert readable_size(size) == words
