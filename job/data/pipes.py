"""What comes through a pipe, kept as a file: it can be read once, and its reviews are read by several readings of a run."""

import hashlib
import os
import re
import stat
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import IO

from job.data.cache import staging_folder
from job.data.packed import unpacked
from job.data.sheet import kind, reading
from job.errors import OutputError
from job.files import atomic
from job.source import DataSource

STANDARD_INPUT = ("-", "/dev/stdin")
_CHUNK = 1 << 20
_START = 4096
# What the content begins with, packed or not, after a byte-order mark and spaces.
_PACKED = ((b"\x1f\x8b", ".gz"), (b"\x28\xb5\x2f\xfd", ".zst"))
_KINDS = (
    (rb"PAR1", ".parquet"),
    (rb"[\xef\xbb\xbf\s]*\{", ".jsonl"),
    (rb"[\xef\xbb\xbf\s]*\[", ".json"),
    (rb"__label__", ".txt"),
)
_TAR = (257, b"ustar")

# By what the user named: a pipe that was read is empty.
_kept: dict[str, Path] = {}
# Where no cache is; removed when this process ends.
_folders: list["tempfile.TemporaryDirectory[str]"] = []


def kept(source: DataSource) -> DataSource:
    """The same source with files instead of pipes: standard input, or a named pipe.

    Raises:
        InputOutputError: Reading or writing failed midway.
    """
    found = {
        name: str(as_file(value, source.cache))
        for name in ("name", "test", "validation", "unlabelled")
        if (value := getattr(source, name)) and is_pipe(value)
    }
    return replace(source, **found) if found else source  # type: ignore[arg-type]


def is_pipe(name: str) -> bool:
    """Whether what the user named can be read once."""
    try:
        return name in STANDARD_INPUT or stat.S_ISFIFO(os.stat(name).st_mode)
    except (OSError, ValueError):
        return False


def as_file(name: str, cache: Path | None) -> Path:
    """The file with what came through a pipe: in the cache, named by its content, or a temporary one. A pipe is read once.

    Args:
        cache: None for none.

    Raises:
        InputOutputError: Reading or writing failed midway.
    """
    if name not in _kept:
        # In the order of asking; standard input is no file that could be closed.
        with reading(Path(name)), open(0 if name in STANDARD_INPUT else name, "rb", closefd=name not in STANDARD_INPUT) as pipe:
            try:
                if cache is None:
                    raise OutputError("no cache")
                with staging_folder(cache, "piped") as staging:
                    _kept[name] = _keep(pipe, name, staging, cache / "piped")
            except OutputError:
                _folders.append(tempfile.TemporaryDirectory(prefix="sentiment-job-"))
                folder = Path(_folders[-1].name)
                _kept[name] = _keep(pipe, name, folder, folder / "piped")
    return _kept[name]


def _keep(pipe: IO[bytes], name: str, staging: Path, folder: Path) -> Path:
    digest, whole = hashlib.sha256(), staging / "whole"
    with whole.open("wb") as stream:
        while block := pipe.read(_CHUNK):
            digest.update(block)
            stream.write(block)
    atomic.flush(whole)
    folder.mkdir(parents=True, exist_ok=True)
    called = "standard-input" if name in STANDARD_INPUT else Path(name).stem
    target = folder / f"{called}-{digest.hexdigest()[:12]}{_ending(Path(name), whole)}"
    os.replace(whole, target)
    return target


def _ending(named: Path, content: Path) -> str:
    """The ending of a file's name by which its content is read: the pipe's own, else what the content looks like."""
    if kind(named) is not None:
        return "".join(named.suffixes[-2:] if named.suffix.lower() in (".gz", ".zst") else named.suffixes[-1:])
    with content.open("rb") as stream:
        start = stream.read(_START)
    packing = next((ending for sign, ending in _PACKED if start.startswith(sign)), "")
    if packing:
        beside = content.with_name(f"packed{packing}")
        os.link(content, beside)
        with unpacked(beside) as stream:
            start = stream.read(_START)
        beside.unlink()
    place, sign = _TAR
    if packing and start[place:].startswith(sign):
        return f".tar{packing}"
    return next((ending for sign, ending in _KINDS if re.match(sign, start)), ".csv") + packing
