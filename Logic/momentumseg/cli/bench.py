"""``momentumseg bench``: how fast it is on this computer, beside what it should be."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from momentumseg.cli.console import Output, output_of

if TYPE_CHECKING:
    from rich.table import Table

    from momentumseg.evaluation.benchmark_report import BenchmarkReport
    from momentumseg.sessions.few_shot import FewShotModel

app = typer.Typer(no_args_is_help=True, help="Measure speed and memory on this computer.", rich_markup_mode=None)

OutputOption = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", help="JSON report; its table is written beside it as .md.")
]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", metavar="N", min=1, help="Processor threads.", show_default="all cores")
]
BenchModelOption = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", help="A model's network.", show_default="default network, random weights"),
]


@app.command("fewshot")
def fewshot(
    context: typer.Context,
    model: BenchModelOption = None,
    slices: Annotated[int, typer.Option("--slices", metavar="N", min=8, help="Slices of the volume.")] = 40,
    size: Annotated[int, typer.Option("--size", metavar="N", min=32, help="Rows and columns of a slice.")] = 256,
    repeats: Annotated[int, typer.Option("--repeats", metavar="N", min=1, help="The median is reported.")] = 5,
    threads: ThreadsOption = None,
    output: OutputOption = None,
) -> None:
    """What a user waits for: cold, cached, ten drawn slices, several labels; memory and import time."""
    streams = output_of(context)
    _check(output)
    _set_threads(threads)
    from momentumseg.evaluation.benchmark_processes import measure_few_shot_memory, measure_import
    from momentumseg.evaluation.benchmarks import FewShotOptions, bench_few_shot

    options = FewShotOptions(slices=slices, size=size, repeats=repeats)
    with streams.progress() as step:
        advance = step("Measuring")
        report = bench_few_shot(_model(model), options, lambda name, part: advance(round(90 * part), 100))
        advance(90, 100)
        apart = [measure_few_shot_memory(model, slices, size), *measure_import()]
    _finish(report, apart, output, streams)


@app.command("prompts")
def prompts(
    context: typer.Context,
    model: Annotated[str, typer.Option("--model", metavar="NAME", help="A model for prompts.")] = "lite-medsam",
    slices: Annotated[int, typer.Option("--slices", metavar="N", min=3, help="Slices of the volume.")] = 40,
    size: Annotated[int, typer.Option("--size", metavar="N", min=64, help="Rows and columns of a slice.")] = 256,
    repeats: Annotated[int, typer.Option("--repeats", metavar="N", min=1, help="The median is reported.")] = 5,
    threads: ThreadsOption = None,
    output: OutputOption = None,
) -> None:
    """What a user waits for at a click, following through slices, encoders, and an independent implementation."""
    streams = output_of(context)
    _check(output)
    _set_threads(threads)
    from momentumseg.evaluation.benchmark_processes import measure_prompt_memory
    from momentumseg.evaluation.prompt_benchmark import PromptBenchmarkOptions, bench_prompts
    from momentumseg.weights.prompt_models import load_prompt_model

    options = PromptBenchmarkOptions(slices=slices, size=size, repeats=repeats)
    with streams.progress() as step:
        advance = step("Measuring")
        loaded = load_prompt_model(model)
        report = bench_prompts(loaded, options, lambda name, part: advance(round(90 * part), 100))
        advance(90, 100)
        apart = [measure_prompt_memory(model, slices, size)]
    _finish(report, apart, output, streams)


@app.command("volume")
def volume(
    context: typer.Context,
    shape: Annotated[str, typer.Option("--shape", metavar="IxJxK", help="Voxels of the volume.")] = "512x512x1000",
    budget: Annotated[
        int, typer.Option("--budget", metavar="MIB", min=1, help="Memory for features of slices; more goes to disk.")
    ] = 1024,
    model: BenchModelOption = None,
    threads: ThreadsOption = None,
    output: OutputOption = None,
) -> None:
    """A large CT from one drawn slice, in a process of its own, with its peak memory."""
    streams = output_of(context)
    _check(output)
    from momentumseg.evaluation.benchmark_processes import bench_volume_apart

    k, j, i = parse_shape(shape)
    with streams.progress() as step:
        step("Segmenting a large volume")(0, 0)
        report = bench_volume_apart(model, (k, j, i), budget << 20, threads)
    _finish(report, [], output, streams)


@app.command("training")
def training(
    context: typer.Context,
    recipe: Annotated[
        list[str] | None,
        typer.Option("--recipe", metavar="NAME", help="May be repeated.", show_default="all for laptops"),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", metavar="N", min=1, help="Measured iterations of each.")] = 20,
    threads: ThreadsOption = None,
    output: OutputOption = None,
) -> None:
    """Training iterations a second of each recipe's head."""
    streams = output_of(context)
    _check(output)
    _set_threads(threads)
    from momentumseg.evaluation.training_benchmark import bench_training

    with streams.progress() as step:
        advance = step("Training")
        report = bench_training(recipe, steps, progress=lambda name, part: advance(round(100 * part), 100))
    _finish(report, [], output, streams)


@app.command("trainer")
def trainer(
    context: typer.Context,
    recipe: Annotated[str, typer.Option("--recipe", metavar="NAME", help="Of an automatic model.")] = (
        "resunet-3d-laptop"
    ),
    steps: Annotated[int, typer.Option("--steps", metavar="N", min=1, help="Measured iterations of each.")] = 10,
    repeats: Annotated[int, typer.Option("--repeats", metavar="N", min=1, help="The median is reported.")] = 3,
    threads: ThreadsOption = None,
    output: OutputOption = None,
) -> None:
    """The trainer's iterations a second beside a minimal loop written by hand, and how long it waits for patches."""
    streams = output_of(context)
    _check(output)
    _set_threads(threads)
    from momentumseg.evaluation.trainer_benchmark import bench_trainer
    from momentumseg.recipes.reading import read_recipe

    with streams.progress() as step:
        advance = step("Training")
        report = bench_trainer(read_recipe(recipe), steps, repeats, lambda name, part: advance(round(100 * part), 100))
    _finish(report, [], output, streams)


