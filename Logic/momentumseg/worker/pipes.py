"""The worker's pipes, kept away from everything else in the process; standard library only."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from typing import Any, BinaryIO

from momentumseg.worker.protocol import write_frame

_PIPE_BYTES = 1 << 20


class Pipes:
    """The real standard input and output. What libraries print, or read, goes elsewhere from now on."""

    def __init__(self) -> None:
        self._source, self._sink = _taken_streams()
        self._lock = threading.Lock()
        self._broken = False

    def readinto(self, buffer: memoryview) -> int | None:
        """Read from the client; 0 when it is gone."""
        try:
            return self._source.readinto(buffer)  # type: ignore[attr-defined]  # an unbuffered file has it
        except OSError:
            return 0

    def send(self, header: Mapping[str, Any], arrays: Mapping[str, Any] | None = None) -> None:
        """Write one frame, from any thread; without effect when the client is gone, which the reader notices too.

        Raises:
            ProtocolError: a message that no frame can hold.
        """
        with self._lock:
            if self._broken:
                return
            try:
                write_frame(self._sink.write, header, arrays)
            except OSError:
                self._broken = True


def _taken_streams() -> tuple[BinaryIO, BinaryIO]:
    """(input, output) under new numbers; number 0 is empty and number 1 is the standard error afterwards."""
    if sys.stdout is not None:
        sys.stdout.flush()
    source, sink = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    if sys.stdout is not None:
        sys.stdout.reconfigure(line_buffering=True, errors="replace")  # type: ignore[union-attr]  # a text file has it
    _enlarge(source, sink)
    if sys.platform == "win32":
        import msvcrt

        for descriptor in (source, sink):
            msvcrt.setmode(descriptor, os.O_BINARY)
    return open(source, "rb", buffering=0), open(sink, "wb", buffering=0)


def _enlarge(*pipes: int) -> None:
    """Fewer and larger system calls for both ends, where the system has such a setting (Linux)."""
    try:
        import fcntl

        for pipe in pipes:
            fcntl.fcntl(pipe, getattr(fcntl, "F_SETPIPE_SZ"), _PIPE_BYTES)  # noqa: B009 (Linux only)
    except (ImportError, AttributeError, OSError):
        return  # another system, or no pipe
