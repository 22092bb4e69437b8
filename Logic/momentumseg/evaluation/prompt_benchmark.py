"""How fast prompts are: what a user waits for at a click, following through a volume, and ratios within one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from momentumseg.evaluation.benchmark_report import BenchmarkReport, Measure
from momentumseg.evaluation.process_memory import peak_memory_bytes
from momentumseg.networks.sam.sam import sam_vit_b
from momentumseg.sessions.prompt import PromptSession
from momentumseg.sessions.prompt_decoder import PromptModel
from momentumseg.sessions.prompt_objects import BoxPrompt, PointPrompt
from momentumseg.sessions.propagation import FollowConfig
from momentumseg.volumes.volume import Volume

Progress = Callable[[str, float], None]

_MIB = 1 << 20
_TARGET_CLICK_MS, _TARGET_DECODER_MS, _TARGET_RATIO, _TARGET_FOLLOW = 250.0, 60.0, 10.0, 45.0
_TARGET_MEMORY_MIB, _TARGET_INDEPENDENT = 1.5 * 1024, 1.1
_SPACING = (1.0, 1.0, 3.0)


@dataclass(frozen=True)
class PromptBenchmarkOptions:
    """Sizes of the benchmark.

    Attributes:
        slices, size: of the generated volume.
        repeats: measurements of which the median is reported; large encoders run once.
        sam_size: pixels of the SAM ViT-B encoder that is compared with.
        equal_size: pixels at which the independent implementation is compared.
    """

    slices: int = 40
    size: int = 256
    repeats: int = 5
    sam_size: int = 1024
    equal_size: int = 512


def bench_prompts(
    model: PromptModel, options: PromptBenchmarkOptions | None = None, progress: Progress | None = None
) -> BenchmarkReport:
    """A click, the decoder, encoders, following, and (when `transformers` is installed) an independent implementation.

    Args:
        model: its weights decide how far a structure is followed, nothing else.
        progress: receives (what is being measured, fraction of all done).
    """
    options, report = options or PromptBenchmarkOptions(), progress or (lambda name, part: None)
    steps: list[tuple[str, Callable[[], list[Measure]]]] = [
        ("clicks", lambda: _clicks(model, options)),
        ("following", lambda: _following(model, options)),
        ("encoders", lambda: _encoders(model, options)),
        ("independent implementation", lambda: _independent(options)),
    ]
    measures: list[Measure] = []
    for index, (name, step) in enumerate(steps):
        report(name, index / len(steps))
        measures += step()
    sizes = f"{options.size}x{options.size}x{options.slices}"
    settings = {"device": "cpu", "threads": torch.get_num_threads(), "volume": sizes, "model": model.card.name}
    return BenchmarkReport("Prompted segmentation, click to mask", settings, measures)


def tube(slices: int, size: int) -> tuple[Volume, BoxPrompt]:
    """A volume with a bright tube through all its axial slices, and the box around it on the middle one."""
    y, x = np.ogrid[:size, :size]
    noise = np.random.default_rng(0).normal(0, 8, (size, size))
    voxels = np.empty((slices, size, size), dtype=np.int16)
    for index in range(slices):
        centre = size * (0.5 + 0.05 * np.sin(index / 6))
        inside = (x - centre) ** 2 + (y - size / 2) ** 2 < (size / 7) ** 2
        body = ((x - size / 2) / 0.45) ** 2 + ((y - size / 2) / 0.4) ** 2 < size**2
        voxels[index] = 60 * body + 120 * inside + np.roll(noise, 7 * index, axis=1) + 20
    middle = size * (0.5 + 0.05 * np.sin(slices // 2 / 6))
    reach = size / 7 + 3
    box = BoxPrompt(middle - reach, size / 2 - reach, middle + reach, size / 2 + reach)
    return Volume(voxels, np.diag((*_SPACING, 1.0)), "tube"), box


def prompt_peak_bytes(reference: str, slices: int, size: int) -> int | None:
    """Largest memory of this process after following a structure. To be run in a fresh process."""
    from momentumseg.weights.prompt_models import load_prompt_model

    volume, box = tube(slices, size)
    with PromptSession(load_prompt_model(reference)) as session:
        _follow(session, volume, box)
    return peak_memory_bytes()


def memory_measure(peak: int | None) -> Measure:
    """The row of :func:`prompt_peak_bytes`."""
    value = None if peak is None else peak / _MIB
    return Measure("memory: at most, in a process of its own", value, "MiB", at_most=_TARGET_MEMORY_MIB)


def _clicks(model: PromptModel, options: PromptBenchmarkOptions) -> list[Measure]:
    """On a slice that is encoded: a box, then clicks; each time something new is asked."""
    volume, box = tube(3, options.size)
    with PromptSession(model) as session:
        session.set_volume(volume)
        cold = _seconds(partial(session.encode, [1]))
        number = session.add_object()
        session.add_prompt(number, 1, box)
        session.predict(number, 1)

        def click(step: int) -> None:
            x = (box.x0 + box.x1) / 2 + step
            prompt = (
                PointPrompt(x, options.size / 2) if "points" in model.capabilities else replace(box, x0=box.x0 - step)
            )
            session.add_prompt(number, 1, prompt)
            _ = session.predict(number, 1).mask

        seconds = statistics.median(_seconds(partial(click, step)) for step in range(1, options.repeats + 1))
    network = model.network
    embedding = torch.zeros(1, 256, network.embedding_size, network.embedding_size)
    corners = torch.tensor([[0.2, 0.2, 0.6, 0.6]]) * network.image_size
    decode = partial(_decode, network, embedding, corners)
    decode()
    decoder = _median(decode, options.repeats)
    return [
        Measure("click to mask, slice encoded", 1000 * seconds, "ms", at_most=_TARGET_CLICK_MS),
        Measure("of it: decoder", 1000 * decoder, "ms", at_most=_TARGET_DECODER_MS),
        Measure("a slice that is not encoded: encoder first", cold, "s"),
    ]


def _following(model: PromptModel, options: PromptBenchmarkOptions) -> list[Measure]:
    volume, box = tube(options.slices, options.size)
    with PromptSession(model) as session:
        start = time.perf_counter()
        found = _follow(session, volume, box)
        seconds = time.perf_counter() - start
        again = _seconds(session.follow)
    return [
        Measure(f"followed through {found} slices, nothing encoded", seconds, "s", at_most=_TARGET_FOLLOW),
        Measure(f"followed through {found} slices, all encoded", again, "s"),
    ]


def _follow(session: PromptSession, volume: Volume, box: BoxPrompt) -> int:
    """Follow from the middle slice; returns how many slices were found."""
    session.set_volume(volume)
    session.add_prompt(session.add_object(), session.slices.slice_count // 2, box)
    return len(session.follow(config=FollowConfig()).slice_indices)


def _encoders(model: PromptModel, options: PromptBenchmarkOptions) -> list[Measure]:
    """The model's encoder and that of SAM ViT-B, which runs once."""
    size = model.network.image_size
    image = torch.rand(1, 3, size, size)
    encode = partial(_encode, model.network, image)
    encode()
    fast = _median(encode, max(options.repeats, 3))
    large = sam_vit_b(options.sam_size).eval()
    slow = _seconds(partial(_encode, large, torch.rand(1, 3, options.sam_size, options.sam_size)))
    return [
        Measure(f"encoder of {model.card.name} at {size} px", 1000 * fast, "ms"),
        Measure(f"encoder of SAM ViT-B at {options.sam_size} px", 1000 * slow, "ms"),
        Measure(f"{model.card.name} is cheaper", slow / fast, "x", at_least=_TARGET_RATIO),
    ]


