"""``momentumseg models``: which weights there are, on this computer and to be had."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from momentumseg.cli.console import output_of

if TYPE_CHECKING:
    from momentumseg.weights.store import StoredModel

app = typer.Typer(no_args_is_help=True, help="Weights: list, download, import, delete, cards.", rich_markup_mode=None)

Name = Annotated[str, typer.Argument(help="Name as in 'momentumseg models list'.", show_default=False)]


@app.command("list")
def list_models(context: typer.Context) -> None:
    """List the known models and your own, with their licence and what they occupy."""
    from momentumseg.weights.cards import readable_size
    from momentumseg.weights.store import WeightsStore

    store = WeightsStore()
    stored = store.list()
    table = Table("Model", "Kind", "Licence", "On this computer", box=None, pad_edge=False)
    for model in stored:
        entry = model.entry
        here = readable_size(model.size_bytes) if model.path else f"no ({entry.source.kind if entry else 'own'})"
        kind, licence = _kind_and_licence(model)
        table.add_row(model.name, kind if entry else f"{kind}, own file".removeprefix("own, "), licence, here)
    payload = {
        "folder": str(store.folder),
        "size_bytes": store.size_bytes(),
        "models": [_as_mapping(model) for model in stored],
    }
    output_of(context).result(payload, table)
    if not output_of(context).json:
        output_of(context).note(f"Weights folder: {store.folder} ({readable_size(store.size_bytes())})")


@app.command("show")
def show(context: typer.Context, name: Name) -> None:
    """Show one model: card, source, file and checksum."""
    from momentumseg.weights.cards import render_text
    from momentumseg.weights.catalogue import entry_of
    from momentumseg.weights.store import WeightsStore

    store = WeightsStore()
    own = next((model for model in store.list() if model.name == name and model.entry is None), None)
    if own is not None:
        output_of(context).result(_as_mapping(own), f"Your own file {own.path}")
        return
    entry = entry_of(name, store.catalogue)
    stored = next(model for model in store.list() if model.name == name)
    where = f"File: {stored.path}" if stored.path else f"Not on this computer: {entry.how_to_get()}"
    card = render_text(entry.card, entry.size_bytes, entry.sha256)
    output_of(context).result({**_as_mapping(stored), "card": entry.card.to_mapping()}, f"{card}\n{where}")


@app.command("card")
def card(context: typer.Context, name: Name) -> None:
    """Print the model card as Markdown."""
    from momentumseg.weights.cards import render_markdown
    from momentumseg.weights.catalogue import entry_of

    entry = entry_of(name)
    words = render_markdown(entry.card, entry.size_bytes, entry.sha256)
    output_of(context).result(entry.card.to_mapping(), words)


@app.command("download")
def download(context: typer.Context, name: Name) -> None:
    """Fetch a model now, check it and keep it in the weights folder."""
    from momentumseg.weights.store import WeightsStore

    output = output_of(context)
    with output.progress() as step:
        path = WeightsStore().download(name, step(f"Downloading {name}"))
    output.result({"name": name, "path": str(path)}, f"{name} is here: {path}")


@app.command("import")
def import_file(
    context: typer.Context,
    name: Name,
    file: Annotated[Path, typer.Argument(help="Weights file, or the wheel that holds it.", show_default=False)],
) -> None:
    """Bring a file from disk: weights of the list, for a computer without network, or your own under a new name."""
    from momentumseg.weights.store import WeightsStore

    path = WeightsStore().import_file(name, file)
    output_of(context).result({"name": name, "path": str(path)}, f"{name} is here: {path}")


@app.command("delete")
def delete(context: typer.Context, name: Name) -> None:
    """Remove a model's file from the weights folder."""
    from momentumseg.weights.cards import readable_size
    from momentumseg.weights.store import WeightsStore

    freed = WeightsStore().delete(name)
    words = f"{name} deleted: {readable_size(freed)} freed" if freed else f"{name} was not on this computer"
    output_of(context).result({"name": name, "freed_bytes": freed}, words)


def _as_mapping(model: StoredModel) -> dict[str, Any]:
    entry = model.entry
    kind, licence = _kind_and_licence(model)
    return {
        "name": model.name,
        "kind": kind,
        "licence": licence,
        "source": entry.source.kind if entry else "own",
        "path": str(model.path) if model.path else None,
        "size_bytes": model.size_bytes,
        "sha256": entry.sha256 if entry else "",
    }


def _kind_and_licence(model: StoredModel) -> tuple[str, str]:
    """Of the catalogue, or of what a file of our own trainer says; "own" for other files that the user brought."""
    if model.entry is not None:
        return model.entry.kind, model.entry.licence
    from momentumseg.weights.model_files import model_inside

    inside = model_inside(model.path) if model.path else None
    return ("own", "") if inside is None else (inside[0], inside[1].licence)
