"""The card of a model as rich text: licence, training data, figures, limits."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from MomentumSegLib.translation import tr as _


def readable_size(size_bytes: int) -> str:
    """Return a file's size in decimal units, as file managers show it: ``2030468 -> '2.0 MB'``."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def state_sentence(model: Mapping[str, Any]) -> str:
    """Return one line on what the user needs before Apply: ready, to be downloaded, to be imported; licence, size."""
    licence, size = str(model.get("licence") or _("licence unknown")), readable_size(int(model.get("size_bytes") or 0))
    facts = {"licence": licence, "size": size}
    state = model.get("state")
    if state == "ready":
        return _("Ready. {licence}, {size}.").format(**facts)
    if state == "download":
        return _("Needs a download of {size}. {licence}.").format(**facts)
    if state == "import":
        return _("Needs a file that you have to get yourself ({size}). {licence}.").format(**facts)
    return _("Cannot be used: its file is missing. {licence}.").format(**facts)


def card_html(model: Mapping[str, Any]) -> str:
    """Return the whole card as a table in rich text."""
    rows = [
        (_("For"), str(model.get("description") or "")),
        (_("Licence"), str(model.get("licence") or "")),
        (_("Notice"), str(model.get("notice") or "")),
        (_("Trained on"), str(model.get("training_data") or "")),
        (_("Measured"), _metrics(model.get("metrics") or {})),
        (_("Limits"), str(model.get("limits") or "")),
        (_("How to get it"), "" if model.get("state") == "ready" else str(model.get("how_to_get") or "")),
    ]
    lines = [
        f'<tr><td style="padding-right: 8px"><b>{html.escape(label)}</b></td><td>{html.escape(text)}</td></tr>'
        for label, text in rows
        if text
    ]
    return "<table>" + "".join(lines) + "</table>"


def _metrics(metrics: Mapping[str, Any]) -> str:
    return "; ".join(f"{name}: {value}" for name, value in metrics.items())
