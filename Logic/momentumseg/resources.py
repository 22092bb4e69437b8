"""Find the data files that travel with MomentumSeg: the model catalogue, shipped weights, recipes' images.

The same files lie in three places: ``Resources/`` at the root of a source checkout, the package
``momentumseg_resources`` of a pip installation, and ``Resources/`` inside this package in an installed extension.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

from momentumseg.errors import MomentumSegError

RESOURCES_PACKAGE = "momentumseg_resources"
_LANDMARK = "catalogue.toml"  # tells our Resources folder from those of other modules


def resource_path(*parts: str) -> Path:
    """Return the path of a data file or folder below the resources folder; it need not exist.

    Raises:
        MomentumSegError: no resources folder was found at all (an incomplete installation).
    """
    return resources_folder().joinpath(*parts)


def resources_folder() -> Path:
    """Return the folder that holds ``catalogue.toml``: ``MOMENTUMSEG_RESOURCES``, checkout, then installed package.

    Raises:
        MomentumSegError: none of these places has it.
    """
    tried = []
    for folder in _candidates():
        if (folder / _LANDMARK).is_file():
            return folder
        tried.append(str(folder))
    raise MomentumSegError(
        f"The data files of MomentumSeg were not found ({_LANDMARK} is in none of: {', '.join(tried)}); "
        "install MomentumSeg again or set MOMENTUMSEG_RESOURCES to the Resources folder."
    )


def _candidates() -> Iterator[Path]:
    override = os.environ.get("MOMENTUMSEG_RESOURCES")
    if override:
        yield Path(override).expanduser()
    for parent in Path(__file__).resolve().parents:
        yield parent / "Resources"
    specification = importlib.util.find_spec(RESOURCES_PACKAGE)
    if specification is not None:
        for location in specification.submodule_search_locations or ():
            yield Path(location)
