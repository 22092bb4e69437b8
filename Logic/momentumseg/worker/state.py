"""What a worker keeps between requests: volumes, and caches that can be made again."""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Protocol, TypeVar

from momentumseg.allocation import release_kept_blocks
from momentumseg.errors import InputError
from momentumseg.volumes.volume import Volume

_KEPT = 2  # models with their features, of each kind


class Closable(Protocol):
    """What can be kept: it gives its memory back when it is closed."""

    def close(self) -> None: ...


Kept = TypeVar("Kept", bound=Closable)


class WorkerState:
    """Volumes by the client's ids, and things such as sessions with their model, the last used ones of each kind.

    Args:
        cache_bytes: memory that a session may fill with features; None: it depends on the free memory.
    """

    def __init__(self, cache_bytes: int | None = None) -> None:
        self.cache_bytes = cache_bytes
        self._volumes: dict[str, Volume] = {}
        self._kept: dict[str, OrderedDict[Hashable, Closable]] = {}

    # Volumes

    @property
    def volume_ids(self) -> list[str]:
        return list(self._volumes)

    def volume(self, identity: str) -> Volume:
        """The volume that was sent under an id. The same object is the same content.

        Raises:
            InputError: there is none.
        """
        if identity not in self._volumes:
            raise InputError(f"The worker does not have the volume '{identity}': send it first.")
        return self._volumes[identity]

    def set_volume(self, identity: str, volume: Volume) -> None:
        """Keep a volume, in the place of an earlier one with that id."""
        self._volumes[identity] = volume

    def forget_volume(self, identity: str) -> None:
        """Forget a volume; nothing happens when it is not there."""
        self._volumes.pop(identity, None)

    # Caches

    def keep(self, kind: str, key: Hashable, make: Callable[[], Kept]) -> Kept:
        """What is kept under this key, or else made now; of each kind the least recently used beyond two is closed."""
        of_kind = self._kept.setdefault(kind, OrderedDict())
        if key not in of_kind:
            while len(of_kind) >= _KEPT:  # before the new one asks for memory
                of_kind.popitem(last=False)[1].close()
            of_kind[key] = make()
        of_kind.move_to_end(key)
        return of_kind[key]  # type: ignore[return-value]  # one kind has one type

    def kept(self, kind: str) -> Closable | None:
        """What was last used of one kind."""
        of_kind = self._kept.get(kind)
        return next(reversed(of_kind.values())) if of_kind else None

    def drop(self, kind: str) -> None:
        """Close what is kept of one kind."""
        for kept in self._kept.pop(kind, {}).values():
            kept.close()

    def free(self) -> None:
        """Close everything that can be made again: models, features, results. Volumes stay."""
        for kind in list(self._kept):
            self.drop(kind)
        gc.collect()
        _empty_device_caches()
        release_kept_blocks()


def _empty_device_caches() -> None:
    import torch

    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
