"""A process that does a thing many times holds no more afterwards than it did after the first times."""

import contextlib
import gc
import os
import threading
from pathlib import Path

import pytest

import job
from job.commands import merge
from job.errors import JobError
from tests.output.samples import write_run


def held() -> set[tuple[str, str]]:
    """Open file descriptors with what each leads to, and Python's threads. What earlier tests left to be collected may go at
    any time: what counts is what has come."""
    gc.collect()
    found = {("thread", str(thread.ident)) for thread in threading.enumerate()}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the descriptor that listed them
            found.add((name, os.readlink(f"/proc/self/fd/{name}")))
    return found


def test_shards_that_were_read_are_not_held_open(tmp_path: Path) -> None:
    for index in range(4):
        write_run(tmp_path / "run" / "shards" / f"{index}-of-4", (index, 4), index, 4)
    merge._complete([tmp_path / "run"], 0)
    before = held()
    for _ in range(3):
        assert len(merge._complete([tmp_path / "run"], 0)) == 4
    assert held() <= before


def test_runs_that_were_asked_from_python_leave_no_pipe_and_no_thread(tmp_path: Path) -> None:
    run, before = write_run(tmp_path / "run"), held()
    for _ in range(2):
        (answer,) = job.predict(run, ["good film"], architecture="baseline")
        assert answer.label == "positive"
        with pytest.raises(JobError):
            job.predict(tmp_path / "none", ["good film"])
    assert held() <= before
