"""Data that come through a pipe: read once, kept as a file by their content."""

import errno
import gzip
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from job.data import pipes
from job.data.corpus import load
from job.data.originals import find
from job.errors import JobError
from job.files import atomic
from tests.conftest import ROOT, rows, table
from tests.data.samples import as_jsonl, as_parquet, as_tar, source


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folders: list[tempfile.TemporaryDirectory[str]] = []
    monkeypatch.setattr(pipes, "_kept", {})
    monkeypatch.setattr(pipes, "_folders", folders)
    yield
    for folder in folders:
        folder.cleanup()


def piped(path: Path, content: bytes) -> Path:
    """A named pipe into which this will be written once."""
    os.mkfifo(path)
    threading.Thread(target=path.write_bytes, args=(content,), daemon=True).start()
    return path


@pytest.mark.parametrize(
    ("content", "ending"),
    [
        (table(rows()), ".csv"),
        (b"\xef\xbb\xbf" + table(rows()), ".csv"),
        (as_jsonl(rows()), ".jsonl"),
        (b" [" + b",".join(as_jsonl(rows()).split(b"\n")[:-1]) + b"]", ".json"),
        (as_parquet(rows()), ".parquet"),
        (gzip.compress(table(rows()), mtime=0), ".csv.gz"),
        (gzip.compress(as_jsonl(rows()), mtime=0), ".jsonl.gz"),
        (as_tar(rows()), ".tar.gz"),
        (b"".join(b"__label__%s %s\n" % (label.encode(), text.encode()) for text, label in rows()), ".txt"),
    ],
)
def test_what_comes_through_a_pipe_is_known_by_its_content(content: bytes, ending: str, tmp_path: Path) -> None:
    corpus = load(source(piped(tmp_path / "pipe", content), tmp_path / "cache"))
    assert corpus.reading.rows == 40
    assert [path.name.partition(".")[2] for path in (tmp_path / "cache" / "piped").iterdir()] == [ending[1:]]


def test_a_pipe_is_read_once_and_encoded_once(tmp_path: Path) -> None:
    first = load(source(piped(tmp_path / "pipe", table(rows())), tmp_path / "cache"))
    again = load(source(tmp_path / "pipe", tmp_path / "cache"))
    assert again.sha256 == first.sha256
    assert find(source(tmp_path / "pipe", tmp_path / "cache"), {(2, int(first.hashes[1]))})
    pipes._kept.clear()
    (tmp_path / "pipe").unlink()
    # In a later run.
    load(source(piped(tmp_path / "pipe", table(rows())), tmp_path / "cache"))
    assert len(list((tmp_path / "cache" / "encoded").iterdir())) == len(list((tmp_path / "cache" / "piped").iterdir())) == 1


def test_the_name_of_a_pipe_may_say_what_comes_through_it(tmp_path: Path) -> None:
    content = table(rows(), separator="\t")
    assert load(source(piped(tmp_path / "pipe.tsv", content), tmp_path / "cache")).name.startswith("pipe-")


def test_without_a_cache_it_is_kept_for_this_run(tmp_path: Path) -> None:
    corpus = load(source(piped(tmp_path / "pipe", table(rows())), Path(os.devnull, "none")))
    assert corpus.reading.rows == 40


# Of these two, one is what a cache is refused by before anything is read.
@pytest.mark.parametrize(
    ("number", "said"), [(errno.ENOSPC, "writing failed"), (errno.EACCES, "cannot be written by")], ids=["full", "refused"]
)
def test_what_cannot_be_kept_is_not_taken_for_a_shorter_one(
    number: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(atomic, "flush", fail)
    with pytest.raises(JobError, match=f"cache/piped: {said}"):
        load(source(piped(tmp_path / "a.csv", table(rows())), tmp_path / "cache"))
    assert pipes._kept == {}


def test_what_comes_through_a_pipe_and_is_no_table_is_refused_like_a_file(tmp_path: Path) -> None:
    with pytest.raises(JobError) as caught:
        load(source(piped(tmp_path / "pipe", b""), tmp_path / "cache"))
    assert (caught.value.exit_code, "is empty; expected rows of named columns" in str(caught.value)) == (65, True)


def test_standard_input_is_read_by_the_command(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "job", "data", "inspect", "--data", "-", "--cache", str(tmp_path / "cache"), "--json"]
    done = subprocess.run(arguments, input=table(rows()), capture_output=True, cwd=ROOT)
    assert (done.returncode, b'"rows": 40' in done.stdout) == (0, True), done.stderr
