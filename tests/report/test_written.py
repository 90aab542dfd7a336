"""A report is written into a folder in which another process may be at work."""

import json
import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from job.commands import report
from job.files import checksum
from job.files.lock import WriterLock


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run, as far as a report is written for it: its page says how many seeds it has."""

    def read(path: Path, but: str) -> Any:
        seeds = json.loads((path / "run.json").read_text())["seeds"]

        def changed(files: Any) -> Any:
            told = json.dumps({"seeds": seeds, "files": files}).encode()
            return SimpleNamespace(fingerprint="", to_json=lambda: told)

        record = SimpleNamespace(files={}, but=changed)
        return SimpleNamespace(seeds=seeds, record=record, record_hash=checksum.of_file(path / "run.json"))

    monkeypatch.setattr(report, "FinishedRun", SimpleNamespace(read=read))
    monkeypatch.setattr(report, "page", SimpleNamespace(render=lambda run: str(run.seeds).encode()))
    (tmp_path / "metrics.json").touch()
    (tmp_path / "run.json").write_text('{"seeds": 1, "files": {}}')
    return tmp_path


def test_what_a_kill_left_is_removed(folder: Path) -> None:
    (folder / ".report.html.12345678.tmp").touch()
    report.write([folder])
    assert sorted(os.listdir(folder)) == ["metrics.json", "report.html", "run.json"]


def test_seeds_that_were_added_while_it_waited_are_in_it_and_stay(folder: Path) -> None:
    training = WriterLock(folder)
    training.__enter__()

    def add() -> None:
        (folder / "run.json").write_text('{"seeds": 2, "files": {}}')
        training.__exit__(None, None, None)

    threading.Timer(0.5, add).start()
    report.write([folder])
    assert (folder / "report.html").read_text() == "2"
    assert json.loads((folder / "run.json").read_text())["seeds"] == 2
