"""Settings outlive the application; nonsense in the file never stops it."""

from __future__ import annotations

from pathlib import Path

import pytest

from momentumseg.weights.store import WeightsStore
from MomentumSegLib.settings import Settings, load_settings, save_settings


@pytest.fixture
def a_store(an_application, tmp_path: Path):
    return an_application.userSettings()


def test_settings_come_back_from_the_file(a_store, tmp_path: Path) -> None:
    import qt

    settings = Settings("/opt/p\u00fdthon", "user@gpu", "~/env/bin/python", str(tmp_path / "d\u00e4ta"), 2048)
    save_settings(settings, a_store)
    a_store.sync()
    again = qt.QSettings(str(tmp_path / "settings.ini"), qt.QSettings.IniFormat)
    assert load_settings(again) == settings
    assert sorted(again.allKeys())[0].startswith("MomentumSeg/")


def test_defaults_are_not_stored(a_store) -> None:
    save_settings(Settings(ssh_host="gpu"), a_store)
    save_settings(Settings(), a_store)
    assert list(a_store.allKeys()) == []


@pytest.mark.parametrize(
    ("written", "read"), [("512", 512), ("-3", 0), ("much", 0), ("", 0), ("7", 128), ("9" * 9, 65536)]
)
def test_cache_budget_is_a_number_in_bounds(a_store, written: str, read: int) -> None:
    a_store.setValue("MomentumSeg/cache_megabytes", written)
    assert load_settings(a_store).cache_megabytes == read


def test_weights_lie_where_the_engine_looks_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The panel shows and empties the same folder that the worker fills."""
    monkeypatch.delenv("MOMENTUMSEG_HOME", raising=False)
    assert Settings().weights_folder == WeightsStore().folder
    chosen = Settings(data_folder=str(tmp_path / "elsewhere"))
    for name, value in chosen.worker_environment().items():
        monkeypatch.setenv(name, value)
    assert chosen.weights_folder == WeightsStore().folder == tmp_path / "elsewhere" / "weights"
