"""Weights come, are shown and go."""

from __future__ import annotations

from pathlib import Path


def test_list_names_the_catalogue(momentumseg) -> None:
    listed = momentumseg("models", "list", "--json").json
    assert listed["size_bytes"] == 0
    assert "efficientnet-lite0" in [model["name"] for model in listed["models"]]
    assert "efficientnet-lite0" in momentumseg("models", "list").stdout


def test_own_weights_are_imported_shown_and_deleted(momentumseg, a_model_file: Path) -> None:
    assert momentumseg("models", "import", "mine", a_model_file).exit_code == 0
    shown = momentumseg("models", "show", "mine", "--json").json
    assert (shown["kind"], shown["source"]) == ("few-shot", "own")
    assert Path(shown["path"]).read_bytes() == a_model_file.read_bytes()
    assert momentumseg("models", "delete", "mine", "--json").json["freed_bytes"] == a_model_file.stat().st_size
    assert momentumseg("models", "show", "mine").exit_code == 4


def test_card_and_source_of_weights_that_are_not_here(momentumseg) -> None:
    assert momentumseg("models", "card", "efficientnet-lite0").stdout.startswith("### efficientnet-lite0")
    shown = momentumseg("models", "show", "efficientnet-lite0").stdout
    assert "Apache-2.0" in shown
    assert "momentumseg models import efficientnet-lite0 FILE" in shown


def test_another_file_is_not_taken_for_weights_of_the_list(momentumseg, a_model_file: Path, tmp_path: Path) -> None:
    answer = momentumseg("models", "import", "efficientnet-lite0", a_model_file)
    assert answer.exit_code == 4
    assert momentumseg("models", "list", "--json").json["size_bytes"] == 0


def test_deleting_what_is_not_here_says_so(momentumseg) -> None:
    answer = momentumseg("models", "delete", "efficientnet-lite0")
    assert answer.exit_code == 0
    assert "was not on this computer" in answer.stdout
