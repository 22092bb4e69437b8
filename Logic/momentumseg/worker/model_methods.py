"""Methods on models: what there is, with its card, and how it comes to this computer."""

from __future__ import annotations

from typing import Any

from momentumseg.weights.cards import ModelCard
from momentumseg.weights.catalogue import CatalogueEntry
from momentumseg.weights.model_files import PROMPTED, model_inside
from momentumseg.weights.prompt_decoders import missing_encoder
from momentumseg.weights.store import StoredModel, WeightsStore
from momentumseg.worker.registry import Call, Values, method

_STATES = {"shipped": "missing", "registry": "download", "url": "download", "user": "import"}
_NON_COMMERCIAL = "These weights are not for commercial use."


@method("list_models")
def list_models(call: Call) -> Values:
    """Models of one kind ("few-shot", "automatic", "sam"), or all; the user's own files of that kind are among them."""
    store, kind = WeightsStore(), call.parameters.get("kind")
    models = [_described(stored, store) for stored in store.list()]
    return {"models": [model for model in models if kind in (None, model["kind"])], "folder": str(store.folder)}


@method("download_model")
def download_model(call: Call) -> Values:
    """Fetch the model "name", check it and keep it in the weights folder."""
    name = call.text("name")
    path = WeightsStore().download(name, lambda done, total: _report(call, name, done, total))
    return {"path": str(path)}


@method("import_model")
def import_model(call: Call) -> Values:
    """Copy the file "path" of the worker's computer into the weights folder, as the model "name"."""
    return {"path": str(WeightsStore().import_file(call.text("name"), call.text("path")))}


@method("delete_model")
def delete_model(call: Call) -> Values:
    """Remove the file of the model "name" from the weights folder."""
    return {"freed_bytes": WeightsStore().delete(call.text("name"))}


def _report(call: Call, name: str, done: int, total: int) -> None:
    call.check()
    call.progress(done / total if total else 0.0, f"Downloading {name}")


def _described(stored: StoredModel, store: WeightsStore) -> dict[str, Any]:
    entry = stored.entry
    return _own(stored, store) if entry is None else _of_catalogue(stored, entry)


def _of_catalogue(stored: StoredModel, entry: CatalogueEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "title": entry.title,
        "kind": entry.kind,
        "size_bytes": stored.size_bytes or entry.size_bytes,
        "state": "ready" if stored.path else _STATES[entry.source.kind],
        "how_to_get": "" if stored.path else entry.how_to_get(),
        "deletable": stored.path is not None and entry.source.kind != "shipped",
        **_card_facts(entry.card),
    }


def _own(stored: StoredModel, store: WeightsStore) -> dict[str, Any]:
    """A file that the user brought or trained; our trainer's files say what they are."""
    inside = None if stored.path is None else model_inside(stored.path)
    kind, card = inside or ("own", ModelCard(stored.name))
    lack = missing_encoder(stored.path, store) if stored.path is not None and kind == PROMPTED else ""
    return {
        "name": stored.name,
        "title": card.name,
        "kind": kind,
        "size_bytes": stored.size_bytes,
        "state": "missing" if lack else "ready",
        "how_to_get": lack,
        "deletable": True,
        **_card_facts(card),
    }


def _card_facts(card: ModelCard) -> dict[str, Any]:
    return {
        "description": card.description,
        "licence": card.licence,
        "training_data": card.training_data,
        "limits": card.limits,
        "metrics": dict(card.metrics),
        "notice": str(card.extra.get("notice", "")) or _notice(card.licence),
    }


def _notice(licence: str) -> str:
    words = licence.lower()
    return _NON_COMMERCIAL if "-nc" in words or "non-commercial" in words or "noncommercial" in words else ""