@app.command("momentum")
def momentum(
    context: typer.Context,
    blocks: Annotated[
        list[int] | None,
        typer.Option(
            "--blocks", metavar="N", min=1, help="Blocks of a stage; may be repeated.", show_default="4, 8, 16, 32"
        ),
    ] = None,
    size: Annotated[int, typer.Option("--size", metavar="N", min=4, help="Rows and columns of a patch.")] = 64,
    batch: Annotated[int, typer.Option("--batch", metavar="N", min=1, help="Patches of a step.")] = 2,
    repeats: Annotated[int, typer.Option("--repeats", metavar="N", min=1, help="The median is reported.")] = 3,
    threads: ThreadsOption = None,
    output: OutputOption = None,
) -> None:
    """Momentum networks: memory, time and gradients of the three ways to differentiate them."""
    streams = output_of(context)
    _check(output)
    _set_threads(threads)
    from momentumseg.evaluation.benchmark_processes import momentum_peak
    from momentumseg.evaluation.momentum_benchmark import MomentumBenchmarkOptions, bench_momentum

    lengths = tuple(sorted(set(blocks or MomentumBenchmarkOptions.blocks)))
    options = MomentumBenchmarkOptions(blocks=lengths, size=size, batch=batch, repeats=repeats)
    with streams.progress() as step:
        advance = step("Measuring")
        report = bench_momentum(options, momentum_peak, lambda name, part: advance(round(100 * part), 100))
    _finish(report, [], output, streams)


@app.command("memory")
def memory(
    context: typer.Context,
    case: Annotated[
        list[str] | None,
        typer.Option("--case", metavar="WORDS", help="Cases whose name has these words; may be repeated."),
    ] = None,
    threads: ThreadsOption = None,
    output: OutputOption = None,
) -> None:
    """The memory estimate before a training run beside what a process of its own then needs."""
    streams = output_of(context)
    _check(output)
    _set_threads(threads)
    from momentumseg.errors import InputError
    from momentumseg.evaluation.benchmark_processes import training_peak
    from momentumseg.evaluation.memory_benchmark import CASES, bench_memory

    cases = [known for known in CASES if not case or any(words in known.name for words in case)]
    if not cases:
        raise InputError(f"No case is named {case}; choose among: {'; '.join(known.name for known in CASES)}.")
    with streams.progress() as step:
        advance = step("Training")
        report = bench_memory(cases, training_peak, lambda name, part: advance(round(100 * part), 100))
    _finish(report, [], output, streams)


@app.command("worker")
def worker(
    context: typer.Context,
    shape: Annotated[
        str, typer.Option("--shape", metavar="IxJxK", help="Voxels of the volume that is sent.")
    ] = "512x512x400",
    repeats: Annotated[int, typer.Option("--repeats", metavar="N", min=1, help="Of each measure.")] = 5,
    output: OutputOption = None,
) -> None:
    """What the application's worker costs beside the computation: start, messages, volumes, cancelling."""
    streams = output_of(context)
    _check(output)
    from momentumseg.worker.benchmark import bench_worker

    with streams.progress() as step:
        advance = step("Measuring")
        report = bench_worker(parse_shape(shape), repeats, lambda name, part: advance(round(100 * part), 100))
    _finish(report, [], output, streams)


def parse_shape(text: str) -> tuple[int, int, int]:
    """(K, J, I) of ``"512x512x1000"``, which is written as users do: columns, rows, slices.

    Raises:
        InputError: another form.
    """
    from momentumseg.errors import InputError

    match = re.fullmatch(r"(\d+)x(\d+)x(\d+)", text.strip().lower())
    if match is None:
        raise InputError(f"The shape '{text}' is not of the form IxJxK; write for example --shape 512x512x1000.")
    i, j, k = (int(count) for count in match.groups())
    return k, j, i


def _model(reference: str | None) -> FewShotModel:
    from momentumseg.evaluation.benchmark_cases import random_model
    from momentumseg.weights.loading import load_few_shot_model

    return load_few_shot_model(reference) if reference else random_model()


def _set_threads(threads: int | None) -> None:
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def _check(output: Path | None) -> None:
    from momentumseg.io.checks import check_writable_output

    if output is not None:
        check_writable_output(output, suffixes=(".json",))


def _finish(report: BenchmarkReport, more: list, output: Path | None, streams: Output) -> None:
    """Complete the report, write it where it is wanted, and say it."""
    from dataclasses import replace

    from momentumseg.io.atomic import atomic_path

    command = shlex.join(["momentumseg", *sys.argv[1:]])
    report = replace(report, measures=[*report.measures, *more], command=command)
    if output is not None:
        words = json.dumps(report.to_mapping(), indent=1) + "\n"
        for path, text in ((output, words), (output.with_suffix(".md"), report.to_markdown())):
            with atomic_path(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
    streams.result(report.to_mapping(), _table(report))


def _table(report: BenchmarkReport) -> Table:
    from rich.table import Table

    settings = ", ".join(f"{name} {value}" for name, value in report.settings.items())
    table = Table(title=report.title, caption=settings, box=None, pad_edge=False)
    for name, justify in (("Measured", "left"), ("Value", "right"), ("Target", "right"), ("", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]  # rich wants literals
    for measure in report.measures:
        table.add_row(measure.name, measure.words, measure.target, measure.verdict)
    return table
