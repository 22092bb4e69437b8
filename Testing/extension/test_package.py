"""The package that users install: complete, loadable by Slicer, and with no name that another extension could have."""

from __future__ import annotations

import ast
import hashlib
import json
import shutil
from pathlib import Path, PurePosixPath

import pytest
from packing import DESCRIPTION, MODULES, ROOT, Package, expected_files, pack, tracked_files

pytestmark = pytest.mark.slow

# Names that Slicer, its Python or other extensions use on the same search path.
TAKEN_NAMES = {
    "Logic",
    "Testing",
    "Resources",
    "Lib",
    "lib",
    "utils",
    "tests",
    "Standalone",
    "worker",
    "cli",
    "resources",
}


def test_package_holds_the_tracked_files_and_nothing_else(a_package: Package) -> None:
    expected = expected_files(tracked_files())
    forgotten = sorted(expected - a_package.files)
    extra = sorted(a_package.files - expected)
    assert not forgotten, "not packed; add the pattern to the CMakeLists.txt of their folder: " + ", ".join(forgotten)
    assert not extra, "packed although git does not track them: " + ", ".join(extra)


def test_packed_files_are_the_tracked_ones_byte_by_byte(a_package: Package) -> None:
    engine = ROOT / "Logic" / "momentumseg"
    for name in ("errors.py", "recipes/lms-laptop.toml"):
        assert _digest(a_package.modules / "momentumseg" / name) == _digest(engine / name)
    weights = PurePosixPath("Weights/lmsnet-general.safetensors")
    assert _digest(a_package.modules / "momentumseg" / "Resources" / weights) == _digest(ROOT / "Resources" / weights)


def test_folder_of_modules_holds_only_modules(a_package: Package) -> None:
    """Slicer takes every *.py there for a module, with a class of the file's name."""
    scripts = sorted(a_package.modules.glob("*.py"))
    assert [path.stem for path in scripts]
    for path in scripts:
        classes = {node.name for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.ClassDef)}
        wanted = {path.stem + suffix for suffix in ("", "Widget", "Logic", "Test")}
        assert wanted <= classes, f"{path.name} lacks the classes {sorted(wanted - classes)}"
        assert not path.stem.endswith(("Test", "Tests")), f"Slicer does not load {path.name}: its name ends with Test"


def test_module_files_of_the_source_are_all_built(a_package: Package) -> None:
    in_source = {path.name for path in (ROOT / "SlicerMomentumSeg").glob("*.py")} & {
        PurePosixPath(name).name for name in tracked_files()
    }
    assert in_source == {path.name for path in a_package.modules.glob("*.py")}


def test_no_file_starts_with_a_shebang(a_package: Package) -> None:
    """Slicer takes a script whose first two characters are ``#!`` for a command-line module and does not load it."""
    assert not [str(path) for path in a_package.modules.rglob("*.py") if path.read_bytes().startswith(b"#!")]


def test_package_names_are_ours_alone(a_package: Package) -> None:
    folders = {path.name for path in a_package.modules.iterdir() if path.is_dir()} - {"Resources", "__pycache__"}
    assert folders == {"MomentumSegLib", "momentumseg"}
    assert not folders & TAKEN_NAMES


def test_resources_are_named_after_us(a_package: Package) -> None:
    """All modules' Resources/ become one folder: a file called after no module could be somebody else's."""
    resources = a_package.modules / "Resources"
    for path in (path for path in resources.rglob("*") if path.is_file()):
        assert path.name.startswith(("MomentumSeg", "SegmentEditorMomentumSeg")), f"rename {path.name}"


def test_no_two_paths_differ_in_capitals_only(a_package: Package) -> None:
    """Windows and macOS would keep one of them; that holds for folders, too."""
    paths = {str(parent) for name in a_package.files for parent in (PurePosixPath(name), *PurePosixPath(name).parents)}
    assert len({path.lower() for path in paths}) == len(paths)


def test_paths_stay_short_enough_for_windows(a_package: Package) -> None:
    """260 characters in all; the folder of Slicer's extensions below a user's folder takes up to 120."""
    longest = max(a_package.files, key=len)
    assert len(longest) <= 120, longest


def test_description_equals_the_index_entry(a_package: Package) -> None:
    lines = (a_package.folder / DESCRIPTION).read_text("utf-8").splitlines()
    described = dict(line.split(" ", 1) for line in lines)
    entry = json.loads((ROOT / "MomentumSeg.json").read_text("utf-8"))
    assert described["DEPENDS"].split(";") == entry["build_dependencies"]
    assert described["CATEGORY"] == entry["category"]
    assert described["HOMEPAGE"] == entry["scm_url"]


def test_new_module_that_no_list_names_is_noticed(a_source_export: Path, tmp_path: Path) -> None:
    """The comparison can fail: a tracked module without its call in CMake is reported as forgotten."""
    source = _a_small_copy(a_source_export, tmp_path / "source")
    (source / "SlicerMomentumSeg" / "MomentumSegForgotten.py").write_text("class MomentumSegForgotten: pass\n")
    files = pack(source, tmp_path).files
    tracked = [path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()]
    assert expected_files(tracked) - files == {str(MODULES / "MomentumSegForgotten.py")}


def test_syntax_error_breaks_the_build(a_source_export: Path, tmp_path: Path) -> None:
    source = _a_small_copy(a_source_export, tmp_path / "source")
    (source / "Logic" / "momentumseg" / "broken.py").write_text("def f(:\n")
    with pytest.raises(RuntimeError, match="broken.py"):
        pack(source, tmp_path)


def test_file_that_is_listed_but_missing_breaks_the_configuration(a_source_export: Path, tmp_path: Path) -> None:
    source = _a_small_copy(a_source_export, tmp_path / "source")
    (source / "SlicerMomentumSeg" / "MomentumSeg.py").unlink()
    with pytest.raises(RuntimeError, match="the listed file MomentumSeg.py does not exist"):
        pack(source, tmp_path)


def _a_small_copy(source: Path, destination: Path) -> Path:
    """A copy with the CMake files and only a few of the others, which builds in no time."""
    for pattern in ("CMakeLists.txt", "*/CMakeLists.txt", "LICENSE.txt", "README.md", "SlicerMomentumSeg/*.py"):
        for path in source.glob(pattern):
            target = destination / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
    for name in ("momentumseg/__init__.py", "momentumseg/errors.py"):
        (destination / "Logic" / name).parent.mkdir(exist_ok=True)
        shutil.copy2(source / "Logic" / name, destination / "Logic" / name)
    return destination


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
