"""A finished run: as it was made, or as it is read back from its folder."""

import csv
import json
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import pydantic
from numpy.typing import NDArray

from job.errors import ConfigurationError, DataError, MissingInputError
from job.files import checksum, reading
from job.output import predictions
from job.output.ensemble import compile_ensemble
from job.output.metrics import compile_metrics
from job.output.predictions import TestReviews
from job.output.results import (
    BaselineResult,
    EnsembleResult,
    LinearWeights,
    Teaching,
    TrialResult,
    Trials,
    teacher_name,
    weights_of_safetensors,
)
from job.presets import Architecture, ModelName, PresetName
from job.records.history import HistoryRow
from job.records.metrics import DataRecord, Metrics
from job.records.run import Examples, RunRecord, now
from job.records.trials import BaselineRecord

METRICS, RECORD = "metrics.json", "run.json"
CARD = "README.md"
PREDICTIONS, EXAMPLES, REPORT = "predictions.csv", "examples.json", "report.html"
VALIDATION_PREDICTIONS, EVIDENCE = "validation_predictions.csv", "evidence.safetensors"
VOCABULARY, TRAINING_HASHES = "vocabulary.json", "training_hashes.npy"
HISTORY, SAVED_MODEL = "history.csv", "saved_model"
_NETWORK, _WEIGHTS = "model.keras", "model.safetensors"
_BASELINE, _ENSEMBLE = (str(ModelName.baseline), 0), (str(ModelName.ensemble), 0)
_Kind = TypeVar("_Kind", Metrics, RunRecord)


def model_file(name: ModelName | Architecture) -> str:
    """What the file of a model is called, in the folder of its name."""
    return _NETWORK if ModelName(name).is_network else _WEIGHTS


@dataclass(frozen=True, kw_only=True)
class VerifiedRun:
    """A finished run whose files are as they were written."""

    folder: Path
    record: RunRecord
    metrics: Metrics
    record_hash: str = ""
    """SHA-256 of run.json, which holds those of all other files; empty where it is still to be written."""

    @classmethod
    def verify(cls, folder: Path, but: str | None = None) -> "VerifiedRun":
        """Checks a run's metrics.json against its schema and every file against its hash.

        Args:
            but: A file that is not checked, as it is about to be made anew.

        Raises:
            MissingInputError: No finished run is there, or this user may not read it.
            DataError: A file is missing, was changed, or does not follow the schema.
        """
        with _readable(folder):
            return cls._verify(folder, but)

    @staticmethod
    def _verify(folder: Path, but: str | None) -> "VerifiedRun":
        if not folder.is_dir():
            raise MissingInputError(f"{folder}: no such folder; expected the --output of a finished run")
        try:
            record, metrics = read_json(folder / RECORD), read_json(folder / METRICS)
        except ConfigurationError as error:
            raise DataError(str(error).split(";")[0]) from None
        if metrics is None:
            state = "an unfinished run: run the same `train` command again to continue it" if record else "no run"
            raise MissingInputError(f"{folder}: has no metrics.json, so it holds {state}")
        parsed = _parsed(folder / METRICS, Metrics, metrics)
        if record is None or not isinstance(record.get("files"), dict):
            raise DataError(f"{folder / RECORD}: is missing or holds no hashes, so the files cannot be verified")
        digest = checksum.of_file(folder / RECORD)
        run = VerifiedRun(folder=folder, record=_parsed(folder / RECORD, RunRecord, record), metrics=parsed, record_hash=digest)
        for name, expected in (run.record.files or {}).items():
            if name != but:
                _verify(folder, name, expected)
        return run

    def holds(self, trials: Iterable[tuple[Architecture, int]]) -> bool:
        """Whether all of these architectures and seeds were trained."""
        seeds = {name: {run.seed for run in entry.runs} for name, entry in self.metrics.architectures.items()}
        return all(seed in seeds.get(name, set()) for name, seed in trials)

    def models(self) -> list[ModelName]:
        """Those that can be asked: of networks that did not diverge, and the linear one and the ensemble where they were kept."""
        with _readable(self.folder):
            return [name for name in ModelName if (self.folder / name / model_file(name)).exists()]

    def words(self) -> list[str]:
        """The vocabulary by rank."""
        with _readable(self.folder):
            words: list[str] = json.loads((self.folder / VOCABULARY).read_text("utf-8"))
        return words

    def evidence(self) -> dict[str, NDArray[Any]] | None:
        """The arrays of the tables that its networks look up (job/data/evidence.py); None where they read none."""
        from safetensors.numpy import load

        path = self.folder / EVIDENCE
        with _readable(self.folder):
            return dict(load(path.read_bytes())) if path.exists() else None

    def linear_weights(self) -> LinearWeights | None:
        """The baseline's; None where it was not kept."""
        path = self.folder / ModelName.baseline / model_file(ModelName.baseline)
        with _readable(self.folder):
            return LinearWeights.of_safetensors(path.read_bytes()) if path.exists() else None

    def member_weights(self) -> dict[tuple[str, int], list[NDArray[np.float32]]]:
        """The weights of the ensemble's networks by architecture and seed; none where there is no ensemble."""
        path = self.folder / ModelName.ensemble / model_file(ModelName.ensemble)
        with _readable(self.folder):
            return weights_of_safetensors(path.read_bytes()) if path.exists() else {}

    def training_hashes(self) -> NDArray[np.uint64]:
        """Hashes of the texts that the run was trained on or validated with, <uint64>[reviews]."""
        with _readable(self.folder):
            return np.asarray(np.load(self.folder / TRAINING_HASHES, allow_pickle=False))


