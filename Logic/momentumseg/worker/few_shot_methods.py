"""Few-shot methods: encode ahead, segment from drawn slices, look at the iterates."""

from __future__ import annotations

from momentumseg.errors import Cancelled
from momentumseg.sessions.few_shot import FewShotSession
from momentumseg.weights.loading import load_few_shot_model
from momentumseg.worker.devices import cache_budget_bytes, chosen_device
from momentumseg.worker.few_shot_job import SegmentJob, kept_iterates
from momentumseg.worker.few_shot_session import KeptSession
from momentumseg.worker.registry import Call, Interrupted, Reply, Values, method

_SESSION = "few-shot session"


@method("encode", background=True)
def encode(call: Call) -> Values:
    """Compute the features of a volume ahead of time, those nearest to "first_slice" first."""
    if call.is_interrupted() and not call.is_cancelled():
        raise Interrupted({"encoded": 0, "interrupted": True})
    session = _session(call).of_volume(call.volume(), call.text("plane"))
    call.check()
    message = "Preparing slices"
    try:
        session.encode(
            call.optional_whole("first_slice"),
            progress=lambda done, total: call.progress(done / total, message),
            cancelled=call.is_interrupted,
        )
    except Cancelled:
        call.check()
        raise Interrupted({"encoded": session.encoded_count, "interrupted": True}) from None
    return {"encoded": session.encoded_count, "interrupted": False}


@method("segment")
def segment(call: Call) -> Reply:
    """Segment a volume from drawn slices; slices are sent as soon as they are ready."""
    call.progress(0.0, "Loading the model")
    kept = _session(call)
    call.check()
    return SegmentJob(call, kept).run()


@method("iterates")
def iterates(call: Call) -> Reply:
    """Stages of the network on one slice, of the last segmentation that kept them."""
    volume, result = kept_iterates(call)
    stages = result.iterate_slices(call.whole("label"), call.whole("slice_index"))
    arrays = {f"stage{n}_{name}": array for n, stage in enumerate(stages, 1) for name, array in stage.items()}
    return Reply({"stages": len(stages)}, arrays)


def _session(call: Call) -> KeptSession:
    """The session of the request's model and device, which keeps features and summaries."""
    model, device = call.text("model"), chosen_device(call.text("device", "auto"))

    def make() -> KeptSession:
        budget = call.state.cache_bytes or cache_budget_bytes()
        loaded = load_few_shot_model(model, device)
        return KeptSession(FewShotSession(loaded, device=device, cache_budget_bytes=budget), model, device)

    return call.state.keep(_SESSION, (model, device), make)
