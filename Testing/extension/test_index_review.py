"""The questions that the Extensions Index asks of an extension, automatically and in its review, as tests.

Which questions: the checks of the index's pull requests (metadata, project name, images, licence), the tiers of its
pull request template and the eleven questions of its code review.
"""

from __future__ import annotations

import ast
import json
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packing import ROOT, tracked_files

EXTENSION = "MomentumSeg"
REPOSITORY = f"https://github.com/MomentumSeg/Slicer{EXTENSION}"
CMAKE = (ROOT / "CMakeLists.txt").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
ENTRY = json.loads((ROOT / f"{EXTENSION}.json").read_text("utf-8"))
MODULE_FILES = sorted((ROOT / "SlicerMomentumSeg").rglob("*.py"))
ENGINE_FILES = sorted((ROOT / "Logic").rglob("*.py"))

SLICERS_OWN = {"slicer", "qt", "ctk", "vtk", "vtkmodules", "mrml", "SimpleITK", "sitkUtils", "numpy", "scipy"}
OURS = {"MomentumSegLib", "momentumseg"}
REPOSITORY_LIMIT = 100 * 2**20  # bytes, of the index's check

each_module_file = pytest.mark.parametrize("path", MODULE_FILES, ids=lambda path: path.name)


def _setting(name: str) -> str:
    """Value of a ``set(EXTENSION_... "...")`` line, read as the index reads it: as text, without running CMake."""
    match = re.search(rf'set\s*\(EXTENSION_{name}\s*"([^"]+)"[ ]*\)', CMAKE)
    assert match, f"EXTENSION_{name} must be one quoted text on one line of the root CMakeLists.txt"
    return match.group(1)


def _local_file(address: str) -> Path:
    """The file of this repository that an address on raw.githubusercontent.com will serve."""
    prefix = REPOSITORY.replace("github.com", "raw.githubusercontent.com") + f"/{ENTRY['scm_revision']}/"
    assert address.startswith(prefix), address
    return ROOT / address.removeprefix(prefix)


def _png_size(path: Path) -> tuple[int, int]:
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n", f"{path.name} is no PNG"
    return struct.unpack(">II", content[16:24])


# The entry and the CMake file.


def test_entry_follows_the_schema() -> None:
    assert set(ENTRY) == {
        *("$schema", "build_dependencies", "build_subdirectory", "category"),
        *("scm_revision", "scm_url", "tier"),
    }
    assert ENTRY["category"] == "Segmentation" and ENTRY["tier"] in (1, 3, 5)
    assert b"\r" not in (ROOT / f"{EXTENSION}.json").read_bytes()


def test_names_are_those_the_index_accepts() -> None:
    project = re.findall(r"project\s*\(\s*([^\s\)\n\r]+)", CMAKE, re.IGNORECASE)[0]
    assert project == EXTENSION and not EXTENSION.startswith("Slicer")
    assert ENTRY["scm_url"] == REPOSITORY and REPOSITORY.split("/")[-1].startswith("Slicer")


def test_entry_equals_the_cmake_file() -> None:
    assert ENTRY["build_dependencies"] == _setting("DEPENDS").split()
    assert ENTRY["category"] == _setting("CATEGORY")
    assert ENTRY["scm_url"] == _setting("HOMEPAGE")


def test_addresses_hold_no_variables_and_are_the_same_everywhere(an_application: object) -> None:
    from MomentumSegLib import about

    assert about.HOMEPAGE == REPOSITORY
    for name in ("HOMEPAGE", "ICONURL", "SCREENSHOTURLS", "DESCRIPTION"):
        assert "$" not in _setting(name)


def test_icon_is_a_png_of_128_pixels() -> None:
    assert _png_size(_local_file(_setting("ICONURL"))) == (128, 128)


def test_screenshots_are_images_of_the_repository() -> None:
    addresses = _setting("SCREENSHOTURLS").split()
    assert addresses
    for address in addresses:
        width, height = _png_size(_local_file(address))
        assert min(width, height) >= 300, "too small to show anything"


def test_images_are_tracked() -> None:
    tracked = set(tracked_files())
    for address in (_setting("ICONURL"), *_setting("SCREENSHOTURLS").split()):
        assert _local_file(address).relative_to(ROOT).as_posix() in tracked


def test_licence_is_in_the_root_and_on_the_homepage() -> None:
    assert "Apache License" in (ROOT / "LICENSE.txt").read_text("utf-8")
    assert "Apache License 2.0" in README and "(LICENSE.txt)" in README


def test_files_stay_below_the_size_that_the_index_clones() -> None:
    size = sum((ROOT / name).stat().st_size for name in tracked_files())
    assert size < REPOSITORY_LIMIT / 4, f"{size / 2**20:.0f} MB; the history counts too"


# What the review reads in the documentation.


def test_description_is_clear_and_mentions_patents() -> None:
    description = _setting("DESCRIPTION")
    sentences = [sentence for sentence in re.split(r"(?<=\.)\s+", description) if sentence]
    assert 2 <= len(sentences) <= 5
    assert "patent" in description and "not a medical device" in description


def test_readme_says_first_what_it_is_for_and_shows_it() -> None:
    beginning = README.split("\n## ")[0]
    assert "Draw an organ on one slice" in beginning
    images = re.findall(r"!\[([^\]]{10,})\]\(([^)]+)\)", beginning)
    assert images, "an image with a description, before the first section"


