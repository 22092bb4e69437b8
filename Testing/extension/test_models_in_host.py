"""The buttons of the model's card in the stand-alone window: download (from this computer), import, delete."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from module_in_host import IJK_TO_RAS, Module, a_body, add_volume

WORKER = Path(__file__).with_name("models_worker.py")
SHIPPED = Path(__file__).parents[2] / "Resources" / "Weights" / "lmsnet-general.safetensors"

_ENTRY = """
[models.{name}]
title = "{title}"
kind = "few-shot"
file = "{name}.safetensors"
size_bytes = {size}
sha256 = "{sha256}"
source = {source}
card = {{ description = "Of the test.", licence = "{licence}", training_data = "Nothing." }}
"""


@dataclass
class Shelf:
    """Where the test's models come from and go to."""

    store: Path
    model: Path
    asked: list[str] = field(default_factory=list)
    may_answer: threading.Event = field(default_factory=threading.Event)

    def files(self) -> list[str]:
        return sorted(path.name for path in self.store.iterdir()) if self.store.is_dir() else []


@pytest.fixture(scope="module")
def a_shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """A server with one model, a catalogue that names it, and the application's worker with that catalogue."""
    from MomentumSegLib import worker_session
    from MomentumSegLib.worker_launch import WorkerLaunch, own_python

    folder = tmp_path_factory.mktemp("models")
    shelf = Shelf(folder / "home" / "weights", folder / "my model.safetensors")
    shutil.copyfile(SHIPPED, shelf.model)
    data = shelf.model.read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shelf.asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
            shelf.may_answer.wait(60)
            try:
                self.wfile.write(data[len(data) // 2 :])
            except OSError:  # cancelled
                return

        def log_message(self, *arguments: Any) -> None:
            """Tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}/model"
    facts = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    url, user = f'{{ kind = "url", url = "{address}" }}', '{ kind = "user", where = "your colleague" }'
    entries = (
        _ENTRY.format(name="lmsnet-general", title="Far model", source=url, licence="CC0", **facts),
        _ENTRY.format(name="bound", title="Bound model", source=url, licence="CC BY-NC 4.0", **facts),
        _ENTRY.format(name="mine", title="My model", source=user, licence="CC0", **facts),
    )
    catalogue = folder / "catalogue.toml"
    catalogue.write_text("".join(entries))
    environment = {**os.environ, "MOMENTUMSEG_HOME": str(folder / "home"), "TEST_CATALOGUE": str(catalogue)}
    environment = {name: value for name, value in environment.items() if "proxy" not in name.lower()}
    patch = pytest.MonkeyPatch()
    command = (own_python(), str(WORKER))
    patch.setattr(worker_session, "launch_of", lambda settings: WorkerLaunch(command, environment))
    worker_session.stop_shared_client()
    yield shelf
    worker_session.stop_shared_client()
    patch.undo()
    server.shutdown()
    server.server_close()


class Models(Module):
    """The module with the card of the model open."""

    def choose_model(self, title: str) -> None:
        combo = self.ui.modelComboBox
        self.until(lambda: combo.findText(title) >= 0)
        combo.setCurrentIndex(combo.findText(title))
        combo.activated.emit(combo.currentIndex)
        self.rest()

    def shown(self) -> list[str]:
        """Texts of the buttons that can be clicked."""
        buttons = (self.ui.downloadModelButton, self.ui.importModelButton, self.ui.deleteModelButton)
        return [button.text.replace("&", "") for button in buttons if button.isVisible()]

    @property
    def state(self) -> str:
        return self.ui.modelStateLabel.text


@pytest.fixture
def a_module(a_window: Any, a_shelf: Shelf, the_module: Module) -> Iterator[Models]:
    module = Models(the_module.host)
    module.messages = the_module.messages
    shutil.rmtree(a_shelf.store, ignore_errors=True)
    a_shelf.asked.clear()
    a_shelf.may_answer.set()
    module.ui.methodCollapsibleButton.collapsed = False
    module.choose(add_volume(a_body(), IJK_TO_RAS, "scan"))
    module.panel._client.start()
    module.panel._model.list_again()
    module.panel.refresh()
    module.choose_model("Far model")
    module.ui.modelCardGroupBox.collapsed = False
    module.rest()
    yield module
    a_shelf.may_answer.set()
    module.panel._model.stop()
    module.ui.methodCollapsibleButton.collapsed = True


def test_download_makes_the_model_ready_and_delete_frees_its_space(a_module, a_shelf):
    assert a_module.state.startswith("Needs a download of 2.0 MB.")
    assert a_shelf.asked == []  # nothing is downloaded unasked
    assert a_module.status == "Download the model 'Far model' first (Method, About this model)."
    assert not a_module.ui.applyButton.enabled
    assert a_module.shown() == ["Download", "Import file..."]
    a_module.click(a_module.ui.downloadModelButton)
    a_module.until(lambda: a_module.state.startswith("Ready."))
    a_module.rest()
    assert a_shelf.files() == ["lmsnet-general.safetensors"]
    assert a_module.shown() == ["Delete file"]
    assert a_module.status.startswith("Nothing is drawn yet")

    a_module.click(a_module.ui.deleteModelButton)
    a_module.until(lambda: a_module.state.startswith("Needs a download"))
    a_module.rest()
    assert a_shelf.files() == []
    assert a_module.shown() == ["Download", "Import file..."]
    assert a_module.messages == []


def test_download_can_be_cancelled(a_module, a_shelf):
    a_shelf.may_answer.clear()
    a_module.click(a_module.ui.downloadModelButton)
    a_module.until(lambda: a_shelf.asked and a_module.state.startswith("Downloading"))
    assert a_module.shown() == ["Cancel download"]
    a_module.click(a_module.ui.downloadModelButton)
    a_shelf.may_answer.set()
    a_module.until(lambda: a_module.state.startswith("Needs a download"))
    assert a_shelf.files() == []
    assert a_module.shown() == ["Download", "Import file..."]
    assert a_module.messages == []


def test_import_takes_the_right_file_only(a_module, a_shelf, monkeypatch, tmp_path):
    import qt

    files = []
    monkeypatch.setattr(qt.QFileDialog, "getOpenFileName", lambda *arguments: str(files[-1]))
    a_module.choose_model("My model")
    assert a_module.status == "Import the file of the model 'My model' first (Method, About this model)."
    assert a_module.shown() == ["Import file..."]
    files.append("")
    a_module.click(a_module.ui.importModelButton)  # the user closed the dialog
    wrong = tmp_path / "another file.safetensors"
    wrong.write_bytes(a_shelf.model.read_bytes()[:-1] + b"!")
    files.append(wrong)
    a_module.click(a_module.ui.importModelButton)
    a_module.until(lambda: "is not mine" in a_module.state)
    assert "get the file again from your colleague" in a_module.status
    assert a_shelf.files() == []

    files.append(a_shelf.model)
    a_module.click(a_module.ui.importModelButton)
    a_module.until(lambda: a_module.state.startswith("Ready."))
    a_module.rest()
    assert a_shelf.files() == ["mine.safetensors"]
    assert a_module.shown() == ["Delete file"]
    a_module.click(a_module.ui.deleteModelButton)
    a_module.until(lambda: a_module.state.startswith("Needs a file"))
    assert a_shelf.model.is_file()  # only the copy is deleted


def test_a_licence_that_binds_needs_the_users_yes(a_module, a_shelf, monkeypatch):
    import slicer

    asked, answers = [], [False, True]
    a_module.choose_model("Bound model")
    monkeypatch.setattr(
        slicer.util, "confirmOkCancelDisplay", lambda text, **options: asked.append(text) or answers.pop(0)
    )
    a_module.click(a_module.ui.downloadModelButton)
    a_module.rest()
    assert asked == ["These weights are not for commercial use."]
    assert a_shelf.asked == []
    a_module.click(a_module.ui.downloadModelButton)
    a_module.until(lambda: a_module.state.startswith("Ready."))
    assert len(asked) == 2
    assert a_shelf.files() == ["bound.safetensors"]
