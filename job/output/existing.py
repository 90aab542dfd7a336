"""What lies in a folder before a run is written there, and whether it is the same run."""

import itertools
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic

from job.errors import ConfigurationError, DataError
from job.files import atomic, checksum
from job.output.content import read_json
from job.output.finished import METRICS, RECORD, VerifiedRun
from job.records.run import Identity


def free_folder(output: Path, name: str) -> Path:
    """A folder beside `output` that is not there yet, called after it and after what is to be kept in it."""
    word = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "run"
    names = (
        f"{Path(os.path.realpath(output)).name or 'output'}-{word}{number}"
        for number in itertools.chain([""], (f"-{each}" for each in itertools.count(2)))
    )
    return next(path for path in map(output.parent.joinpath, names) if not os.path.lexists(path))


def find(folder: Path, identity: Identity, another: Callable[[], Path], fresh: bool = False) -> VerifiedRun | None:
    """The finished run of this identity in a folder; None where there is none.

    Args:
        another: Names the --output to choose where this one is taken.

    Raises:
        ConfigurationError: The folder holds a run of another configuration, and it is not to be discarded.
        DataError: A file of the finished run is missing or was changed.
        OutputError, InputOutputError: This user may not read it, or reading failed.
    """
    with atomic.explained(folder / METRICS):
        if fresh and not (folder / METRICS).exists():
            return None
        try:
            values, metrics = read_json(folder / RECORD), read_json(folder / METRICS)
        except ConfigurationError as error:
            remedy = "or --fresh to discard it" if not os.path.lexists(folder / METRICS) else "or remove the folder"
            raise ConfigurationError(f"{error}; choose another --output, {remedy}") from None
    if values is None and metrics is None:
        return None
    there = _identity(values)
    if there != identity:
        what = difference(there, identity)
        remedy = f"run the same command with --output {shlex.quote(str(another()))}"
        remedy += "" if metrics else ", or with --fresh to discard the unfinished run"
        raise ConfigurationError(
            f"{folder} holds {'a finished' if metrics else 'an unfinished'} run of another configuration ({what}); {remedy}"
        )
    if metrics is None:
        return None
    if fresh:
        raise ConfigurationError(
            f"{folder}: --fresh discards unfinished runs only, and this one is finished; run the same command with --output {shlex.quote(str(another()))}, or remove the folder"
        )
    try:
        return VerifiedRun.verify(folder)
    except DataError as error:
        raise DataError(f"{error}; remove the folder and run again, or choose another --output") from None


def difference(there: Identity | None, here: Identity) -> str:
    """The first setting in which two identities differ, in words."""
    if there is None:
        return "it holds none that this version knows"
    for name in ("preset", "distances", "data", "threshold"):
        old, new = getattr(there, name), getattr(here, name)
        if old != new:
            return f"its {name} is {str(old)[:40]}, here {str(new)[:40]}"
    if set(there.hyperparameters) != set(here.hyperparameters):
        return f"its architectures are {' '.join(sorted(there.hyperparameters))}, here {' '.join(sorted(here.hyperparameters))}"
    for architecture, values in here.hyperparameters.items():
        before = there.hyperparameters[architecture]
        for name, value in vars(values).items():
            if getattr(before, name) != value:
                return f"{architecture}: its {name} is {getattr(before, name)}, here {value}"
    return "its settings are of another version"


def _identity(values: dict[str, Any] | None) -> Identity | None:
    try:
        return Identity.model_validate((values or {}).get("identity"))
    except (pydantic.ValidationError, ConfigurationError):
        return None


def is_still(before: VerifiedRun | None, folder: Path) -> bool:
    """Whether what was found before the lock was taken is there unchanged, so that no file is hashed twice."""
    if before is None:
        return not (folder / METRICS).exists()
    path = folder / RECORD
    with atomic.explained(path):
        return (folder / METRICS).exists() and path.exists() and checksum.of_file(path) == before.record_hash
