"""Automatic methods: a trained model labels a volume by itself."""

from __future__ import annotations

from momentumseg.errors import InputError
from momentumseg.sessions.automatic import AutomaticSession
from momentumseg.sessions.automatic_result import AutomaticResult
from momentumseg.volumes.volume import Volume
from momentumseg.weights.model_files import weights_path
from momentumseg.weights.segmentation_models import load_segmentation_model
from momentumseg.worker.crops import bounding_crop
from momentumseg.worker.devices import chosen_device
from momentumseg.worker.registry import Call, Reply, Values, method

_SESSION = "automatic session"


class KeptNetwork:
    """A session with its model and device, and the volume that it has prepared.

    Args:
        session: new, without a volume.
        model, device: as the client named them.
    """

    def __init__(self, session: AutomaticSession, model: str, device: str) -> None:
        self.model = model
        self.device = device
        self._session = session
        self._volumes: tuple[Volume, ...] = ()

    def close(self) -> None:
        """Give the prepared volume back."""
        self._volumes = ()
        self._session.close()

    def of_volumes(self, volumes: tuple[Volume, ...]) -> AutomaticSession:
        """The session with these channels set."""
        is_same = len(volumes) == len(self._volumes) and all(
            a is b for a, b in zip(volumes, self._volumes, strict=True)
        )
        if not is_same:
            self._volumes = ()  # should the volume be refused, the next request sets its own again
            self._session.set_volume(*volumes)
            self._volumes = volumes
        return self._session


@method("segment_automatic")
def segment_automatic(call: Call) -> Reply:
    """Label a volume, or a box of it, by an automatic model."""
    volumes = (call.volume(), *_further_channels(call))
    mirror = _mirror(call)
    call.progress(0.0, "Loading the model")
    kept = _kept(call)
    call.check()
    call.progress(0.0, "Preparing the volume")
    session = kept.of_volumes(volumes)
    call.check()
    result = session.segment(
        mirror=mirror,
        box=call.parameters.get("box"),
        progress=lambda done, total: call.progress(done / total, "Segmenting"),
        cancelled=call.is_cancelled,
    )
    return _reply(result, {"device": kept.device, "model": kept.model})


def _reply(result: AutomaticResult, of_model: Values) -> Reply:
    labels, uncertainty = bounding_crop(result.labelmap.array), bounding_crop(result.uncertainty_bytes)
    values = {
        "labels": list(result.label_names),
        "label_names": result.label_names,
        "origin": list(labels.origin),
        "uncertainty_origin": list(uncertainty.origin),
        "volume_ml": result.volume_ml,
        "label_uncertainty": result.label_uncertainty,
        "mean_uncertainty": result.mean_uncertainty,
        "next_slice": None,
        "slice_axis": result.slice_axis,
        "seconds": result.seconds,
        **of_model,
    }
    return Reply(values, {"labelmap": labels.array, "uncertainty": uncertainty.array})


def _mirror(call: Call) -> bool | None:
    """Whether mirrored versions are averaged; None leaves it to the model's recipe."""
    mirror = call.parameters.get("mirror")
    if mirror is not None and not isinstance(mirror, bool):
        raise InputError(f"The request '{call.method}' has mirror = {str(mirror)[:80]!r}; it must be true or false.")
    return mirror


def _further_channels(call: Call) -> list[Volume]:
    """Volumes of the channels after the first, for models that were trained on several images of a case."""
    wanted = call.parameters.get("channels") or []
    if not isinstance(wanted, list):
        raise InputError(f"The request '{call.method}' has channels = {str(wanted)[:80]!r}; it must be a list.")
    return [call.state.volume(str(identity)) for identity in wanted]


def _kept(call: Call) -> KeptNetwork:
    """The session of the request's model and device, which keeps the prepared volume."""
    model, device = call.text("model"), chosen_device(call.text("device", "auto"))

    def make() -> KeptNetwork:
        return KeptNetwork(AutomaticSession(load_segmentation_model(model, device), device=device), model, device)

    return call.state.keep(_SESSION, (model, device, _written(model)), make)


def _written(model: str) -> int | None:
    """When the model's file was written: one that was trained again under its name is another model."""
    path = weights_path(model)
    return path.stat().st_mtime_ns if path.is_file() else None
