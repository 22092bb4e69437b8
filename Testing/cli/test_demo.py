from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from momentumseg.cli import demo_data
from momentumseg.cli.demo_data import DemoDescription, fetch_files, label_of_maps, load_demo_case, read_description
from momentumseg.errors import InputError
from momentumseg.io.read import read_labelmap, read_volume
from momentumseg.io.write import write_volume
from momentumseg.volumes.volume import Volume
from momentumseg.weights.sources import WheelUnavailable

_DRAWN = 6


def _facts(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    member = f"package/data/{path.name}"
    return {"member": member, "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


@pytest.fixture
def a_wheel(tmp_path: Path, a_phantom_volume: Volume, a_phantom_labelmap: Volume) -> Path:
    """A wheel with an image and two maps."""
    files = {"image": a_phantom_volume.array}
    files |= {f"map{label}": (200 * (a_phantom_labelmap.array == label)).astype(np.uint8) for label in (1, 2)}
    wheel = tmp_path / "heads-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, voxels in files.items():
            path = tmp_path / f"{name}.nii.gz"
            write_volume(a_phantom_volume.like(voxels), path)
            archive.write(path, f"package/data/{path.name}")
    return wheel


@pytest.fixture
def a_description(a_wheel: Path) -> DemoDescription:
    folder = a_wheel.parent
    return DemoDescription.from_mapping(
        {
            "title": "Phantom from one drawn slice",
            "credit": "made here",
            "licence": "none",
            "plane": "axial",
            "drawn_slices": [_DRAWN],
            "tolerance_mm": 2.0,
            "wheel": {"package": "heads", "version": "1.0", "size_bytes": a_wheel.stat().st_size},
            "image": {"name": "phantom", **_facts(folder / "image.nii.gz")},
            "labels": [
                {"label": 1, "name": "ball", **_facts(folder / "map1.nii.gz")},
                {"label": 2, "name": "box", **_facts(folder / "map2.nii.gz")},
            ],
        }
    )


@pytest.fixture
def a_registry(monkeypatch: pytest.MonkeyPatch, a_wheel: Path) -> list[str]:
    """A package index that has the wheel; the list tells what was asked of it."""
    asked: list[str] = []

    def download(package: str, version: str, folder: Path, report: Callable[..., None], **_: Any) -> Path:
        asked.append(f"{package}=={version}")
        report(1, 1)
        return a_wheel

    monkeypatch.setattr(demo_data, "download_wheel", download)
    return asked


def test_files_are_fetched_once_and_again_when_damaged(
    tmp_path: Path, a_description: DemoDescription, a_registry: list[str]
) -> None:
    folder = tmp_path / "kept"

    for _ in range(2):
        fetch_files(a_description, folder)
    assert a_registry == ["heads==1.0"]

    (folder / "map1.nii.gz").write_bytes(b"0" * a_description.maps[0].size_bytes)
    fetch_files(a_description, folder)
    assert a_registry == ["heads==1.0"] * 2
    assert sorted(path.name for path in folder.iterdir()) == ["image.nii.gz", "map1.nii.gz", "map2.nii.gz"]


def test_a_wheel_brought_by_hand_needs_no_network(
    tmp_path: Path, a_description: DemoDescription, a_wheel: Path, a_registry: list[str]
) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    (folder / a_wheel.name).write_bytes(a_wheel.read_bytes())

    fetch_files(a_description, folder)

    assert not a_registry
    assert (folder / "image.nii.gz").is_file()


def test_without_network_the_message_says_what_to_bring(
    tmp_path: Path, a_description: DemoDescription, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*arguments: Any, **options: Any) -> Path:
        raise WheelUnavailable("the index was not reached")

    monkeypatch.setattr(demo_data, "download_wheel", unreachable)

    with pytest.raises(InputError, match=r"not reached.*heads-1\.0.*kept"):
        fetch_files(a_description, tmp_path / "kept")


def test_a_wheel_with_other_files_is_refused_and_leaves_nothing(
    tmp_path: Path, a_description: DemoDescription, a_wheel: Path, a_registry: list[str]
) -> None:
    with zipfile.ZipFile(a_wheel, "w") as archive:
        archive.writestr("package/data/image.nii.gz", b"something else")

    with pytest.raises(InputError, match="not the expected one"):
        fetch_files(a_description, tmp_path / "kept")

    assert not list((tmp_path / "kept").iterdir())


def test_case_has_the_volume_and_its_labels(
    tmp_path: Path,
    a_description: DemoDescription,
    a_registry: list[str],
    a_phantom_labelmap: Volume,
    a_phantom_volume: Volume,
) -> None:
    case = load_demo_case(tmp_path / "kept", a_description)

    np.testing.assert_array_equal(case.reference.array, a_phantom_labelmap.array)
    np.testing.assert_array_equal(case.volume.array, a_phantom_volume.array)
    assert case.label_names == {1: "ball", 2: "box"}
    assert case.volume.name == "phantom"


def test_the_highest_map_wins_where_it_exceeds_half() -> None:
    first = np.array([[[255, 140, 120, 0]]], dtype=np.uint8)
    second = np.array([[[0, 100, 255, 127]]], dtype=np.uint8)

    assert label_of_maps([first, second], [3, 5]).tolist() == [[[3, 3, 5, 0]]]


def test_shipped_description_is_complete() -> None:
    description = read_description()

    assert description.plane in ("axial", "coronal", "sagittal")
    assert all(len(file.sha256) == 64 and file.size_bytes > 0 for file in description.files)
    assert description.drawn_slices


def test_damaged_description_is_said_in_words(tmp_path: Path) -> None:
    path = tmp_path / "demo.toml"
    for text in ("title = 1", "= broken"):
        path.write_text(text)
        with pytest.raises(InputError, match="install MomentumSeg again"):
            read_description(path)


def test_demo_writes_masks_picture_and_a_measured_report(
    tmp_path: Path,
    momentumseg: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    a_model_file: Path,
    a_description: DemoDescription,
    a_registry: list[str],
    a_phantom_labelmap: Volume,
) -> None:
    monkeypatch.setattr(demo_data, "read_description", lambda: a_description)
    monkeypatch.setattr("momentumseg.cli.figures._SURFACE_PIXELS", 96)
    folder = tmp_path / "new" / "demo"

    answer = momentumseg("demo", "--model", a_model_file, "--output", folder, "--json")

    assert answer.exit_code == 0, answer.stderr
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["segmentation.nii.gz", "uncertainty.nii.gz", "drawn.nii.gz", "picture.png", "report.json", "report.md"]
    )
    report = json.loads((folder / "report.json").read_text())
    assert [row["name"] for row in report["labels"]] == ["ball", "box"]
    assert {"slices encoded", "segmented", "picture drawn"} <= report["seconds"].keys()
    assert answer.json["labels"] == report["labels"]
    truth = a_phantom_labelmap.array
    found = read_labelmap(folder / "segmentation.nii.gz").array
    np.testing.assert_array_equal(found[_DRAWN], truth[_DRAWN])  # drawn slices stay as they were drawn
    drawn = read_labelmap(folder / "drawn.nii.gz").array
    assert np.flatnonzero(drawn.any(axis=(1, 2))).tolist() == [_DRAWN]
    uncertainty = read_volume(folder / "uncertainty.nii.gz").array
    assert 0 <= uncertainty.min() <= uncertainty.max() <= 1
    overlap = 2 * ((found == 1) & (truth == 1)).sum() / ((found == 1).sum() + (truth == 1).sum())
    assert report["labels"][0]["dice"] == pytest.approx(overlap, abs=1e-3)
    undrawn = [np.delete(array == 1, _DRAWN, axis=0) for array in (found, truth)]
    overlap = 2 * (undrawn[0] & undrawn[1]).sum() / (undrawn[0].sum() + undrawn[1].sum())
    assert report["labels"][0]["dice_undrawn_slices"] == pytest.approx(overlap, abs=1e-3)
    assert "ball" in (folder / "report.md").read_text()


def test_demo_that_cannot_write_says_so_first(
    tmp_path: Path, momentumseg: Callable[..., Any], a_registry: list[str]
) -> None:
    (tmp_path / "file").write_text("")

    answer = momentumseg("demo", "--output", tmp_path / "file" / "demo")

    assert answer.exit_code == 5
    assert "choose another" in answer.sentence
    assert not a_registry
