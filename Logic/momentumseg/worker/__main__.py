"""``python -m momentumseg.worker``: started by a host program, which holds its standard input and output."""

from __future__ import annotations

import argparse
import faulthandler
import importlib.util
import logging
import os
import signal
import sys

from momentumseg import __version__
from momentumseg.worker import protocol
from momentumseg.worker.log import open_log
from momentumseg.worker.pipes import Pipes

_NEEDED = ("torch", "numpy", "scipy", "SimpleITK", "safetensors")
_IDLE_SECONDS = 600.0


def main() -> int:
    """Say hello, load what is heavy, and answer requests until the standard input is closed."""
    options = _options()
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the host program; it closes the pipe
    pipes = Pipes()
    hello = {"protocol": protocol.VERSION, "version": __version__, "pid": os.getpid(), "python": sys.version.split()[0]}
    pipes.send({"kind": "hello", **hello})
    log = open_log()
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        return _failed(pipes, log, "missing packages", f"{_listed(missing)} not installed in {sys.executable}")
    try:
        return _serve(pipes, log, options)
    except (ImportError, OSError) as error:
        logging.getLogger(__name__).error("a package cannot be loaded", exc_info=error)
        return _failed(pipes, log, "broken packages", f"a package cannot be loaded in {sys.executable} ({error})")


def _serve(pipes: Pipes, log: str, options: argparse.Namespace) -> int:
    from momentumseg.worker.server import Server

    server = Server(pipes, log, idle_seconds=options.idle_seconds, cache_bytes=options.cache_bytes)
    server.start_reading()
    # Heavy: torch. A volume may come in meanwhile.
    from momentumseg.worker import methods  # noqa: F401  (registers them)
    from momentumseg.worker.devices import devices
    from momentumseg.worker.registry import METHODS

    pipes.send({"kind": "ready", "devices": devices(), "capabilities": sorted(METHODS)})
    server.work()
    logging.shutdown()
    os._exit(0)  # taking torch apart would need seconds, for nothing


def _failed(pipes: Pipes, log: str, reason: str, words: str) -> int:
    sentence = f"The worker cannot start: {words}; install the packages of MomentumSeg or choose another Python."
    pipes.send({"kind": "failed", "reason": reason, "sentence": sentence, "log": log})
    return 3


def _listed(names: list[str]) -> str:
    if len(names) == 1:
        return f"the package {names[0]} is"
    return f"the packages {', '.join(names[:-1])} and {names[-1]} are"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="momentumseg.worker", description=__doc__)
    parser.add_argument(
        "--idle-seconds",
        type=float,
        default=_IDLE_SECONDS,
        help="without a request, after which models and features are given back; 0 for never",
    )
    parser.add_argument(
        "--cache-bytes",
        type=int,
        default=None,
        help="memory for features of slices; more goes to disk (default: a quarter of the free memory, at most 1 GiB)",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