@dataclass(frozen=True, kw_only=True)
class FinishedRun(VerifiedRun):
    """A finished run with all that it found: what is published, and what a report is made of."""

    trials: Trials
    baseline: BaselineResult
    test: TestReviews
    validation: TestReviews
    """The validation reviews; none in runs of older versions."""
    ensemble: EnsembleResult | None
    examples: Examples
    teaching: Teaching | None = None
    """Where texts without labels were learned from."""

    @classmethod
    def of_results(
        cls,
        folder: Path,
        record: RunRecord,
        data: DataRecord,
        trials: Trials,
        baseline: BaselineResult,
        test: TestReviews,
        validation: TestReviews,
        examples: Examples,
        teaching: Teaching | None = None,
    ) -> Self:
        """A run that has just been finished: this is its end, and its metrics are compiled here."""
        record, ensemble = record.but(end=now()), None
        if record.identity.preset is not PresetName.dependency:
            ensemble = compile_ensemble(trials, baseline, test.labels, validation.labels, record.identity.threshold)
        return cls(
            folder=folder,
            record=record,
            metrics=compile_metrics(record, data, trials, baseline, test.labels, ensemble, teaching),
            trials=trials,
            baseline=baseline,
            test=test,
            validation=validation,
            ensemble=ensemble,
            examples=examples,
            teaching=teaching,
        )

    @classmethod
    def read(cls, folder: Path, but: str | None = None) -> Self:
        """Reads a run back, after `verify`, whose errors it raises."""
        return cls.of_verified(VerifiedRun.verify(folder, but))

    @classmethod
    def of_verified(cls, run: VerifiedRun) -> Self:
        """Reads the rest of a run whose files were verified."""
        with _readable(run.folder):
            return cls._read(run)

    @classmethod
    def _read(cls, run: VerifiedRun) -> Self:
        folder, metrics = run.folder, run.metrics
        if not (folder / EXAMPLES).exists():
            raise MissingInputError(f"{folder}: has no {EXAMPLES}, so another version of this program made it; train again")
        probabilities = predictions.read(folder / PREDICTIONS)
        path = folder / VALIDATION_PREDICTIONS
        of_validation = predictions.read(path) if path.exists() else {}
        nothing, weights, trials = np.empty(0, np.float32), run.member_weights(), Trials()
        for name, entry in metrics.architectures.items():
            history = _read_history(folder / name / HISTORY)
            for record in entry.runs:
                rows = [row for row in history if row.seed == record.seed]
                key = (str(name), record.seed)
                result = TrialResult(record, rows, probabilities.get(key, nothing), weights.get(key))
                trials.add(name, replace(result, validation=of_validation.get(key, nothing)))
        fields = BaselineRecord.model_fields.keys() & metrics.baseline.model_fields_set
        baseline = BaselineRecord(**{name: getattr(metrics.baseline, name) for name in fields})
        return cls(
            folder=folder,
            record=run.record,
            metrics=metrics,
            trials=trials,
            baseline=BaselineResult(baseline, probabilities[_BASELINE], validation=of_validation.get(_BASELINE, nothing)),
            test=predictions.read_test(folder / PREDICTIONS),
            validation=predictions.read_test(path) if path.exists() else TestReviews(labels=np.empty(0, np.int8)),
            ensemble=EnsembleResult(metrics.ensemble, probabilities[_ENSEMBLE], of_validation[_ENSEMBLE])
            if metrics.ensemble
            else None,
            teaching=_teaching(metrics, probabilities),
            examples=Examples.parse((folder / EXAMPLES).read_bytes()),
        )

    def without_weights(self) -> Self:
        """The same run, for what needs no models."""
        return replace(self, trials=self.trials.without_weights(), baseline=replace(self.baseline, weights=None))

    @property
    def labels(self) -> NDArray[np.int8]:
        """The labels of the test reviews, <int8>[test reviews]."""
        return self.test.labels

    def best(self) -> dict[Architecture, NDArray[np.float32]]:
        """The probabilities of each architecture's best seed, whose model is in the run's folder."""
        found = {name: self.trials.best(name) for name in self.trials.architectures}
        return {name: result.probabilities for name, result in found.items() if result is not None}

    def probabilities(self, name: Architecture) -> NDArray[np.float32]:
        """Those of an architecture's seeds that did not diverge, <float32>[seeds, test reviews]."""
        return np.stack([result.probabilities for result in self.trials.of(name) if len(result.probabilities)])


