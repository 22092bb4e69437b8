"""From network slices to cached features: on demand, ahead of time in a thread, one batch after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from types import TracebackType
from typing import Protocol

import numpy as np
import torch

from momentumseg.errors import Cancelled
from momentumseg.geometry.network_space import NetworkSpace
from momentumseg.sessions.feature_cache import FeatureCache, FeatureKey

Progress = Callable[[int, int], None]
IsCancelled = Callable[[], bool]

_LARGEST_HALF = 65504.0


class ImageEncoder(Protocol):
    """A network with an encoder: images (B, 3, S, S) to features (B, C, h, w)."""

    def encode(self, images: torch.Tensor) -> torch.Tensor: ...


class EncodableSlices(Protocol):
    """A volume in one plane whose slices a network can be given."""

    id: str
    space: NetworkSpace

    def channels(self, s: int) -> np.ndarray: ...


class FeatureEncoder:
    """The encoder of a network in front of a cache.

    Features always pass through half precision and every batch has the same size (the last one is filled up by
    repetition), so that a slice's features are the same numbers whenever and with whomever they are computed.

    Args:
        network: in evaluation mode, on ``device``.
        weights_id: sha256 of the weights.
        cache: where features are kept.
        device: of the network.
        batch_size: slices encoded at a time.
    """

    def __init__(
        self, network: ImageEncoder, weights_id: str, cache: FeatureCache, device: torch.device, batch_size: int
    ) -> None:
        self.batch_size = batch_size
        self.cache = cache
        self._network = network
        self._weights_id = weights_id
        self._device = device
        self._encoding = threading.Lock()
        self._requests = 0
        self._no_request = threading.Condition()

    def key(self, volume: EncodableSlices, s: int) -> FeatureKey:
        return FeatureKey(self._weights_id, volume.id, volume.space.plane, s)

    def count(self, volume: EncodableSlices) -> int:
        """Number of slices of the volume whose features are at hand."""
        return self.cache.count(self._weights_id, volume.id, volume.space.plane)

    def features(self, volume: EncodableSlices, slices: Sequence[int]) -> list[np.ndarray]:
        """Features of network slices, each float16 ``(h, w, C)``: from the cache, or encoded now."""
        found = {s: self.cache.get(self.key(volume, s)) for s in slices}
        if any(array is None for array in found.values()):
            with self._encoding:  # another thread may have encoded them while this one waited
                missing = [s for s in found if found[s] is None and self.key(volume, s) not in self.cache]
                for start in range(0, len(missing), self.batch_size):
                    found.update(self._encode(volume, missing[start : start + self.batch_size]))
        return [self._at_hand(volume, s, array) for s, array in found.items()]

    def encode(
        self, volume: EncodableSlices, slices: Sequence[int], progress: Progress | None, cancelled: IsCancelled | None
    ) -> None:
        """Encode what is missing, in this order. Raises `Cancelled`."""
        missing = [s for s in slices if self.key(volume, s) not in self.cache]
        done = len(slices) - len(missing)
        for start in range(0, len(missing), self.batch_size):
            raise_if(cancelled)
            batch = missing[start : start + self.batch_size]
            self.features(volume, batch)
            done += len(batch)
            if progress is not None:
                progress(done, len(slices))

    @contextmanager
    def requested(self) -> Iterator[None]:
        """While a user waits for a result, encoding ahead of time pauses."""
        with self._no_request:
            self._requests += 1
        try:
            yield
        finally:
            with self._no_request:
                self._requests -= 1
                self._no_request.notify_all()

    def wait_until_no_request(self, cancelled: IsCancelled) -> None:
        """Return when nobody waits for a result, or `cancelled`."""
        with self._no_request:
            while self._requests and not cancelled():
                self._no_request.wait(timeout=0.1)

    def _at_hand(self, volume: EncodableSlices, s: int, array: np.ndarray | None) -> np.ndarray:
        if array is None:
            array = self.cache.get(self.key(volume, s))
        return self.features(volume, [s])[0] if array is None else array

    def _encode(self, volume: EncodableSlices, slices: Sequence[int]) -> dict[int, np.ndarray]:
        filled = [*slices, *[slices[-1]] * (self.batch_size - len(slices))]
        images = torch.from_numpy(np.stack([volume.channels(s) for s in filled]))
        with torch.inference_mode():
            images = images.to(self._device, memory_format=torch.channels_last)
            features = self._network.encode(images).float().clamp_(-_LARGEST_HALF, _LARGEST_HALF)
            halves = features.permute(0, 2, 3, 1).to("cpu", torch.float16).contiguous().numpy()
        encoded = {s: halves[index].copy() for index, s in enumerate(slices)}
        for s, array in encoded.items():
            self.cache.put(self.key(volume, s), array)
        return encoded


def feature_batch(features: Sequence[np.ndarray], device: torch.device) -> torch.Tensor:
    """Half precision ``(B, C, h, w)`` of cached ``(h, w, C)``; channels last in memory, where heads are fastest."""
    return torch.from_numpy(np.stack(features)).permute(0, 3, 1, 2).to(device)


class BackgroundEncoding:
    """Encodes slices in a thread until it is done, cancelled, or the program ends."""

    def __init__(self, encoder: FeatureEncoder, volume: EncodableSlices, slices: Iterable[int]) -> None:
        self._encoder = encoder
        self._volume = volume
        self._slices = slices
        self._stop = threading.Event()
        self._failure = _KeptError()
        self._thread = threading.Thread(target=self._run, name="momentumseg-encoding")
        self._thread.start()

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def cancel(self) -> None:
        """End after the present batch and wait for that."""
        self._stop.set()
        self._thread.join()

    def raise_error(self) -> None:
        """Raise, once, what went wrong in the thread."""
        self._failure.raise_once()

    def _run(self) -> None:
        with self._failure:
            slices = iter(self._slices)  # asked for one batch at a time: their order may depend on where the user is
            while True:
                self._encoder.wait_until_no_request(self._is_over)
                batch = [] if self._is_over() else list(islice(slices, self._encoder.batch_size))
                if not batch:
                    return
                self._encoder.encode(self._volume, batch, None, None)

    def _is_over(self) -> bool:
        # A program that ends must not wait for slices nobody will see.
        return self._stop.is_set() or not threading.main_thread().is_alive()


class _KeptError:
    """Context that keeps an error of one thread for the thread that asks."""

    def __init__(self) -> None:
        self._error: BaseException | None = None

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        self._error = error
        return True

    def raise_once(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error


def raise_if(cancelled: IsCancelled | None) -> None:
    """Raise `Cancelled` when the user asked for it."""
    if cancelled is not None and cancelled():
        raise Cancelled("The segmentation was cancelled; nothing was changed.")
