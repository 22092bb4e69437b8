from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from momentumseg.errors import OutputError, WeightsError
from momentumseg.weights.catalogue import CatalogueEntry
from momentumseg.weights.store import WeightsStore, user_folder


def test_empty_store_lists_the_catalogue_and_makes_no_folder(a_store: WeightsStore) -> None:
    (model,) = a_store.list()
    assert (model.name, model.path, model.size_bytes) == ("known", None, 0)
    assert a_store.size_bytes() == 0
    assert not a_store.folder.exists()


def test_imported_file_is_found_listed_and_deleted(a_store: WeightsStore, a_weights_file: Path) -> None:
    size = a_weights_file.stat().st_size
    path = a_store.import_file("known", a_weights_file)
    assert path.read_bytes() == a_weights_file.read_bytes()
    assert a_store.path_of("known", download=False) == path
    assert [(model.name, model.size_bytes) for model in a_store.list()] == [("known", size)]
    assert a_store.size_bytes() == size
    assert a_store.delete("known") == size
    assert a_store.delete("known") == 0
    assert list(a_store.folder.iterdir()) == []


def test_wheel_is_imported_in_place_of_its_file(a_store: WeightsStore, a_wheel: Path, a_weights_file: Path) -> None:
    assert a_store.import_file("known", a_wheel).read_bytes() == a_weights_file.read_bytes()


def test_own_model_is_stored_under_its_name_and_replaced(a_store: WeightsStore, a_weights_file: Path) -> None:
    first = a_store.import_file("liver.v2", a_weights_file)
    assert first.name == "liver.v2.pth"
    renamed = a_weights_file.rename(a_weights_file.with_suffix(".pt"))
    second = a_store.import_file("liver.v2", renamed)
    assert not first.exists()
    assert a_store.path_of("liver.v2") == second
    assert [model.name for model in a_store.list()] == ["known", "liver.v2"]
    assert a_store.delete("liver.v2") > 0


@pytest.mark.parametrize("change", [b"", b"x"], ids=["truncated", "changed"])
def test_other_file_is_refused_and_the_store_stays_as_it_was(
    a_store: WeightsStore, a_weights_file: Path, change: bytes
) -> None:
    good = a_store.import_file("known", a_weights_file).read_bytes()
    a_weights_file.write_bytes(good[:-1] + change)
    with pytest.raises(WeightsError, match="sha256|truncated"):
        a_store.import_file("known", a_weights_file)
    assert [path.read_bytes() for path in a_store.folder.iterdir()] == [good]


def test_file_that_shrank_in_the_store_is_refused(a_store: WeightsStore, a_weights_file: Path) -> None:
    path = a_store.import_file("known", a_weights_file)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(WeightsError, match="100 bytes instead of"):
        a_store.path_of("known")


@pytest.mark.parametrize("name", ["../evil", "a/b", "", ".hidden", "a b"])
def test_names_that_leave_the_folder_are_refused(a_store: WeightsStore, a_weights_file: Path, name: str) -> None:
    with pytest.raises(WeightsError, match="cannot be used"):
        a_store.import_file(name, a_weights_file)


def test_own_file_cannot_take_the_place_of_a_catalogue_file(a_store: WeightsStore, a_weights_file: Path) -> None:
    with pytest.raises(WeightsError, match="taken"):
        a_store.import_file("known-weights", a_weights_file)


def test_files_that_are_no_weights_are_not_imported(a_store: WeightsStore, tmp_path: Path) -> None:
    for name, content in (("notes.txt", b"text"), ("page.pth", b"<html>")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match="weights file"):
            a_store.import_file("mine", tmp_path / name)
    with pytest.raises(WeightsError, match="does not exist"):
        a_store.import_file("mine", tmp_path / "none.pth")


def test_missing_weights_without_download_say_what_to_bring(a_store: WeightsStore) -> None:
    with pytest.raises(WeightsError) as caught:
        a_store.path_of("known", download=False)
    for words in ("momentumseg models download known", "known-weights.pth", "a-package==1.0", "models import known"):
        assert words in str(caught.value)


def test_models_on_request_are_never_fetched_as_a_side_effect(
    tmp_path: Path, an_entry: Callable[..., CatalogueEntry]
) -> None:
    entry = an_entry(kind="url", url="https://example.invalid/w.pth", on_request_only=True)
    with pytest.raises(WeightsError, match="momentumseg models download known"):
        WeightsStore(tmp_path / "store", {"known": entry}).path_of("known", download=True)


def test_shipped_models_lie_in_the_resources_and_stay(
    tmp_path: Path, an_entry: Callable[..., CatalogueEntry], a_weights_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "r" / "Weights").mkdir(parents=True)
    (tmp_path / "r" / "catalogue.toml").touch()
    monkeypatch.setenv("MOMENTUMSEG_RESOURCES", str(tmp_path / "r"))
    store = WeightsStore(tmp_path / "store", {"known": an_entry(kind="shipped")})
    with pytest.raises(WeightsError, match="is missing; install MomentumSeg again"):
        store.path_of("known")
    shipped = a_weights_file.rename(tmp_path / "r" / "Weights" / "known-weights.pth")
    assert store.path_of("known") == shipped
    assert (store.list()[0].path, store.size_bytes()) == (shipped, 0)
    for action in (lambda: store.delete("known"), lambda: store.import_file("known", shipped)):
        with pytest.raises(WeightsError, match="part of MomentumSeg"):
            action()
    assert shipped.exists()


def test_folder_that_cannot_be_made_is_refused_in_words(
    tmp_path: Path, an_entry: Callable[..., CatalogueEntry], a_weights_file: Path
) -> None:
    (tmp_path / "file").touch()
    store = WeightsStore(tmp_path / "file" / "weights", {"known": an_entry()})
    with pytest.raises(OutputError, match="MOMENTUMSEG_HOME"):
        store.import_file("known", a_weights_file)


def test_full_disk_leaves_nothing_behind(
    a_store: WeightsStore, a_weights_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(_: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("momentumseg.weights.store.shutil.copyfile", full_disk)
    with pytest.raises(OutputError, match="disk is full"):
        a_store.import_file("known", a_weights_file)
    assert list(a_store.folder.iterdir()) == []


def test_user_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MOMENTUMSEG_HOME", str(tmp_path / "Grüße"))
    assert user_folder() == tmp_path / "Grüße"
    assert WeightsStore().folder == tmp_path / "Grüße" / "weights"


@pytest.mark.parametrize(
    ("platform", "words"), [("linux", "momentumseg"), ("darwin", "MomentumSeg"), ("win32", "MomentumSeg")]
)
def test_user_folder_is_the_platforms_own(monkeypatch: pytest.MonkeyPatch, platform: str, words: str) -> None:
    monkeypatch.delenv("MOMENTUMSEG_HOME", raising=False)
    monkeypatch.setattr("momentumseg.weights.store.sys.platform", platform)
    assert user_folder().name == words


def test_listing_models_imports_no_torch() -> None:
    code = (
        "import sys; from momentumseg.weights.store import WeightsStore; WeightsStore().list(); "
        "sys.exit('torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


def test_stored_tensors_can_be_read(a_store: WeightsStore, a_weights_file: Path) -> None:
    tensors = torch.load(a_store.import_file("known", a_weights_file), weights_only=True)
    assert tensors["layer.bias"].tolist() == [1, 1]