def test_readme_has_a_sentence_for_each_module() -> None:
    for path in (ROOT / "SlicerMomentumSeg").glob("*.py"):
        row = re.search(rf"^\| {path.stem} \| (.+) \|$", README, re.MULTILINE)
        assert row and row.group(1).endswith("."), f"one sentence about {path.stem} in the README's table of modules"


def test_readme_says_how_to_cite() -> None:
    section = _section("How to cite")
    assert "LMS-Net" in section and "https://doi.org/" in section


def test_readme_leads_step_by_step_with_sample_data() -> None:
    section = _section("In 3D Slicer")
    steps = re.findall(r"^\d\. ", section, re.MULTILINE)
    assert len(steps) >= 5
    assert "**Sample Data**" in section
    if (ROOT / "Docs" / "tutorial.md").exists():
        assert "(Docs/tutorial.md)" in section, "the README must lead to the tutorial"


def test_readme_says_what_is_sent_downloaded_stored_and_how_it_is_removed() -> None:
    section = _section("In 3D Slicer").split("### What is downloaded, stored and sent")[1]
    for word in ("**Sent:** nothing", "**Downloaded, on your click only:**", "**Stored:**", "**delete all models**"):
        assert word in section
    from MomentumSegLib.installation import slicer_requirements

    for requirement in slicer_requirements():
        assert requirement.name in section


def test_links_of_the_readme_exist() -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", README)
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def _section(title: str) -> str:
    assert f"\n## {title}\n" in README, f"the README lacks the section '{title}'"
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


# What the review reads in the code.


@each_module_file
def test_nothing_but_slicers_own_is_imported_at_file_scope(path: Path) -> None:
    imported = {name.partition(".")[0] for name in _imports_at_file_scope(path)}
    foreign = imported - SLICERS_OWN - OURS - set(sys.stdlib_module_names)
    assert not foreign, f"{path.name} imports {sorted(foreign)}"


@each_module_file
def test_of_the_engine_only_the_light_parts_are_imported(path: Path) -> None:
    """torch must never come into the process of the application."""
    engine = {name for name in _all_imports(path) if name.partition(".")[0] == "momentumseg"}
    light = {"momentumseg", "momentumseg.errors", "momentumseg.worker", "momentumseg.worker.protocol"}
    assert engine <= light, f"{path.name} imports {sorted(engine - light)}"


@each_module_file
def test_no_code_runs_when_a_module_is_imported(path: Path) -> None:
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, (ast.Try, ast.If)):
            continue  # how an optional import is written; what is inside is looked at below
        assert isinstance(node, _DECLARATIONS) or _is_docstring(node) or _is_search_path(node), (
            f"{path.name}:{node.lineno} runs code at import"
        )
    for node in _statements_at_file_scope(path):
        assert not (isinstance(node, (ast.For, ast.While, ast.With))), f"{path.name}:{node.lineno} runs code at import"


_DECLARATIONS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign, ast.Pass)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_search_path(node: ast.stmt) -> bool:
    """The one call that is allowed: it lets Python find the engine, whose place differs, before importing from it."""
    return isinstance(node, ast.Expr) and ast.unparse(node) == "add_engine_to_path()"


@pytest.mark.parametrize("path", [*MODULE_FILES, *ENGINE_FILES], ids=lambda path: path.name)
def test_torch_is_not_installed_with_pip_directly(path: Path) -> None:
    source = path.read_text("utf-8")
    assert not re.search(r"pip_install\([^)]*torch", source)
    if "pip_install" in source or "installTorch" in source:
        assert path.name in ("installation.py", "packaging.py"), f"{path.name}: installing belongs into installation.py"


@pytest.mark.parametrize("path", [*MODULE_FILES, *ENGINE_FILES], ids=lambda path: path.name)
def test_downloads_are_made_in_one_place_and_nothing_is_uploaded(path: Path) -> None:
    """Only ``weights/sources.py`` opens addresses; all others would have to be described in the README."""
    network = {"urllib.request", "http.client", "requests", "socket", "ftplib", "smtplib", "httpx", "aiohttp"}
    used = {name for name in _all_imports(path) if name in network or name.partition(".")[0] in network}
    assert not used or path.relative_to(ROOT).as_posix() == "Logic/momentumseg/weights/sources.py", sorted(used)


@each_module_file
def test_modules_use_no_style_sheets_and_no_raw_message_boxes(path: Path) -> None:
    """Slicer's palettes may be dark, and its own dialogs close by themselves while testing."""
    source = path.read_text("utf-8")
    assert "styleSheet" not in source and "setStyleSheet" not in source
    assert "QMessageBox" not in source


def _statements_at_file_scope(path: Path) -> Iterator[ast.stmt]:
    """Statements that run at import, also those inside ``try`` and ``if``; not those for type checking only."""
    pending: list[ast.stmt] = list(ast.parse(path.read_text("utf-8")).body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        if isinstance(node, (ast.Try, ast.If)):
            pending += [*node.body, *node.orelse, *getattr(node, "finalbody", [])]
            pending += [inner for handler in getattr(node, "handlers", []) for inner in handler.body]


def _imports_at_file_scope(path: Path) -> set[str]:
    return {name for node in _statements_at_file_scope(path) for name in _imported(node)}


def _all_imports(path: Path) -> set[str]:
    return {name for node in ast.walk(ast.parse(path.read_text("utf-8"))) for name in _imported(node)}


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        module = node.module or ""
        # ``from momentumseg.worker import protocol`` imports momentumseg.worker.protocol.
        if module in ("momentumseg", "momentumseg.worker"):
            return [module if alias.name.startswith("__") else f"{module}.{alias.name}" for alias in node.names]
        return [module]
    return []
