"""Ctrl-C for work that must stop at a safe point: the first asks, the second insists."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def asked_to_stop(notice: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Give a function that says whether Ctrl-C was pressed; ``notice`` tells the user that it was heard.

    A signal that the program was started to ignore (``nohup``, a shell's background job) stays ignored.
    """
    asked = False

    def remember(number: int, frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        notice()

    heeded = [name for name in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(name) is not signal.SIG_IGN]
    previous = {name: signal.signal(name, remember) for name in heeded}
    try:
        yield lambda: asked
    finally:
        for name, handler in previous.items():
            signal.signal(name, handler)
