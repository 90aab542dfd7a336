"""What a run's files hold, as it is read: no link is followed out of the run's folder, and what is not as it should be is said."""

import csv
import errno
import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pydantic

from job.errors import ConfigurationError, DataError
from job.files import checksum, reading
from job.records.base import Record
from job.records.history import HistoryRow
from job.records.run import RunRecord

_Kind = TypeVar("_Kind", bound=Record)
_NOT_UNDERSTOOD = (ValueError, TypeError, LookupError, EOFError, ArithmeticError, RuntimeError, zipfile.BadZipFile, zlib.error)


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON file that lies in a run's folder, or None where it is not there.

    Raises:
        ConfigurationError: It is no JSON object, so this folder holds something else.
        OSError: Reading failed.
    """
    try:
        value = json.loads(_bytes(path.parent, path.name).decode("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.EISDIR, errno.ELOOP):
            raise
        raise ConfigurationError(f"{path}: cannot be read as a run's file ({_said(error)})") from None
    if not isinstance(value, dict):
        raise ConfigurationError(f"{path}: expected a JSON object")
    return value


def read_record(path: Path) -> RunRecord | None:
    """A run.json, of a finished run or not; None where it is not there, or of another version; raises as `read_json` does."""
    values = read_json(path)
    try:
        return RunRecord.parse(json.dumps(values).encode()) if values else None
    except (pydantic.ValidationError, ConfigurationError):
        return None


def read_history(path: Path) -> list[HistoryRow]:
    """A history.csv; its file has been looked at."""
    with path.open(newline="") as stream:
        return [HistoryRow.of_cells(cells) for cells in csv.DictReader(stream)]


def parsed(path: Path, kind: type[_Kind], values: dict[str, Any]) -> _Kind:
    """The values of a JSON file as a record.

    Raises:
        DataError: They are not.
    """
    try:
        return kind.parse(json.dumps(values).encode())
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in first["loc"])
        what = "is a required property" if first["type"] == "missing" else _short(first["msg"])
        raise DataError(f"{path}: ${place}: {what}") from None
    except ConfigurationError as error:
        # Hyperparameters that exclude one another.
        raise DataError(f"{path}: {error}") from None


def verify(folder: Path, name: str, expected: str) -> None:
    """Makes sure that a run's file is there and has this SHA-256.

    Raises:
        DataError: It is not or has not.
        OSError: Reading failed.
    """
    path = folder / name
    if not reading.is_inside(path, folder) or not path.is_file():
        raise DataError(f"{path}: is missing from the run")
    if checksum.of_file(path) != expected:
        raise DataError(f"{path}: was changed since the run ended (its SHA-256 is not the one in run.json)")


def file(folder: Path, name: str) -> Path:
    """Where a run's file lies, for who can read nothing but a path; raises `OSError` where it is none, or a link out of the run."""
    path = folder / name
    if not reading.is_inside(path, folder):
        raise OSError(errno.EISDIR, "Is a link that leads out of the run", str(path))
    reading.opened(path).close()
    return path


@contextmanager
def understood(path: Path) -> Iterator[None]:
    """Turns what can go wrong while the content of a run's file is made sense of into the contract's error.

    That it has its hash says nothing of a run that somebody else made.

    Raises:
        DataError: It holds something else than a run's file of this name does.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (*_NOT_UNDERSTOOD, SafetensorError, OSError, ConfigurationError) as error:
        # Libraries report damaged content as a plain OSError without a number.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(f"{path}: is not what this version writes into a run ({_said(error)})") from None


def _bytes(folder: Path, name: str) -> bytes:
    return reading.content(file(folder, name))


def _said(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, ConfigurationError):
        return str(error).split(";")[0]
    # A key that is missing says nothing but its name.
    return _short(f"{type(error).__name__}: {error}" if isinstance(error, (LookupError, RecursionError)) else str(error))


def _short(text: str) -> str:
    return " ".join(text.split())[:300]
