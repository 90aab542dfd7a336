"""Every file on the volume: whole or not at all.

The results of finished runs (one architecture, one seed), and the snapshots of the one in work, are kept under
checkpoints/ until metrics.json is there. Only the holder of the folder's lock writes.
"""

import csv
import hashlib
import io
import itertools
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.errors import ConfigurationError, InputOutputError, OutputError
from job.files import atomic
from job.files.lock import WriterLock
from job.output import checkpoints, predictions
from job.output.checkpoints import Checkpoints, Snapshot

Saver = Callable[[Path], None]
"""Writes a file or a folder of a model to a path."""

TRAINING_HASHES = "training_hashes.npy"
VOCABULARY, WORD_INDEX = "vocabulary.json", "word_index.json"
DEPENDENCY = "dependency.svg"
_REPORTS = ("examples.json", "report.html", DEPENDENCY)
_FILES = ("metrics.json", "run.json", "predictions.csv", VOCABULARY, WORD_INDEX, TRAINING_HASHES, *_REPORTS)
# Columns of history.csv.
_INTEGERS = ("seed", "distance", "epoch")


def to_npy(array: NDArray[Any]) -> bytes:
    """An array in NumPy's file format."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def to_json(value: Any) -> bytes:
    """Indented JSON; numbers that JSON does not have are an error."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def to_csv(columns: list[str], rows: list[dict[str, Any]]) -> bytes:
    """A table with a header; None is an empty cell."""
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()


@dataclass(frozen=True)
class Result:
    """One finished run: an architecture and a seed."""

    record: dict[str, Any]
    """Its entry of `runs` in metrics.json."""
    history: list[dict[str, Any]]
    """Its rows of history.csv."""
    probabilities: NDArray[np.float32]
    """<float32>[test reviews], in the order of the data; empty for a diverged run."""
    weights: list[NDArray[np.float32]] | None
    """In Keras's order; None where only a better seed's are still kept."""