def read_record(folder: Path) -> RunRecord | None:
    """run.json, of a finished run or not; None where it is not there, or of another version."""
    values = read_json(folder / RECORD)
    try:
        return RunRecord.parse(json.dumps(values).encode()) if values else None
    except (pydantic.ValidationError, ConfigurationError):
        return None


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON file of a run, or None where it is not there.

    Raises:
        ConfigurationError: It is no JSON object, so this folder holds something else.
        OSError: Reading failed.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (IsADirectoryError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"{path}: cannot be read as a run's file ({error}); choose another --output, or --fresh to discard it"
        ) from None
    if not isinstance(value, dict):
        raise ConfigurationError(f"{path}: expected a JSON object; choose another --output, or --fresh to discard it")
    return value


def _parsed(path: Path, kind: type[_Kind], values: dict[str, Any]) -> _Kind:
    try:
        return kind.parse(json.dumps(values).encode())
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in first["loc"])
        what = "is a required property" if first["type"] == "missing" else " ".join(first["msg"].split())[:300]
        raise DataError(f"{path}: ${place}: {what}") from None


def _readable(folder: Path) -> AbstractContextManager[None]:
    return reading.explained(folder, "the --output of a finished run that this user may read")


def _verify(folder: Path, name: str, expected: str) -> None:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        raise DataError(f"{path}: is missing from the run")
    if checksum.of_file(path) != expected:
        raise DataError(f"{path}: was changed since the run ended (its SHA-256 is not the one in run.json)")


def _teaching(metrics: Metrics, probabilities: predictions.Predictions) -> Teaching | None:
    told = metrics.self_training
    if told is None:
        return None
    networks = {name: (each, probabilities[teacher_name(name), each.seed]) for name, each in told.labels_alone.items()}
    return Teaching(told.texts, told.teacher, told.guesses_sha256, networks)


def _read_history(path: Path) -> list[HistoryRow]:
    with path.open(newline="") as stream:
        return [HistoryRow.of_cells(cells) for cells in csv.DictReader(stream)]
