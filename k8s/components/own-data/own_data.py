"""Copies the file OWN_DATA_FROM to JOB_DATA, once its SHA-256 is found to be OWN_DATA_SHA256. Runs in the job's image.

OWN_DATA_FROM is an address (https://…) or a path, as on a claim that is mounted beside the cache. A file that is there
already, and is the right one, is kept. Pods that start together wait for the one that copies.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import requests

from job.data.cache import staging_folder
from job.errors import ConfigurationError, DataError, JobError, MissingInputError, TemporaryError
from job.files import atomic, checksum, reading
from job.machine import signals, terminal

# Of what a server may refuse, these pass: it is slow, it is too early, it has too much to do.
PASSING = (408, 425, 429)
PIECE = 1 << 20


def provide(source: str, target: Path, sha256: str) -> str:
    """Makes `target` the file that `sha256` is of; returns what was done.

    Raises:
        ConfigurationError: Something is not set.
        MissingInputError: There is no such file, or it may not be read.
        DataError: It is another file.
        TemporaryError: The network failed.
        OutputError, InputOutputError: `target` cannot be written.
    """
    is_address = source.startswith(("https://", "http://"))
    if not (is_address or source.startswith("/")) or len(sha256) != 64 or not target.is_absolute():
        raise ConfigurationError(
            "set OWN_DATA_FROM (https://… or an absolute path), OWN_DATA_SHA256 (64 digits, as sha256sum prints) and JOB_DATA (a path below /cache)"
        )
    if _is_whole(target, sha256):
        return f"{target}: is there already"
    with staging_folder(target.parent, target.name) as staging:
        if _is_whole(target, sha256):
            return f"{target}: was copied by another pod"
        unfinished = staging / target.name
        with atomic.explained(target), unfinished.open("wb") as copy:
            copy.writelines(_fetch(source) if is_address else _read(source))
        found = checksum.of_file(unfinished)
        if found != sha256:
            raise DataError(f"{_shown(source)}: is another file: its SHA-256 is {found}, expected {sha256}")
        atomic.commit(unfinished, target)
    return f"{target}: copied from {_shown(source)}"


def _is_whole(target: Path, sha256: str) -> bool:
    return target.is_file() and checksum.of_file(target) == sha256


def _fetch(source: str) -> Iterator[bytes]:
    try:
        # As it lies there: what is packed for the way would be unpacked here, and have another checksum.
        with requests.get(source, stream=True, timeout=30, headers={"Accept-Encoding": "identity"}) as answer:
            answer.raise_for_status()
            yield from answer.iter_content(PIECE)
    except requests.RequestException as error:
        status = 0 if error.response is None else error.response.status_code
        if 400 <= status < 500 and status not in PASSING:
            raise MissingInputError(f"{_shown(source)}: the server answers {status}") from None
        raise TemporaryError(f"{_shown(source)}: could not be fetched ({status or type(error).__name__})") from None


def _read(source: str) -> Iterator[bytes]:
    with reading.explained(Path(source), "a file that this user may read"), open(source, "rb") as stream:
        while piece := stream.read(PIECE):
            yield piece


def _shown(source: str) -> str:
    """Without what may be secret: a name and password, a signature."""
    parts = urlsplit(source)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def main() -> int:
    """Runs on what the environment says; an expected error is one line, and its exit code that of the contract."""
    signals.install()
    source, target, sha256 = (os.environ.get(name, "") for name in ("OWN_DATA_FROM", "JOB_DATA", "OWN_DATA_SHA256"))
    try:
        print(provide(source, Path(target), sha256.lower()))
    except JobError as error:
        print(f"error: {terminal.visible(str(error))}", file=sys.stderr)
        return error.exit_code
    except signals.Interrupted as interruption:
        return interruption.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
