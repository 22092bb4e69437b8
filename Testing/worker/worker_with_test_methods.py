"""The real worker, with methods for tests beside its own."""

import os
import sys
import time

from momentumseg.worker.__main__ import main
from momentumseg.worker.registry import Interrupted, Reply, method


@method("test_print")
def print_to_standard_output(call):
    print("a library says something " * 1000)  # noqa: T201
    os.write(1, b"\x00MSEG and C code too\n" * 1000)
    return {"read": os.read(0, 10).decode()}


@method("test_echo")
def echo(call):
    return Reply(dict(call.parameters), call.arrays)


@method("test_fail")
def fail(call):
    raise ValueError("a secret of the inside")


@method("test_no_memory")
def no_memory(call):
    raise RuntimeError("CUDA error: out of memory. Tried to allocate 20.00 MiB")


@method("test_wait")
def wait_until_cancelled(call):
    call.progress(0.5, "waiting")
    while True:
        call.check()
        time.sleep(0.005)


@method("test_hang")
def hang(call):
    call.progress(0.5, "hanging")
    time.sleep(3600)


@method("test_background", background=True)
def background(call):
    call.progress(0.5, "in the background")
    while not call.is_interrupted():
        time.sleep(0.005)
    call.check()
    raise Interrupted({"interrupted": True})


class _Kept:
    closed = 0

    def close(self):
        _Kept.closed += 1


@method("test_keep")
def keep(call):
    call.state.keep("test", call.parameters["key"], _Kept)
    return {"closed": _Kept.closed}


@method("test_closed")
def closed(call):
    return {"closed": _Kept.closed}


if __name__ == "__main__":
    sys.exit(main())
