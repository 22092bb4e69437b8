"""Build the extension's package from the files that git tracks, as the Extensions Index would, and unpack it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]
STUB = Path(__file__).resolve().parent / "slicer_stub"
MODULES = PurePosixPath("lib/Slicer-5.13/qt-scripted-modules")
DESCRIPTION = PurePosixPath("share/Slicer-5.13/MomentumSeg.s4ext")

# Where a tracked file of the repository belongs in the package; the first that fits counts. Everything else stays out.
_DESTINATIONS = {
    "SlicerMomentumSeg": PurePosixPath(),
    "Logic/momentumseg": PurePosixPath("momentumseg"),
    "Resources": PurePosixPath("momentumseg/Resources"),
}
_NOT_PACKED = {"CMakeLists.txt", ".gitkeep"}


@dataclass(frozen=True)
class Package:
    """An unpacked package: its ``folder``, and the paths of its ``files`` below it."""

    folder: Path
    files: frozenset[str]

    @property
    def modules(self) -> Path:
        """The flat folder that Slicer puts on Python's search path."""
        return self.folder / MODULES


def tracked_files(root: Path = ROOT) -> list[str]:
    """Return the paths of the files under version control, as ``git ls-files`` names them, that still exist."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True).stdout
    return sorted(name for name in listing.decode().split("\0") if name and (root / name).is_file())


def expected_files(tracked: list[str]) -> set[str]:
    """Return the paths inside the package that the tracked files should give."""
    expected = {str(DESCRIPTION)}
    for name in tracked:
        path = PurePosixPath(name)
        if path.name in _NOT_PACKED:
            continue
        for source, destination in _DESTINATIONS.items():
            if path.is_relative_to(source):
                expected.add(str(MODULES / destination / path.relative_to(source)))
    return expected


def export_tracked(destination: Path) -> list[str]:
    """Copy the tracked files, as they are in the working tree, and return their paths."""
    tracked = tracked_files()
    for name in tracked:
        (destination / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, destination / name)
    return tracked


def pack(source: Path, work: Path) -> Package:
    """Configure, build and pack ``source`` against the stub of Slicer; the archive is unpacked below ``work``."""
    build = work / "build"
    settings = {"CMAKE_TOOLCHAIN_FILE": STUB / "toolchain.cmake", "Slicer_DIR": STUB, "STUB_PYTHON": sys.executable}
    options = [f"-D{name}={value}" for name, value in settings.items()]
    _cmake_tool("cmake", "-S", source, "-B", build, *_generator(), *options)
    _cmake_tool("cmake", "--build", build)
    _cmake_tool("cpack", "--config", build / "CPackConfig.cmake", "-B", work)
    archives = list(work.glob("*.tar.gz"))
    if len(archives) != 1:
        raise RuntimeError(f"one archive was expected, cpack made {archives}")
    return _unpack(archives[0], work / "installed")


def _generator() -> list[str]:
    """Ninja or make, whichever is here; else the ninja of pip's package of that name."""
    if ninja := shutil.which("ninja"):
        return ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"]
    if shutil.which("make"):
        return ["-G", "Unix Makefiles"]
    from ninja import BIN_DIR

    return ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={Path(BIN_DIR) / 'ninja'}"]


def _unpack(archive: Path, folder: Path) -> Package:
    with tarfile.open(archive) as file:
        members = [member for member in file.getmembers() if not member.isdir()]
        file.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    top = folder / PurePosixPath(members[0].name).parts[0]
    files = {str(PurePosixPath(member.name).relative_to(top.name)) for member in members}
    return Package(top, frozenset(files))


def _cmake_tool(name: str, *arguments: str | Path) -> None:
    """Run cmake or cpack of pip's package cmake (the system's own may be too old); raise with what it said."""
    from cmake import CMAKE_BIN_DIR

    command = [str(Path(CMAKE_BIN_DIR) / name), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=240)
    if result.returncode:
        raise RuntimeError(f"{name} failed:\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}")
