"""What comes through a pipe, kept as a file: it can be read once, and its reviews are read by several readings of a run."""

import hashlib
import os
import re
import stat
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO

from job.data.cache import staging_folder
from job.data.packed import unpacked
from job.data.sheet import kind, reading
from job.errors import InputOutputError, OutputError
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
        InputOutputError: Reading or writing failed midway; the pipe's content is then lost, and not taken for a shorter one.
    """
    if name not in _kept:
        # In the order of asking; standard input is no file that could be closed.
        is_standard = name in STANDARD_INPUT
        with ExitStack() as stack:
            staging, folder = _place(cache, stack)
            with reading(Path(name)), open(0 if is_standard else name, "rb", closefd=not is_standard) as pipe:
                try:
                    _kept[name] = _keep(pipe, name, staging, folder)
                except OutputError as error:
                    # Who goes on without a cache would wait for a pipe that is empty.
                    raise InputOutputError(str(error)) from None
    return _kept[name]


def _place(cache: Path | None, stack: ExitStack) -> tuple[Path, Path]:
    """Where it is written, and where it lies then. Chosen before anything is read: what was read cannot be read again."""
    if cache is not None:
        with suppress(OutputError):
            return stack.enter_context(staging_folder(cache, "piped")), cache / "piped"
    _folders.append(tempfile.TemporaryDirectory(prefix="sentiment-job-"))
    folder = Path(_folders[-1].name)
    return folder, folder / "piped"


def _keep(pipe: IO[bytes], name: str, staging: Path, folder: Path) -> Path:
    digest, whole = hashlib.sha256(), staging / "whole"
    with whole.open("wb") as stream:
        while block := pipe.read(_CHUNK):
            digest.update(block)
            with atomic.explained(folder):
                stream.write(block)
                stream.flush()
    called = "standard-input" if name in STANDARD_INPUT else Path(name).stem
    target = folder / f"{called}-{digest.hexdigest()[:12]}{_ending(Path(name), whole)}"
    with atomic.explained(folder):
        atomic.flush(whole)
        folder.mkdir(parents=True, exist_ok=True)
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
        # Its name says how it is unpacked.
        named_so = content.rename(content.with_name(f"packed{packing}"))
        with unpacked(named_so) as stream:
            start = stream.read(_START)
        named_so.rename(content)
    place, sign = _TAR
    if packing and start[place:].startswith(sign):
        return f".tar{packing}"
    return next((ending for sign, ending in _KINDS if re.match(sign, start)), ".csv") + packing
