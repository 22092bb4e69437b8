"""From an error to what a user reads."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass

from momentumseg.errors import MomentumSegError

_log = logging.getLogger(__name__)
# How torch and its libraries say that memory is used up, as they do so by plain RuntimeErrors.
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "cudnn_status_alloc_failed")


@dataclass(frozen=True)
class Failure:
    """What is told of an error.

    Attributes:
        name: class of the error.
        sentence: for the user.
        frees_memory: whether caches should be given back now.
    """

    name: str
    sentence: str
    frees_memory: bool = False


def described(error: Exception) -> Failure:
    """The user's words for an error. An unexpected one is logged with its traceback under a reference."""
    name = type(error).__name__
    if isinstance(error, MomentumSegError):
        return Failure(name, str(error) or name)
    if _is_out_of_memory(error):
        _log.error("out of memory", exc_info=error)
        where = "graphics card" if "cuda" in str(error).lower() or "mps" in str(error).lower() else "computer"
        return Failure(
            "OutOfMemory",
            f"The memory of the {where} is used up: segment a smaller range of slices, close other programs, or choose "
            "another device.",
            frees_memory=True,
        )
    reference = secrets.token_hex(4)
    _log.error("unexpected error, reference %s", reference, exc_info=error)
    return Failure(
        name, f"Something went wrong in the worker (reference {reference}, {name}); the log has the details."
    )


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError):
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in words for sign in _OUT_OF_MEMORY)
