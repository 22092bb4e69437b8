from __future__ import annotations

from pathlib import Path

import pytest

from momentumseg import resources
from momentumseg.errors import MomentumSegError


def test_resources_of_the_checkout_are_found() -> None:
    assert resources.resource_path("catalogue.toml").is_file()
    assert resources.resource_path("Weights", "a.safetensors").parts[-2:] == ("Weights", "a.safetensors")


def test_folder_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "catalogue.toml").touch()
    monkeypatch.setenv("MOMENTUMSEG_RESOURCES", str(tmp_path))
    assert resources.resource_path("icon.png") == tmp_path / "icon.png"


def test_installed_package_is_found_without_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site" / resources.RESOURCES_PACKAGE
    package.mkdir(parents=True)
    (package / "catalogue.toml").touch()
    monkeypatch.delenv("MOMENTUMSEG_RESOURCES", raising=False)
    monkeypatch.setattr(resources, "__file__", str(tmp_path / "site" / "momentumseg" / "resources.py"))
    monkeypatch.syspath_prepend(str(package.parent))
    assert resources.resources_folder() == package


def test_incomplete_installation_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MOMENTUMSEG_RESOURCES", raising=False)
    monkeypatch.setattr(resources, "__file__", str(tmp_path / "momentumseg" / "resources.py"))
    monkeypatch.setattr(resources, "RESOURCES_PACKAGE", "no_such_package_here")
    with pytest.raises(MomentumSegError, match="install MomentumSeg again or set MOMENTUMSEG_RESOURCES"):
        resources.resource_path("catalogue.toml")
