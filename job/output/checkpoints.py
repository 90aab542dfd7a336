"""What a training needs to go on where it was, and what a finished one found: kept whole, or known to be damaged.

A file holds arrays and JSON in the safetensors format, and its name ends with the hash of its content.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.files import atomic, checksum

log = logging.getLogger(__name__)
Arrays = dict[str, NDArray[Any]]
_DIGITS = 16
_KEPT = 2


@dataclass(frozen=True)
class Snapshot:
    """Arrays and JSON values that belong together."""

    values: dict[str, Any]
    arrays: Arrays


class Checkpoints:
    """The snapshots of one training (an architecture, a seed), the last two of which are kept.

    Args:
        guard: As in `atomic.write`.
    """

    def __init__(self, folder: Path, name: str, guard: Callable[[], None]) -> None:
        self._folder, self._name, self._guard = folder, name, guard

    def save(self, step: int, snapshot: Snapshot) -> None:
        """Saves a snapshot after `step` steps in all, and removes all but the last two.

        Raises:
            OutputError, InputOutputError: It could not be written; the ones before are intact.
        """
        save(self._folder, f"{self._name}-step{step:010}", snapshot, self._guard)
        for path in self._paths()[_KEPT:]:
            atomic.remove(path)

    def load(self) -> Snapshot | None:
        """The last whole snapshot; None where there is none. Warns of damaged ones."""
        return next(_whole(self._paths()), None)

    def clear(self) -> None:
        """Removes the snapshots, when the training they are of is over."""
        for path in self._paths():
            atomic.remove(path)

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob(f"{self._name}-step*.safetensors"), reverse=True)


def save(folder: Path, name: str, snapshot: Snapshot, guard: Callable[[], None]) -> None:
    """Writes a snapshot to `folder`, its content's hash in its name.

    Raises:
        OutputError, InputOutputError: It could not be written.
    """
    from safetensors.numpy import save as serialize

    arrays = {key: np.asarray(value, order="C") for key, value in snapshot.arrays.items()}
    content = serialize(arrays, {"values": json.dumps(snapshot.values, allow_nan=False)})
    digest = hashlib.sha256(content).hexdigest()[:_DIGITS]
    atomic.write(folder / f"{name}-{digest}.safetensors", content, guard)


def load(folder: Path, name: str) -> Snapshot | None:
    """The whole snapshot that `save` wrote under this name; None where there is none."""
    return next(_whole(sorted(folder.glob(f"{name}-{'?' * _DIGITS}.safetensors"))), None)


def _whole(paths: list[Path]) -> Iterator[Snapshot]:
    from safetensors import SafetensorError, safe_open

    for path in paths:
        try:
            if path.stem.rpartition("-")[2] != checksum.of_file(path)[:_DIGITS]:
                raise ValueError("its content is not what its name says")
            with safe_open(path, framework="np") as file:
                values = json.loads(file.metadata()["values"])
                arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no dict)
        except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
            log.warning(f"{path} is damaged and not used ({error}); going on from what was saved before it")
            continue
        yield Snapshot(values, arrays)
