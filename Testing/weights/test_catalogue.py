from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from momentumseg.errors import WeightsError
from momentumseg.resources import resource_path
from momentumseg.weights.catalogue import CatalogueEntry, entry_of, file_facts, load_catalogue, verify_shipped

ReadCatalogue = Callable[[str], Mapping[str, CatalogueEntry]]

ENTRY = """
[models.one]
kind = "backbone"
file = "one.pth"
size_bytes = 3
sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
source = { kind = "shipped" }
[models.one.card]
licence = "MIT"
"""


@pytest.fixture
def a_catalogue_of(tmp_path: Path) -> ReadCatalogue:
    def load(text: str) -> Mapping[str, CatalogueEntry]:
        path = tmp_path / "catalogue.toml"
        path.write_text(text, encoding="utf-8")
        return load_catalogue(path)

    return load


@pytest.fixture
def resources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A resources folder with an empty catalogue and one shipped file of the bytes 'abc'."""
    folder = tmp_path / "resources"
    (folder / "Weights").mkdir(parents=True)
    (folder / "catalogue.toml").touch()
    (folder / "Weights" / "one.pth").write_bytes(b"abc")
    monkeypatch.setenv("MOMENTUMSEG_RESOURCES", str(folder))
    return folder


def test_every_entry_of_the_real_catalogue_says_what_a_user_must_know() -> None:
    catalogue = load_catalogue()
    assert {"lmsnet-general", "lmsnet-abdomen", "efficientnet-lite0", "lite-medsam", "resnet101-coco"} <= set(catalogue)
    for entry in catalogue.values():
        assert entry.licence and entry.training_data and entry.card.description, entry.name
        if entry.source.kind == "registry":
            assert len(entry.sha256) == 64 and entry.size_bytes and entry.size_exact, entry.name
        if entry.source.kind == "url":
            assert entry.source.url.startswith("https://") and len(entry.sha256) >= 8, entry.name
            assert entry.source.on_request_only, f"{entry.name}: large files come only when asked for"


def test_every_file_shipped_is_in_the_catalogue_with_its_checksum() -> None:
    shipped = sorted(resource_path("Weights").glob("*.safetensors"))
    if not shipped:
        pytest.skip("no weights are shipped yet")
    known = {entry.file for entry in load_catalogue().values() if entry.source.kind == "shipped"}
    assert {path.name for path in shipped} == known
    assert verify_shipped() == []
    assert all(path.stat().st_size <= 12_000_000 for path in shipped)


def test_entry_is_read_with_its_card_and_source(a_catalogue_of: ReadCatalogue) -> None:
    entry = a_catalogue_of(ENTRY)["one"]
    assert (entry.kind, entry.file, entry.source.kind, entry.licence) == ("backbone", "one.pth", "shipped", "MIT")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('kind = "backbone"', 'kind = "spell"', "kind 'spell'"),
        ('file = "one.pth"', "", "no 'file'"),
        ('{ kind = "shipped" }', '{ kind = "cloud" }', "source 'cloud'"),
        ('{ kind = "shipped" }', '{ kind = "registry", package = "p" }', "no 'version'"),
        ('sha256 = "ba78', 'sha256 = "XY', "the checksum"),
        ("size_bytes = 3", "size_bytes =", "cannot be read"),
    ],
)
def test_incomplete_entry_is_refused_in_words(a_catalogue_of: ReadCatalogue, old: str, new: str, words: str) -> None:
    with pytest.raises(WeightsError, match=words):
        a_catalogue_of(ENTRY.replace(old, new))


def test_unknown_name_lists_the_known_ones(a_catalogue_of: ReadCatalogue) -> None:
    with pytest.raises(WeightsError, match="no model named 'two'; choose one of one or give a file"):
        entry_of("two", a_catalogue_of(ENTRY))


def test_shipped_file_that_is_the_recorded_one_has_no_problem(a_catalogue_of: ReadCatalogue, resources: Path) -> None:
    assert verify_shipped(a_catalogue_of(ENTRY)) == []


@pytest.mark.parametrize(
    ("content", "words"), [(b"abd", "sha256"), (b"ab", "2 bytes instead of 3"), (None, "is missing")]
)
def test_other_shipped_file_is_reported(
    a_catalogue_of: ReadCatalogue, resources: Path, content: bytes | None, words: str
) -> None:
    path = resources / "Weights" / "one.pth"
    path.unlink() if content is None else path.write_bytes(content)
    (problem,) = verify_shipped(a_catalogue_of(ENTRY))
    assert words in problem


def test_shipped_file_without_checksum_gives_the_lines_to_add(a_catalogue_of: ReadCatalogue, resources: Path) -> None:
    without = "\n".join(line for line in ENTRY.splitlines() if not line.startswith(("sha256", "size")))
    (problem,) = verify_shipped(a_catalogue_of(without))
    assert file_facts(resources / "Weights" / "one.pth") in problem
    assert 'sha256 = "ba7816bf' in problem


def test_known_beginning_of_a_checksum_is_compared(a_catalogue_of: ReadCatalogue, tmp_path: Path) -> None:
    known = ENTRY.replace("8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "")
    entry = a_catalogue_of(known.replace("size_bytes = 3", "size_bytes = 4\nsize_exact = false"))["one"]
    (tmp_path / "f").write_bytes(b"abc")
    entry.check_file(tmp_path / "f")
    (tmp_path / "f").write_bytes(b"abd")
    with pytest.raises(WeightsError, match="sha256"):
        entry.check_file(tmp_path / "f")