def _independent(options: PromptBenchmarkOptions) -> list[Measure]:
    """SAM ViT-B with random weights here and in `transformers`, alternately; nothing when that is not installed."""
    if find_spec("transformers") is None:
        return []
    transformers: Any = import_module("transformers")  # optional, and not known to a type checker without it
    size = options.equal_size
    torch.manual_seed(0)
    ours = sam_vit_b(size).eval()
    config = transformers.SamConfig(
        vision_config={"image_size": size},
        prompt_encoder_config={"image_size": size, "image_embedding_size": ours.embedding_size},
    )
    theirs = transformers.SamModel(config).eval()
    image, box = torch.rand(1, 3, size, size), torch.tensor([[0.2, 0.2, 0.6, 0.6]]) * size
    embedding = torch.rand(1, 256, ours.embedding_size, ours.embedding_size)

    def their_encoder() -> None:
        with torch.inference_mode():
            theirs.get_image_embeddings(image)

    def their_decoder() -> None:
        with torch.inference_mode():
            theirs(image_embeddings=embedding, input_boxes=box[None], multimask_output=False)

    encoder = _ratio(partial(_encode, ours, image), their_encoder, 2)
    decoder = _ratio(partial(_decode, ours, embedding, box), their_decoder, options.repeats)
    return [
        Measure(f"encoder of SAM ViT-B at {size} px, ours by transformers'", encoder, "x", at_most=_TARGET_INDEPENDENT),
        Measure(f"decoder at {size} px, ours by transformers'", decoder, "x", at_most=_TARGET_INDEPENDENT),
    ]


def _encode(network: Any, image: Tensor) -> None:
    with torch.inference_mode():
        network.encode(image)


def _decode(network: Any, embedding: Tensor, box: Tensor) -> None:
    with torch.inference_mode():
        network.decode(embedding, boxes=box)


def _ratio(ours: Callable[[], object], theirs: Callable[[], object], repeats: int) -> float:
    """Median of ours by theirs, run alternately after one run of each."""
    ours()
    theirs()
    return statistics.median(_seconds(ours) / _seconds(theirs) for _ in range(repeats))


def _median(action: Callable[[], object], repeats: int) -> float:
    return statistics.median(_seconds(action) for _ in range(repeats))


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start
