"""A few-shot session that serves many requests: each names all its supports, and only what changed is drawn again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from momentumseg.sessions.few_shot import FewShotSession
from momentumseg.volumes.volume import Volume


@dataclass(frozen=True, eq=False)
class RequestedSupport:
    """One label drawn on one slice of a volume, in that volume's own slice layout."""

    volume: Volume
    label: int
    slice_index: int
    mask: np.ndarray = field(repr=False)


class _Place(NamedTuple):
    """Where a support is drawn; ``volume`` is the identity of the object, which its `_Drawn` keeps alive."""

    volume: int
    plane: str
    slice_index: int
    label: int

    @property
    def slice(self) -> tuple[int, str, int]:
        return self[:3]


@dataclass(frozen=True, eq=False)
class _Drawn:
    support_id: int
    volume: Volume
    mask: np.ndarray


class KeptSession:
    """A session with its model and device, and what was last asked of it.

    Args:
        session: new, without a volume.
        model, device: as the client named them.
    """

    def __init__(self, session: FewShotSession, model: str, device: str) -> None:
        self.model = model
        self.device = device
        self._session = session
        self._volume: tuple[Volume, str] | None = None
        self._drawn: dict[_Place, _Drawn] = {}

    def close(self) -> None:
        """Give the features back."""
        self._session.close()

    def of_volume(self, volume: Volume, plane: str) -> FewShotSession:
        """The session with this volume and plane set."""
        if self._volume is None or self._volume[0] is not volume or self._volume[1] != plane:
            self._volume = None  # should the volume be refused, the next request sets its own again
            self._session.set_volume(volume, plane=plane)
            self._volume = volume, plane
        return self._session

    def set_supports(self, supports: Sequence[RequestedSupport]) -> None:
        """Have exactly these supports, in this order, for the volume that is set.

        Summaries of supports that stay are used again. Raises as `FewShotSession.add_support`; those before the refused
        one are then set.
        """
        plane = self._session.plane or ""
        wanted = {_Place(id(s.volume), plane, s.slice_index, s.label): s for s in supports}
        self._remove_all_but(wanted)
        for place, support in wanted.items():
            known = self._drawn.get(place)
            if known is None:
                self._add(place, support)
            elif not np.array_equal(known.mask, support.mask):
                self._session.replace_support(known.support_id, support.mask)
                self._drawn[place] = _Drawn(known.support_id, support.volume, support.mask)

    def _remove_all_but(self, wanted: dict[_Place, RequestedSupport]) -> None:
        """Where labels overlap the later one wins, so supports of a slice stay only if they stay in order."""
        for place in [place for place in self._drawn if place not in wanted]:
            self._remove(place)
        for of_slice in {place.slice for place in self._drawn}:
            kept = [place for place in self._drawn if place.slice == of_slice]
            if kept != [place for place in wanted if place.slice == of_slice][: len(kept)]:
                for place in kept:
                    self._remove(place)

    def _add(self, place: _Place, support: RequestedSupport) -> None:
        is_own = self._volume is not None and support.volume is self._volume[0]
        identity = self._session.add_support(
            support.mask, support.slice_index, label=support.label, volume=None if is_own else support.volume
        )
        self._drawn[place] = _Drawn(identity, support.volume, support.mask)

    def _remove(self, place: _Place) -> None:
        self._session.remove_support(self._drawn.pop(place).support_id)
