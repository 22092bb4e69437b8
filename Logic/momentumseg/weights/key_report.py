"""Compare the tensors of a file with the tensors that a network needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from momentumseg.errors import WeightsError

_COUNTER_SUFFIX = "num_batches_tracked"  # old files lack it and nothing depends on it in evaluation


@dataclass(frozen=True)
class KeyReport:
    """What a weights file gave to a network, by tensor name (the network's own names).

    ``prefix`` is what the file puts before those names, ``unexpected`` what the file has besides.
    """

    source: str
    prefix: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    wrong_shape: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """True when every tensor that the network needs was found with its shape."""
        return not self.missing and not self.wrong_shape

    def summary(self) -> str:
        """Return the counts as one line for a log."""
        where = f" under '{self.prefix}'" if self.prefix else ""
        return (
            f"{self.source}: {len(self.matched)} tensors matched{where}, {len(self.missing)} missing, "
            f"{len(self.wrong_shape)} of another shape, {len(self.unexpected)} not needed"
        )

    def require_complete(self, network_name: str) -> None:
        """Refuse a partial match: half-loaded weights look like a working network and are not.

        Raises:
            WeightsError: a tensor is missing or has another shape.
        """
        if self.complete:
            return
        examples = ", ".join((*self.missing, *self.wrong_shape)[:3])
        needed = len(self.matched) + len(self.missing) + len(self.wrong_shape)
        raise WeightsError(
            f"The file {self.source} does not fit the network {network_name}: {len(self.matched)} of {needed} tensors "
            f"matched, {len(self.missing)} missing, {len(self.wrong_shape)} of another shape, {len(self.unexpected)} "
            f"unexpected (for example {examples}); choose the file of this network."
        )

    def require_exact(self, network_name: str) -> None:
        """Refuse also what is too much: a file of our own format holds this network and nothing else.

        Raises:
            WeightsError: a tensor is missing, has another shape or is not part of the network.
        """
        self.require_complete(network_name)
        if self.unexpected:
            raise WeightsError(
                f"The file {self.source} holds {len(self.unexpected)} tensors that the network {network_name} does not "
                f"have (for example {self.unexpected[0]}); update MomentumSeg or get the file again."
            )


def select_tensors(
    tensors: Mapping[str, Tensor], needed: Mapping[str, Tensor], source: str
) -> tuple[dict[str, Tensor], KeyReport]:
    """Pick from a file the tensors that a network needs, whatever common prefix the file puts before their names.

    Files of one network come in several layouts (ResNet-101: ``backbone.conv1.weight`` in the COCO file,
    ``conv1.weight`` in the ImageNet file); the prefix that matches most names wins.
    """
    required = [name for name in needed if not name.endswith(_COUNTER_SUFFIX)]
    prefix = _best_prefix(tensors, required)
    fits = {name: _fits(tensors.get(prefix + name), needed[name]) for name in required}
    missing = tuple(name for name in required if prefix + name not in tensors)
    wrong_shape = tuple(name for name in required if name not in missing and not fits[name])
    matched = tuple(name for name in required if fits[name])
    known = {prefix + name for name in needed}
    unexpected = tuple(name for name in tensors if name not in known)
    chosen = {name: tensors[prefix + name] for name in needed if _fits(tensors.get(prefix + name), needed[name])}
    return chosen, KeyReport(source, prefix, matched, missing, unexpected, wrong_shape)


def _fits(found: Tensor | None, needed: Tensor) -> bool:
    return found is not None and found.shape == needed.shape


def _best_prefix(names: Iterable[str], required: Iterable[str]) -> str:
    """Return the prefix under which most required names occur; the shortest on a tie, '' when none does."""
    wanted = set(required)
    votes: Counter[str] = Counter()
    for name in names:
        parts = name.split(".")
        votes.update(".".join(parts[:n]) + "." if n else "" for n in range(len(parts)) if ".".join(parts[n:]) in wanted)
    return max(votes, key=lambda prefix: (votes[prefix], -len(prefix))) if votes else ""
