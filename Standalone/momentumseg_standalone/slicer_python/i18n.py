"""`slicer.i18n`: texts for the user. This application speaks one language, so a text is its own translation."""

from __future__ import annotations

import os

FILEPATH_TO_CONTEXT: dict[str, str] = {}


def tr(text: str) -> str:
    """Return the text in the user's language."""
    return text


def translate(context: str, text: str) -> str:
    """Return the text of a named context in the user's language."""
    return text


def getContext(sourceFile: str) -> str:  # noqa: N802, N803 - Slicer's names
    """Return the context that a source file's texts belong to: the file's name, or package.name in a library."""
    found = FILEPATH_TO_CONTEXT.get(sourceFile)
    if found is None:
        folder, file = os.path.split(sourceFile)
        name = os.path.splitext(file)[0]
        in_package = os.path.exists(os.path.join(folder, "__init__.py"))
        found = FILEPATH_TO_CONTEXT[sourceFile] = f"{os.path.basename(folder)}.{name}" if in_package else name
    return found
