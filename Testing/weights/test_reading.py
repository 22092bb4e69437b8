from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from momentumseg.errors import WeightsError
from momentumseg.weights.reading import read_metadata, read_tensors

TENSORS = {"a.weight": torch.arange(4096.0).view(64, 64), "a.bias": torch.tensor([1.0, -2.0])}


class RunsCode:
    """Unpickling it without restriction would create a file: the sign that code ran."""

    def __init__(self, sign: Path) -> None:
        self.sign = sign

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.sign),)


@pytest.fixture
def sign(tmp_path: Path) -> Path:
    return tmp_path / "code-ran"


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("wrapper", [None, "model", "state_dict"])
def test_torch_files_give_their_tensors(tmp_path: Path, legacy: bool, wrapper: str | None) -> None:
    content = TENSORS if wrapper is None else {wrapper: TENSORS, "epoch": 3}
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
    assert_same(read_tensors(tmp_path / "w.pth"))


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"], ids=["named so", "misnamed"])
def test_safetensors_are_recognised_by_content(tmp_path: Path, name: str) -> None:
    save_file(TENSORS, tmp_path / name)
    assert_same(read_tensors(tmp_path / name))


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_pickle_that_would_run_code_is_refused_before_it_runs(tmp_path: Path, sign: Path, legacy: bool) -> None:
    path = tmp_path / "evil.pth"
    torch.save({"a": TENSORS["a.bias"], "b": RunsCode(sign)}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(WeightsError, match="could run code"):
        read_tensors(path)
    assert not sign.exists()
    torch.load(path, weights_only=False)
    assert sign.exists(), "the file of this test is harmless, so the test proves nothing"


def test_bare_pickle_that_would_run_code_is_refused_before_it_runs(tmp_path: Path, sign: Path) -> None:
    path = tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps(RunsCode(sign), protocol=2))
    with pytest.raises(WeightsError, match="could run code"):
        read_tensors(path)
    assert not sign.exists()


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.3, 0.97])
@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_truncated_files_are_refused_in_words(tmp_path: Path, name: str, kept: float) -> None:
    path = tmp_path / name
    save_file(TENSORS, path) if name.endswith("tensors") else torch.save(TENSORS, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(WeightsError, match=f"{name}.*(truncated|not a weights file)"):
        read_tensors(path)


@pytest.mark.parametrize(
    "content", [b"<html>Please log in</html>", b"version https://git-lfs.github.com/spec/v1\n", b"\x00" * 100, b"\x80"]
)
def test_files_of_another_kind_are_refused_in_words(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"w\.pth"):
        read_tensors(path)


def test_zip_archive_of_other_files_is_refused_in_words(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("readme.txt", "nothing here")
    with pytest.raises(WeightsError, match=r"w\.pth"):
        read_tensors(tmp_path / "w.pth")


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {}, TENSORS["a.bias"]])
def test_torch_files_without_named_tensors_are_refused_in_words(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="tensors"):
        read_tensors(tmp_path / "w.pth")


@pytest.mark.parametrize("read", [read_tensors, read_metadata])
def test_missing_file_and_folder_are_named(tmp_path: Path, read: object) -> None:
    for path in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(WeightsError, match=f"{path.name} does not exist"):
            read(path)


def test_metadata_is_read_without_tensors(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "w.safetensors", metadata={"key": "words"})
    assert read_metadata(tmp_path / "w.safetensors") == {"key": "words"}
    torch.save(TENSORS, tmp_path / "w.pth")
    assert read_metadata(tmp_path / "w.pth") == {}


def assert_same(found: dict[str, torch.Tensor]) -> None:
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], TENSORS[name]) for name in TENSORS)
