"""The output folder, as its one writer sees it: every file is there whole or not at all.

What finished trials found, and the snapshots of the one in work, are kept under checkpoints/ until metrics.json is there.
"""

import csv
import hashlib
import io
import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.errors import InputOutputError, OutputError
from job.files import atomic, checksum
from job.files.lock import WriterLock
from job.output import finished, outbox, predictions
from job.output.checkpoints import Checkpoints, Snapshot, Store
from job.output.finished import FinishedRun, VerifiedRun
from job.output.results import BaselineResult, TrialResult, teacher_name
from job.presets import Architecture, ModelName
from job.records.history import HistoryRow
from job.records.run import RunRecord

Saver = Callable[[Path], object]
"""Copies or moves a file or a folder to a path."""
Content = bytes | Iterable[bytes] | Saver
"""Of a file: whole, in pieces, or there already, in another place."""

WORD_INDEX, DEPENDENCY, EVENTS = "word_index.json", "dependency.svg", "tensorboard"
_OTHERS = (finished.EXAMPLES, finished.REPORT, finished.VOCABULARY, finished.TRAINING_HASHES, WORD_INDEX, DEPENDENCY)
_BASELINE_RESULT = f"{ModelName.baseline}-0-result"
_FILES = (
    finished.METRICS,
    finished.RECORD,
    finished.PREDICTIONS,
    finished.VALIDATION_PREDICTIONS,
    finished.EVIDENCE,
    *_OTHERS,
    *outbox.FILES,
)
_FOLDERS = (*ModelName, EVENTS, "checkpoints")


