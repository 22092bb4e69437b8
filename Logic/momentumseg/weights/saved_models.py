"""A trained model becomes one of the user's own: copied into the weights folder, with a card as the user wants it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file

from momentumseg.errors import OutputError, WeightsError
from momentumseg.weights.model_files import METADATA_KEY, model_inside, table_of
from momentumseg.weights.reading import parse_json, read_metadata, read_tensors
from momentumseg.weights.store import WeightsStore

_ORIGIN = "run"


def keep_model(source: Path, name: str, facts: Mapping[str, str], origin: str, store: WeightsStore) -> Path:
    """Copy a file of our trainer into the store under a name, and return the copy.

    Args:
        source: the file.
        name: in the store.
        facts: of the card: "name" (a title for people), "licence", "training_data"; empty ones keep what is there.
        origin: what it comes from, such as a run's folder: the same origin may replace its earlier copy.
        store: of the user.

    Raises:
        WeightsError: no such file, not one of our trainer, a name that cannot be used or that another model has.
        OutputError: the store cannot be written.
    """
    if not source.is_file():
        raise WeightsError(f"The model {source} does not exist; finish the training first.")
    _check_free(name, origin, store)
    metadata = read_metadata(source)
    if METADATA_KEY not in metadata:
        raise WeightsError(f"The file {source.name} was not written by MomentumSeg's trainer; import it instead.")
    description = parse_json(metadata[METADATA_KEY], source)
    card = _changed_card(table_of(description, "card", source), facts, origin)
    tensors = read_tensors(source)
    with TemporaryDirectory(prefix="momentumseg-") as folder:
        copy = Path(folder) / source.name
        try:
            save_file(tensors, copy, metadata={METADATA_KEY: json.dumps({**description, "card": card})})
            copy.chmod(0o644)  # the library writes files that only their owner can read
        except (OSError, SafetensorError) as error:
            raise OutputError(f"The model could not be copied ({error}); free some space.") from error
        return store.import_file(name, copy)


def _changed_card(card: dict[str, Any], facts: Mapping[str, str], origin: str) -> dict[str, Any]:
    given = {key: value for key, value in facts.items() if value}
    return {**card, **given, "extra": {**card.get("extra", {}), _ORIGIN: origin}}


def _check_free(name: str, origin: str, store: WeightsStore) -> None:
    """Raise `WeightsError` where a name belongs to a model of another origin."""
    for stored in store.list():
        if stored.name != name or stored.path is None:
            continue
        inside = model_inside(stored.path)
        if stored.entry is None and inside is not None and inside[1].extra.get(_ORIGIN) == origin:
            return
        raise WeightsError(f"There is a model called {name} already; choose another title, or delete that model first.")
