"""Fetching into the cache, from a server on loopback."""

import hashlib
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from job.data import cache
from job.errors import InputOutputError, TemporaryError

CONTENT = bytes(range(256)) * 10_000
KNOWN = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Answers `/whole` with the content, `/cut` with half of it, and anything else with 404."""

    def do_GET(self) -> None:
        if self.path not in ("/whole", "/cut"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT if self.path == "/whole" else CONTENT[: len(CONTENT) // 2])

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as address:
        yield address


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


def test_a_file_is_fetched_and_only_our_log_tells_of_it(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    cache.fetch(f"{url}/whole", tmp_path / "file", KNOWN, "do without")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert files(tmp_path) == ["file"]
    assert [record.message for record in caplog.records if record.name.startswith(("job", "pooch"))] == [
        f"fetching {url}/whole"
    ]
    assert capfd.readouterr() == ("", "")


def test_what_another_process_has_fetched_meanwhile_is_taken(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"there")
    cache.fetch("http://127.0.0.1:9/whole", tmp_path / "file", KNOWN, "do without")
    assert (tmp_path / "file").read_bytes() == b"there"


def test_on_a_terminal_a_bar_is_shown(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    cache.fetch(f"{url}/whole", tmp_path / "file", KNOWN, "do without")
    shown = capsys.readouterr().err
    assert "file" in shown
    assert "2.6/2.6 MB" in shown


def test_another_checksum_is_75_and_nothing_is_left(url: str, tmp_path: Path) -> None:
    known, found = "md5:" + "0" * 32, hashlib.md5(CONTENT).hexdigest()
    with pytest.raises(TemporaryError) as caught:
        cache.fetch(f"{url}/whole", tmp_path / "file", known, "do without")
    message = str(caught.value)
    assert message.startswith(f"{url}/whole: a broken download, or not the file: MD5 hash ")
    assert known in message
    assert found in message
    assert message.endswith("; do without")
    assert files(tmp_path) == []


@pytest.mark.parametrize(("path", "reason"), [("missing", "HTTPError 404"), ("cut", "ChunkedEncodingError")])
def test_a_failure_of_the_network_is_75_and_nothing_is_left(path: str, reason: str, url: str, tmp_path: Path) -> None:
    with pytest.raises(TemporaryError) as caught:
        cache.fetch(f"{url}/{path}", tmp_path / "file", KNOWN, "do without")
    assert str(caught.value) == f"file could not be fetched from {url}/{path} ({reason}); do without"
    assert files(tmp_path) == []


def test_a_disk_that_is_full_is_74(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("job.files.atomic.flush", full)
    with pytest.raises(InputOutputError, match=r"file: writing failed \(No space left on device\); free some space"):
        cache.fetch(f"{url}/whole", tmp_path / "file", KNOWN, "do without")
    assert files(tmp_path) == []
