"""Read tensors from a weights file without running anything that the file contains."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from momentumseg.errors import WeightsError

_ZIP_SIGNATURE = b"PK\x03\x04"
_WRAPPERS = ("model", "state_dict", "model_state_dict")  # training checkpoints keep the tensors one or two levels down
_WRAPPER_LEVELS = 3  # a bound, because a damaged file may wrap itself


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the named tensors of a ``.safetensors``, ``.pth`` or ``.pt`` file, on the CPU.

    The content decides, not the name. Torch files are read by the restricted unpickler only, so a file
    that would run code is refused before anything in it runs.

    Raises:
        WeightsError: missing, truncated, unsafe or foreign file.
    """
    if not path.is_file():
        raise WeightsError(f"The weights file {path} does not exist; check the path.")
    if _is_safetensors(path):
        return _read_safetensors(path)
    return _named_tensors(_read_torch(path), path)


def read_metadata(path: Path) -> dict[str, str]:
    """Return the text metadata of a safetensors file; empty when it has none or is a file of another kind.

    Raises:
        WeightsError: missing, truncated or damaged file.
    """
    if not path.is_file():
        raise WeightsError(f"The weights file {path} does not exist; check the path.")
    if not _is_safetensors(path):
        return {}
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise WeightsError(_damaged(path, error)) from error


def _is_safetensors(path: Path) -> bool:
    """A safetensors file starts with the length of its JSON header (8 bytes) and the header's brace."""
    with path.open("rb") as file:
        start = file.read(9)
    return path.suffix == ".safetensors" or (len(start) == 9 and start[8:] == b"{")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise WeightsError(_damaged(path, error)) from error


def _read_torch(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(_unpickling_sentence(path)) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError, UnicodeDecodeError) as error:
        raise WeightsError(_damaged(path, error)) from error


def _unpickling_sentence(path: Path) -> str:
    """Say whether a refused pickle is a torch file that would run code or no weights file at all."""
    with path.open("rb") as file:
        start = file.read(4)
    if start == _ZIP_SIGNATURE or start[:1] == b"\x80":
        return (
            f"The file {path.name} was refused because it holds Python objects that could run code, not only "
            "numbers; use a safetensors file or a plain state dict from a source that you trust."
        )
    return f"The file {path.name} is not a weights file (neither safetensors nor torch); choose another file."


def _named_tensors(content: object, path: Path) -> dict[str, Tensor]:
    for _ in range(_WRAPPER_LEVELS):
        content = _unwrapped(content)
    if not isinstance(content, Mapping):
        raise WeightsError(
            f"The file {path.name} holds a {type(content).__name__} instead of named tensors; choose a state dict."
        )
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise WeightsError(f"The file {path.name} holds no tensors; choose another file.")
    return tensors


def _unwrapped(content: object) -> object:
    if isinstance(content, Mapping):
        return next((content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping)), content)
    return content


def _damaged(path: Path, error: Exception) -> str:
    size = path.stat().st_size
    reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
    return (
        f"The weights file {path.name} ({size:,} bytes) is truncated, damaged or no weights file ({reason}); "
        "get it again."
    )


def parse_json(text: str, path: Path) -> dict[str, object]:
    """Return a JSON object found in a file's metadata.

    Raises:
        WeightsError: not JSON, or not an object.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise WeightsError(f"The description inside {path.name} is damaged ({error}); get the file again.") from error
    if not isinstance(value, dict):
        raise WeightsError(f"The description inside {path.name} is not a JSON object; get the file again.")
    return value
