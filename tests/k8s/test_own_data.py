"""The script of k8s/components/own-data, run for real: on a loopback server and on folders."""

import hashlib
import http.server
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

SCRIPT = ROOT / "k8s" / "components" / "own-data" / "own_data.py"
CONTENT = b"text,label\ngood,1\nbad,0\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Answers /reviews.csv; /cut ends early, /slow never ends, /NUMBER is that status."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.sent_some, self.over = threading.Event(), threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        name = self.path[1:].partition("?")[0]
        if name.isdigit():
            self.send_error(int(name))
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT if name == "reviews.csv" else CONTENT[:5])
        self.wfile.flush()
        self.server.sent_some.set()
        if name == "slow":
            self.server.over.wait(60)

    def log_message(self, *_: object) -> None:
        """A test's output is its own."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield running
        running.over.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache" / "reviews.csv"


def start(source: str | Path, target: Path, sha256: str = SHA256) -> "subprocess.Popen[str]":
    # Behind a proxy of the environment there is no loopback.
    mine = {"OWN_DATA_FROM": str(source), "OWN_DATA_SHA256": sha256, "JOB_DATA": str(target), "NO_PROXY": "127.0.0.1"}
    return subprocess.Popen(
        [sys.executable, SCRIPT],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | mine,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(source: str | Path, target: Path, sha256: str = SHA256) -> tuple[int, str]:
    """Exit code and what was said; an error is one line."""
    process = start(source, target, sha256)
    said, error = process.communicate(timeout=60)
    assert len(error.splitlines()) == (process.returncode != 0), error
    return process.returncode, said + error


def left(target: Path) -> list[str]:
    return sorted(str(path.relative_to(target.parent)) for path in target.parent.rglob("*") if path.is_file())


def test_a_file_is_fetched_once(server: Server, target: Path) -> None:
    code, said = run(f"{server.url}/reviews.csv?signature=secret", target, SHA256.upper())
    assert (code, target.read_bytes(), left(target)) == (0, CONTENT, ["reviews.csv"]), said
    assert f"copied from {server.url}/reviews.csv" in said
    assert "secret" not in said
    code, said = run(f"{server.url}/reviews.csv", target)
    assert (code, "is there already" in said, len(server.asked)) == (0, True, 1)


def test_a_file_is_copied_from_a_claim_and_replaces_another_one(target: Path, tmp_path: Path) -> None:
    (tmp_path / "source.csv").write_bytes(CONTENT)
    target.write_text("of an earlier run")
    assert run(tmp_path / "source.csv", target)[0] == 0
    assert (target.read_bytes(), left(target)) == (CONTENT, ["reviews.csv"])


def test_pods_that_start_together_fetch_it_once(server: Server, target: Path) -> None:
    pods = [start(f"{server.url}/reviews.csv", target) for _ in range(3)]
    said = [pod.communicate(timeout=60) for pod in pods]
    assert [pod.returncode for pod in pods] == [0, 0, 0], said
    assert (server.asked, left(target)) == (["/reviews.csv"], ["reviews.csv"])


def test_another_file_is_65_and_not_used(server: Server, target: Path, tmp_path: Path) -> None:
    (tmp_path / "source.csv").write_bytes(CONTENT)
    for source in (f"{server.url}/reviews.csv", tmp_path / "source.csv"):
        code, said = run(source, target, "0" * 64)
        assert (code, left(target)) == (65, [])
        assert f"its SHA-256 is {SHA256}, expected {'0' * 64}" in said


@pytest.mark.parametrize(("status", "code"), [(404, 66), (403, 66), (429, 75), (503, 75)])
def test_what_the_server_refuses_is_missing_or_passes(server: Server, target: Path, status: int, code: int) -> None:
    found, said = run(f"{server.url}/{status}", target)
    assert (found, str(status) in said, left(target)) == (code, True, [])


def test_a_file_that_is_not_there_is_66(target: Path, tmp_path: Path) -> None:
    code, said = run(tmp_path / "none.csv", target)
    assert (code, "none.csv: cannot be read (No such file or directory)" in said, left(target)) == (66, True, [])


def test_a_download_that_is_cut_is_75_and_leaves_nothing(server: Server, target: Path) -> None:
    code, said = run(f"{server.url}/cut", target)
    assert (code, "could not be fetched" in said, left(target)) == (75, True, [])


def test_a_pod_that_is_stopped_in_mid_download_leaves_nothing(server: Server, target: Path) -> None:
    process = start(f"{server.url}/slow", target)
    assert server.sent_some.wait(60)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert (process.returncode, left(target)) == (143, [])


@pytest.mark.parametrize(
    ("source", "sha256", "name"),
    [("", SHA256, "a.csv"), ("s3://bucket/a.csv", SHA256, "a.csv"), ("/a.csv", "", "a.csv"), ("/a.csv", SHA256, "")],
)
def test_what_is_not_set_is_78(source: str, sha256: str, name: str, tmp_path: Path) -> None:
    code, said = run(source, tmp_path / name if name else Path(), sha256)
    assert (code, "set OWN_DATA_FROM" in said) == (78, True)
