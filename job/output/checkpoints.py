"""What a training needs to go on where it was, and what a finished one found: kept whole, or known to be damaged.

A file holds arrays and JSON in the safetensors format, and its name ends with the hash of its content. The content says whose
it is, so that a file of another run, or one that was renamed, is not taken for this one.
"""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from job.files import atomic, checksum

log = logging.getLogger(__name__)
Arrays = dict[str, NDArray[Any]]
_DIGITS = 16
_KEPT = 2
_Made = TypeVar("_Made")


@dataclass(frozen=True)
class Snapshot:
    """Arrays and JSON values that belong together."""

    values: dict[str, Any]
    arrays: Arrays


@dataclass(frozen=True)
class Store:
    """The folder of a run's snapshots.

    Args:
        run: The fingerprint of the run.
        guard: As in `atomic.write`.
    """

    folder: Path
    run: str
    guard: Callable[[], None]

    def save(self, name: str, snapshot: Snapshot) -> None:
        """Writes a snapshot, its content's hash in its name.

        Raises:
            OutputError, InputOutputError: It could not be written.
        """
        from safetensors.numpy import save as serialize

        arrays = {key: np.asarray(value, order="C") for key, value in snapshot.arrays.items()}
        content = serialize(arrays, self._said(name) | {"values": json.dumps(snapshot.values, allow_nan=False)})
        digest = hashlib.sha256(content).hexdigest()[:_DIGITS]
        atomic.write(self.folder / f"{name}-{digest}.safetensors", content, self.guard)

    def load(self, name: str, make: Callable[[Snapshot], _Made]) -> _Made | None:
        """What is made of the snapshot that `save` wrote under this name; None where there is none. Warns of damaged ones."""
        return self.first(sorted(self.folder.glob(f"{name}-{'?' * _DIGITS}.safetensors")), make)

    def first(self, paths: list[Path], make: Callable[[Snapshot], _Made]) -> _Made | None:
        """What is made of the first of these files that is whole and of this run."""
        from safetensors import SafetensorError

        for path in paths:
            try:
                return make(self._read(path))
            except (OSError, ValueError, LookupError, TypeError, RecursionError, SafetensorError) as error:
                said = " ".join(str(error).split())[:300]
                log.warning(f"{path} is damaged and not used ({said}); going on from what was saved before it")
        return None

    def _read(self, path: Path) -> Snapshot:
        from safetensors import safe_open

        name, _, digest = path.stem.rpartition("-")
        if path.is_symlink():
            raise ValueError("it is a link")
        if digest != checksum.of_file(path)[:_DIGITS]:
            raise ValueError("its content is not what its name says")
        with safe_open(path, framework="np") as file:
            told = dict(file.metadata())
            # Those of earlier versions do not say.
            if any(told.get(key, value) != value for key, value in self._said(name).items()):
                raise ValueError("it is of another training, or of another run")
            return Snapshot(json.loads(told["values"]), {key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118 (no dict)

    def _said(self, name: str) -> dict[str, str]:
        return {"run": self.run, "name": name}


class Checkpoints:
    """The snapshots of one training (an architecture, a seed), the last two of which are kept."""

    def __init__(self, store: Store, name: str) -> None:
        self._store, self._name = store, name

    def save(self, step: int, snapshot: Snapshot) -> None:
        """Saves a snapshot after `step` steps in all, and removes all but the last two.

        Raises:
            OutputError, InputOutputError: It could not be written; the ones before are intact.
        """
        name = f"{self._name}-step{step:010}"
        self._store.save(name, snapshot)
        before = [path for path in self._paths() if path.name < f"{name}."]
        for path in self._paths():
            # Those that claim to be later were not whole, as the training would have gone on from them.
            if path not in before[:_KEPT]:
                atomic.remove(path)

    def load(self) -> Snapshot | None:
        """The last whole snapshot; None where there is none. Warns of damaged ones."""
        return self._store.first(self._paths(), lambda snapshot: snapshot)

    def clear(self) -> None:
        """Removes the snapshots, when the training they are of is over."""
        for path in self._paths():
            atomic.remove(path)

    def _paths(self) -> list[Path]:
        return sorted(self._store.folder.glob(f"{self._name}-step*.safetensors"), reverse=True)
