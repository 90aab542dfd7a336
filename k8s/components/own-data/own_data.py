"""Copies the file OWN_DATA_FROM to JOB_DATA, once its SHA-256 is found to be OWN_DATA_SHA256. Runs in the job's image.

OWN_DATA_FROM is an address (https://…) or a path, as on a claim that is mounted beside the cache. A file that is there
already, and is the right one, is kept. Pods that start together wait for the one that copies.
"""

import os
import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit

import requests

from job.data.cache import staging_folder
from job.errors import ConfigurationError, DataError, InputOutputError, JobError, MissingInputError, TemporaryError
from job.files import atomic, checksum
from job.machine import signals, terminal

# Of what a server may refuse, these pass: it is slow, it is too early, it has too much to do.
PASSING = (408, 425, 429)


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
        _fetch(source, unfinished) if is_address else _copy(source, unfinished)
        found = checksum.of_file(unfinished)
        if found != sha256:
            raise DataError(f"{_shown(source)}: is another file: its SHA-256 is {found}, expected {sha256}")
        with atomic.explained(target):
            atomic.commit(unfinished, target)
    return f"{target}: copied from {_shown(source)}"


def _is_whole(target: Path, sha256: str) -> bool:
    return target.is_file() and checksum.of_file(target) == sha256


def _fetch(source: str, unfinished: Path) -> None:
    try:
        # As it lies there: what is packed for the way would be unpacked here, and have another checksum.
        answer = requests.get(source, stream=True, timeout=30, headers={"Accept-Encoding": "identity"})
        with answer, unfinished.open("wb") as copy:
            answer.raise_for_status()
            copy.writelines(answer.iter_content(1 << 20))
    except requests.RequestException as error:
        status = 0 if error.response is None else error.response.status_code
        if 400 <= status < 500 and status not in PASSING:
            raise MissingInputError(f"{_shown(source)}: the server answers {status}") from None
        raise TemporaryError(f"{_shown(source)}: could not be fetched ({status or type(error).__name__})") from None
    except OSError as error:
        raise InputOutputError(f"{unfinished}: writing failed ({error.strerror or error})") from None


def _copy(source: str, unfinished: Path) -> None:
    try:
        stream = open(source, "rb")
    except OSError as error:
        raise MissingInputError(f"{source}: cannot be read ({error.strerror})") from None
    try:
        with stream, unfinished.open("wb") as copy:
            shutil.copyfileobj(stream, copy, 1 << 20)
    except OSError as error:
        raise InputOutputError(f"{source}: copying failed ({error.strerror or error})") from None


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
