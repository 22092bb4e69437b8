"""Texts for the user in the user's language, also where the scene's libraries run without the application."""

from __future__ import annotations

try:
    from slicer.i18n import tr
except ImportError:  # slicer-core alone: scripts and tests without a window

    def tr(text: str) -> str:
        return text


__all__ = ["tr"]
