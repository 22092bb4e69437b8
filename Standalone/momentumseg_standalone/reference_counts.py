"""A repair of PySide6 6.12 on Python 3.10 and 3.11.

There each call of Qt that returns None, True or False may give back a reference that it never took (measured: one a
call of QWidget.update). When the count of None reaches zero the interpreter aborts. Python 3.12 has no such count.
"""

from __future__ import annotations

import ctypes
import sys

_MANY = 1 << 40  # calls: more than a session can make


def keep_constants_alive() -> None:
    """Give None, True and False so many references that none of the lost ones is missed."""
    if sys.implementation.name != "cpython" or sys.version_info >= (3, 12):
        return
    for constant in (None, True, False):
        count = ctypes.c_ssize_t.from_address(id(constant))
        if count.value < _MANY:
            count.value += _MANY
