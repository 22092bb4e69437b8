from __future__ import annotations

import sys

import pytest

from momentumseg.allocation import keep_large_blocks, release_kept_blocks


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
def test_freed_blocks_stay_until_they_are_released() -> None:
    import subprocess

    program = """
import ctypes, resource
from momentumseg.allocation import keep_large_blocks, release_kept_blocks

def faults_of_reuse():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        bytearray(32 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

plain = faults_of_reuse()
if not keep_large_blocks():
    print("no glibc")
else:
    bytearray(32 << 20)
    kept = faults_of_reuse()
    release_kept_blocks()
    print(plain, kept)
"""
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    if printed == ["no", "glibc"]:
        pytest.skip("the C library is not glibc")
    plain, kept = map(int, printed)
    assert kept < plain / 2


def test_both_are_safe_to_call_anywhere() -> None:
    assert keep_large_blocks() in (True, False)
    assert release_kept_blocks() in (True, False)