class Output:
    """The output folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._checkpoints = folder / "checkpoints"
        self._lock: WriterLock | None = None

    def prepare(self) -> None:
        """Makes sure that the folder can be written, before an hour is spent on training.

        Raises:
            OutputError: It cannot.
        """
        probe = atomic.temporary(self.folder / "write-test")
        try:
            with atomic.explained(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                probe.write_bytes(b"")
                probe.unlink()
        except InputOutputError as error:
            raise OutputError(str(error)) from None  # nothing was begun, so nothing failed midway

    def is_lost_with_container(self) -> bool:
        """Whether the folder lies on a container's own layers and not on a volume."""
        try:
            mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        except OSError:
            return False
        path = self.folder.resolve()
        # The last of the longest: a mount hides what was mounted there before.
        place = max(reversed(mounts), key=lambda fields: len(fields[4]) if path.is_relative_to(fields[4]) else 0)
        return place[4] == "/" and "overlay" in place[place.index("-") + 1]

    def read_json(self, name: str) -> dict[str, Any] | None:
        """A JSON file of the run, or None where it is not there.

        Raises:
            ConfigurationError: It is no JSON object, so this folder holds something else.
        """
        path = self.folder / name
        try:
            value = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigurationError(
                f"{path}: cannot be read as a run's file ({error}); choose another --output, or --fresh to discard it"
            ) from None
        if not isinstance(value, dict):
            raise ConfigurationError(f"{path}: expected a JSON object; choose another --output, or --fresh to discard it")
        return value

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Makes this process the folder's one writer; waits for another one, as `WriterLock` does.

        Raises:
            OutputError: Another process is writing here.
        """
        with WriterLock(self.folder) as self._lock:
            yield

    def _guard(self) -> None:
        if self._lock is not None:
            self._lock.check()

    def _write(self, name: str, content: bytes | Iterable[bytes]) -> None:
        atomic.write(self.folder / name, content, self._guard)

    def has_leftovers(self) -> bool:
        """Whether a finished run's folder still holds what a kill at its very end left."""
        return self.is_finished() and (self._checkpoints.exists() or (self.folder / ".lock").exists())

    def sweep(self) -> None:
        """Removes what earlier kills left unfinished, and the checkpoints of a finished run."""
        atomic.sweep(self.folder)
        if self.is_finished():
            atomic.remove(self._checkpoints)

    def is_finished(self) -> bool:
        """Whether the folder holds a complete run."""
        return (self.folder / "metrics.json").exists()

    def discard(self) -> None:
        """Removes a run's files, metrics.json first; other files in the folder stay."""
        self._guard()
        with atomic.explained(self.folder):
            for name in _FILES:
                (self.folder / name).unlink(missing_ok=True)
            for name in ("rnn", "lstm", "tensorboard", "checkpoints"):
                if (self.folder / name).is_dir():
                    shutil.rmtree(self.folder / name)

    def write_run(self, run: dict[str, Any]) -> None:
        """Writes run.json."""
        self._write("run.json", to_json(run))

    def checkpoints(self, architecture: str, seed: int, warn: Callable[[str], None]) -> Checkpoints:
        """The snapshots of a training in work."""
        return Checkpoints(self._checkpoints, f"{architecture}-{seed}", self._guard, warn)

    def save_result(self, architecture: str, seed: int, result: Result) -> None:
        """Keeps a finished run until the whole job is finished."""
        arrays = {"probabilities": result.probabilities}
        for number, weight in enumerate(result.weights or []):
            arrays[f"weight-{number:03}"] = weight
        values = {"record": result.record, "history": result.history, "has_weights": result.weights is not None}
        checkpoints.save(self._checkpoints, f"{architecture}-{seed}-result", Snapshot(values, arrays), self._guard)

    def load_result(self, architecture: str, seed: int, warn: Callable[[str], None]) -> Result | None:
        """What `save_result` kept, or None where nothing whole is there."""
        snapshot = checkpoints.load(self._checkpoints, f"{architecture}-{seed}-result", warn)
        if snapshot is None:
            return None
        values, arrays = snapshot.values, snapshot.arrays
        weights = [arrays[name] for name in sorted(arrays) if name.startswith("weight-")] if values["has_weights"] else None
        return Result(values["record"], values["history"], arrays["probabilities"], weights)

    def finish(
        self,
        metrics: dict[str, Any],
        run: dict[str, Any],
        labels: NDArray[np.int8],
        savers: Mapping[str, Saver],
        results: Mapping[Any, Mapping[int, Result]],
        baseline: Result,
        extra: dict[str, Any],
        verify: Callable[[], None] = lambda: None,
    ) -> None:
        """Writes everything that a finished job leaves, metrics.json last.

        Args:
            labels: <int8>[test reviews]
            savers: What libraries write by themselves, by the name of the file or folder; none for what is already there.
            results: By architecture and seed.
            baseline: Its predictions stand beside the networks', as architecture `baseline` and seed 0.
            extra: JSON values, or bytes, of files beside metrics.json, by name.
            verify: Called when all but run.json and metrics.json is in its place; may raise.
        """
        self._guard()
        with atomic.explained(self.folder / "metrics.json"):
            # While files are replaced, none of them belongs to the old metrics.
            (self.folder / "metrics.json").unlink(missing_ok=True)
        files: list[str] = []

        def add(name: str, content: bytes | Iterable[bytes]) -> None:
            self._write(name, content)
            files.append(name)

        for architecture in results:
            rows = [row for seed in sorted(results[architecture]) for row in results[architecture][seed].history]
            columns = list(rows[0]) if rows else ["seed", "epoch"]
            add(f"{architecture}/history.csv", to_csv(columns, rows))
        for name, saver in savers.items():
            self._save(name, saver)
        kept = [f"{architecture}/{name}" for architecture in results for name in ("model.keras", "saved_model")]
        files += [file for name in (*kept, "tensorboard") for file in self._files(name)]
        trainings = ((str(name), seed, runs[seed].probabilities) for name, runs in results.items() for seed in sorted(runs))
        linear = ("baseline", 0, baseline.probabilities)
        add("predictions.csv", predictions.lines(labels, itertools.chain(trainings, [linear])))
        for name, value in extra.items():
            add(name, value if isinstance(value, bytes) else to_json(value))
        verify()
        content = to_json(metrics)
        hashes = {name: checksum(self.folder / name) for name in files}
        hashes["metrics.json"] = hashlib.sha256(content).hexdigest()
        self.write_run(run | {"state": "finished", "files": hashes})
        self._write("metrics.json", content)
        self.sweep()

    def write_file(self, name: str, content: bytes) -> None:
        """Writes a file that is no part of the run."""
        self._write(name, content)

    def replace(self, name: str, content: bytes) -> None:
        """Replaces a file of a finished run, and its hash in run.json."""
        run = self.read_json("run.json")
        assert run is not None
        self._write(name, content)
        self.write_run(run | {"files": run["files"] | {name: hashlib.sha256(content).hexdigest()}})

    def _files(self, name: str) -> list[str]:
        """What lies under this name: the file, or the files in the folder; none where there is nothing."""
        path = self.folder / name
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        return [each.relative_to(self.folder).as_posix() for each in found if each.is_file()]

    def _save(self, name: str, saver: Saver) -> None:
        """Keras and TensorFlow write by themselves: under a temporary name, which is then renamed."""
        path = self.folder / name
        # Keras insists on the ending.
        unfinished = atomic.temporary(path)
        staging = unfinished / path.name
        self._guard()
        try:
            with atomic.explained(path):
                unfinished.mkdir()
                saver(staging)
            atomic.commit(staging, path, self._guard)
        finally:
            atomic.remove(unfinished)

    def read_predictions(self) -> predictions.Predictions:
        """The probabilities of predictions.csv, by architecture and seed; the file has been validated."""
        return predictions.read(self.folder / "predictions.csv")

    def read_words(self) -> list[str]:
        """The vocabulary by rank; the file has been validated."""
        words: list[str] = json.loads((self.folder / VOCABULARY).read_text("utf-8"))
        return words

    def read_training_hashes(self) -> NDArray[np.uint64]:
        """Hashes of the texts that the run was trained on or validated with, <uint64>[reviews]; the file has been validated."""
        return np.asarray(np.load(self.folder / TRAINING_HASHES, allow_pickle=False))

    def read_labels(self) -> NDArray[np.int8]:
        """The labels of predictions.csv, <int8>[test reviews]; empty where every run diverged."""
        return predictions.read_labels(self.folder / "predictions.csv")

    def read_history(self, architecture: str) -> dict[int, list[dict[str, Any]]]:
        """The rows of history.csv by seed; the file has been validated."""
        rows: dict[int, list[dict[str, Any]]] = {}
        for row in self._read_csv(f"{architecture}/history.csv"):
            typed = {
                key: int(value) if key in _INTEGERS else value or None if key == "remedy" else float(value) if value else None
                for key, value in row.items()
            }
            rows.setdefault(int(row["seed"]), []).append(typed)
        return rows

    def _read_csv(self, name: str) -> Iterator[dict[str, str]]:
        with (self.folder / name).open(newline="") as stream:
            yield from csv.DictReader(stream)


def checksum(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