def to_npy(array: NDArray[Any]) -> bytes:
    """An array in NumPy's file format."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


class Output:
    """The output folder of a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._checkpoints = folder / "checkpoints"
        self._lock: WriterLock | None = None
        self._run = ""

    def prepare(self) -> None:
        """Makes sure that the folder can be written, before an hour is spent on training.

        Raises:
            OutputError: It cannot.
        """
        try:
            os.path.realpath(self.folder).encode()
        except UnicodeEncodeError:
            raise OutputError(
                f"{self.folder}: is no path in UTF-8, and TensorFlow writes to no other; choose another --output"
            ) from None
        probe = atomic.temporary(self.folder / "write-test")
        try:
            with atomic.explained(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                probe.write_bytes(b"")
                probe.unlink()
                for place in (self.folder / name for name in _FOLDERS):
                    # What is written by a link would lie outside of the output.
                    if place.is_symlink() or (place.exists() and not place.is_dir()):
                        raise OutputError(
                            f"{place}: expected a folder, or nothing; remove what is there, or choose another --output"
                        )
        except InputOutputError as error:
            raise OutputError(str(error)) from None  # nothing was begun, so nothing failed midway

    def is_lost_with_container(self) -> bool:
        """Whether the folder lies on a container's own layers and not on a volume."""
        try:
            mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        except OSError:
            return False
        path = Path(os.path.realpath(self.folder))
        # The last of the longest: a mount hides what was mounted there before.
        place = max(reversed(mounts), key=lambda fields: len(fields[4]) if path.is_relative_to(fields[4]) else 0)
        return place[4] == "/" and "overlay" in place[place.index("-") + 1]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Makes this process the folder's one writer; waits for another one, as `WriterLock` does.

        Raises:
            OutputError: Another process is writing here.
        """
        with WriterLock(self.folder) as self._lock:
            yield

    def release(self) -> None:
        """Gives back what `locked` holds, for a process that ends at once."""
        if self._lock is not None:
            self._lock.__exit__()

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder in the output for what is to be published and not finished yet. What a kill leaves of it is swept."""
        self._guard()
        folder = atomic.temporary(self.folder / "scratch")
        try:
            with atomic.explained(folder):
                folder.mkdir()
            yield folder
        finally:
            atomic.remove(folder)

    def _guard(self) -> None:
        if self._lock is not None:
            self._lock.check()

    def write_file(self, name: str, content: bytes | Iterable[bytes]) -> None:
        """Writes one file."""
        atomic.write(self.folder / name, content, self._guard)

    def write_record(self, record: RunRecord) -> None:
        """Writes run.json. From then on, what is kept is that run's."""
        self._run = record.fingerprint
        self.write_file(finished.RECORD, record.to_json())

    def has_begun(self) -> bool:
        """Whether a job has written there: it holds the lock before it knows enough for a record; raises as `is_finished`."""
        return (self.folder / ".lock").exists() or (self.folder / finished.RECORD).exists()

    def is_finished(self) -> bool:
        """Whether the folder holds a complete run; raises `OSError` where this user may not look."""
        return (self.folder / finished.METRICS).exists()

    def has_leftovers(self) -> bool:
        """Whether a finished run's folder still holds what a kill at its very end left."""
        return self.is_finished() and (self._checkpoints.exists() or (self.folder / ".lock").exists())

    def sweep(self) -> None:
        """Removes what earlier kills left unfinished, and the checkpoints of a finished run."""
        atomic.sweep(self.folder)
        if self.is_finished():
            atomic.remove(self._checkpoints)

    def discard(self) -> None:
        """Removes a run's files, metrics.json first; other files in the folder stay."""
        self._guard()
        with atomic.explained(self.folder):
            for path in (self.folder / name for name in (*_FILES, *_FOLDERS)):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)

    def checkpoints(self, name: str, seed: int) -> Checkpoints:
        """The snapshots of a training in work."""
        return Checkpoints(self._store, f"{name}-{seed}")

    @property
    def _store(self) -> Store:
        return Store(self._checkpoints, self._run, self._guard)

    def save_result(self, name: str, result: TrialResult) -> None:
        """Keeps a finished trial until the whole run is finished."""
        self._store.save(f"{name}-{result.record.seed}-result", result.to_snapshot())

    def load_result(self, name: str, seed: int) -> TrialResult | None:
        """What `save_result` kept, or None where nothing whole is there."""
        return self._store.load(f"{name}-{seed}-result", TrialResult.of_snapshot)

    def save_baseline(self, result: BaselineResult) -> None:
        """Keeps the finished baseline until the whole run is finished."""
        self._store.save(_BASELINE_RESULT, result.to_snapshot())

    def load_baseline(self) -> BaselineResult | None:
        """What `save_baseline` kept, or None where nothing whole is there."""
        return self._store.load(_BASELINE_RESULT, BaselineResult.of_snapshot)

    def save_array(self, name: str, array: NDArray[Any]) -> None:
        """Keeps what took long to compute until the whole run is finished."""
        self._store.save(name, Snapshot({}, {"array": array}))

    def load_array(self, name: str) -> NDArray[Any] | None:
        """What `save_array` kept, or None where nothing whole is there."""
        return self._store.load(name, lambda snapshot: snapshot.arrays["array"])

    def publish(
        self,
        run: FinishedRun,
        files: Mapping[str, Content],
        before: VerifiedRun | None = None,
    ) -> None:
        """Writes everything that a finished run leaves, metrics.json last.

        Args:
            files: What is not made of `run` alone, by name.
            before: The finished run that is replaced; its models stay where `files` holds no other ones.
        """
        self._guard()
        with atomic.explained(self.folder / finished.METRICS):
            # While files are replaced, none of them belongs to the old metrics.
            (self.folder / finished.METRICS).unlink(missing_ok=True)
        kept = (before.record.files or {}) if before else {}
        hashes: dict[str, str] = {}
        # Models of a run that was finished before stay where there are no new ones.
        hashes |= {file: value for file, value in kept.items() if file == finished.EVIDENCE}
        for name in ModelName:
            models = (f"{name}/{finished.model_file(name)}", f"{name}/{finished.SAVED_MODEL}/")
            hashes |= {file: value for file, value in kept.items() if file.startswith(models)}
        for architecture in run.trials.architectures:
            hashes |= self._add(f"{architecture}/{finished.HISTORY}", _history(run, architecture))
        for file, content in files.items():
            hashes = {other: value for other, value in hashes.items() if not other.startswith(f"{file}/")}
            hashes |= self._add(file, content)
        hashes |= self._add(finished.PREDICTIONS, _predictions(run))
        # Over distances, nothing is said of validation reviews.
        if len(run.baseline.validation) or any(len(result.validation) for _, result in run.trials):
            hashes |= self._add(finished.VALIDATION_PREDICTIONS, _validation_predictions(run))
        hashes |= self._add(finished.EXAMPLES, run.examples.to_json())
        content = run.metrics.to_json()
        hashes[finished.METRICS] = hashlib.sha256(content).hexdigest()
        self.write_record(run.record.but(state="finished", files=hashes))
        self.write_file(finished.METRICS, content)
        self.sweep()

    def replace(self, run: VerifiedRun, name: str, content: bytes) -> None:
        """Replaces a file of a finished run, and its hash in run.json; the run is whole at every moment of it."""
        others = {other: digest for other, digest in (run.record.files or {}).items() if other != name}
        # Until the new file's hash is there, the file has none: one of another file would be a damage.
        self.write_record(run.record.but(files=others))
        self.write_file(name, content)
        self.write_record(run.record.but(files=others | {name: hashlib.sha256(content).hexdigest()}))

    def _add(self, name: str, content: Content) -> dict[str, str]:
        """Writes a file, or what is in another place; the hash of each file by name."""
        if callable(content):
            self._save(name, content)
            path = self.folder / name
            inside = sorted(path.rglob("*")) if path.is_dir() else [path]
            return {file.relative_to(self.folder).as_posix(): checksum.of_file(file) for file in inside if file.is_file()}
        digest = hashlib.sha256()

        def hashed(pieces: Iterable[bytes]) -> Iterator[bytes]:
            for piece in pieces:
                digest.update(piece)
                yield piece

        self.write_file(name, hashed([content] if isinstance(content, bytes) else content))
        return {name: digest.hexdigest()}

    def _save(self, name: str, saver: Saver) -> None:
        """First under a temporary name, which is then renamed."""
        path = self.folder / name
        unfinished = atomic.temporary(path)
        staging = unfinished / path.name
        self._guard()
        try:
            with atomic.explained(path):
                path.parent.mkdir(exist_ok=True)
                unfinished.mkdir()
                saver(staging)
            atomic.commit(staging, path, self._guard)
        finally:
            atomic.remove(unfinished)


