"""Files that are either written whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from momentumseg.errors import OutputError

_REASONS = {
    errno.ENOSPC: "the disk is full; free some space or choose another disk",
    errno.EFBIG: "the file would be larger than this disk or account allows; choose another disk",
    errno.EROFS: "the disk is read-only; choose another folder",
    errno.EACCES: "the folder is not writable; choose another folder",
    errno.EPERM: "the folder is not writable; choose another folder",
    errno.EIO: "the disk reported an error; choose another disk",
    errno.EISDIR: "a folder of that name exists; choose another name",
    errno.ENOTEMPTY: "a folder of that name exists; choose another name",
    errno.ENAMETOOLONG: "the name is too long for this disk; choose a shorter one",
    errno.ENOENT: "its folder does not exist; create the folder first",
    errno.ENOTDIR: "its folder does not exist; create the folder first",
}
if hasattr(errno, "EDQUOT"):
    _REASONS[errno.EDQUOT] = "your disk quota is used up; free some space or choose another disk"


@contextmanager
def atomic_path(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path in the folder of ``target``; it takes the target's place when the block ends well.

    The temporary file keeps the suffix of the target (``.nii.gz`` too), because image writers choose their format
    by it. When the block fails or is interrupted, the temporary file is removed and an older target stays as it was.
    The block should only write: its ``OSError`` about the disk or the folder becomes an `OutputError`.

    >>> with atomic_path("mask.json") as temporary:  # doctest: +SKIP
    ...     temporary.write_text("{}")
    """
    target = Path(target)
    # A short name of its own: target names of 255 bytes leave no room for an addition.
    temporary = target.parent / f".{secrets.token_hex(6)}{suffix_of(target)}"
    try:
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        reason = _REASONS.get(error.errno or 0)
        if reason is None or not _concerns(error, target):
            raise
        raise output_error(target, reason) from error
    finally:
        temporary.unlink(missing_ok=True)


def suffix_of(path: str | os.PathLike[str]) -> str:
    """Lower-case suffix of a path, with both parts of ``.nii.gz``; empty when there is none."""
    name = Path(path).name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix


def output_error(target: Path, reason: str) -> OutputError:
    """`OutputError` in the one wording that all writers use."""
    return OutputError(f"{target} could not be written: {reason}.")


def _concerns(error: OSError, target: Path) -> bool:
    """Whether the failed file lies in the target's folder: a missing *input* must not be reported as output."""
    if error.filename is None:
        return True
    return Path(os.fsdecode(error.filename)).parent == target.parent