def _history(run: FinishedRun, name: Architecture) -> bytes:
    return to_csv([row for result in run.trials.of(name) for row in result.history])


def to_csv(rows: list[HistoryRow]) -> bytes:
    """A history with a header; None is an empty cell."""
    stream = io.StringIO(newline="")
    cells = [row.cells() for row in rows]
    writer = csv.DictWriter(stream, list(cells[0]) if cells else ["seed", "epoch"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(cells)
    return stream.getvalue().encode()


def _predictions(run: FinishedRun) -> Iterator[bytes]:
    trials = ((str(name), result.record.seed, result.probabilities) for name, result in run.trials)
    others = [(ModelName.baseline, run.baseline.probabilities)]
    others += [(ModelName.ensemble, run.ensemble.probabilities)] if run.ensemble else []
    teachers = run.teaching.networks.items() if run.teaching else ()
    of_teacher = ((teacher_name(name), record.seed, array) for name, (record, array) in teachers)
    return predictions.lines(run.test, itertools.chain(trials, ((name, 0, array) for name, array in others), of_teacher))


def _validation_predictions(run: FinishedRun) -> Iterator[bytes]:
    trials = ((str(name), result.record.seed, result.validation) for name, result in run.trials)
    others = [(ModelName.baseline, run.baseline.validation)]
    others += [(ModelName.ensemble, run.ensemble.validation)] if run.ensemble else []
    return predictions.lines(run.validation, itertools.chain(trials, ((name, 0, array) for name, array in others)))
