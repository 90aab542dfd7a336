"""A finished run: as it was made, or as it is read back from its folder."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from job.errors import ConfigurationError, DataError, MissingInputError
from job.files import checksum, reading
from job.output import content, predictions
from job.output.content import read_json
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
    weights_of_safetensors,
)
from job.output.selftraining import read_teaching
from job.presets import Architecture, ModelName, PresetName
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
_Loaded = TypeVar("_Loaded")
_WORDS = TypeAdapter(list[str])


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
            raise DataError(str(error)) from None
        if metrics is None:
            state = "an unfinished run: run the same `train` command again to continue it" if record else "no run"
            raise MissingInputError(f"{folder}: has no metrics.json, so it holds {state}")
        parsed = content.parsed(folder / METRICS, Metrics, metrics)
        if record is None or not isinstance(record.get("files"), dict):
            raise DataError(f"{folder / RECORD}: is missing or holds no hashes, so the files cannot be verified")
        digest = checksum.of_file(folder / RECORD)
        told = content.parsed(folder / RECORD, RunRecord, record)
        for name, expected in (told.files or {}).items():
            if name != but:
                content.verify(folder, name, expected)
        return VerifiedRun(folder=folder, record=told, metrics=parsed, record_hash=digest)

    def holds(self, trials: Iterable[tuple[Architecture, int]]) -> bool:
        """Whether all of these architectures and seeds were trained."""
        seeds = {name: {run.seed for run in entry.runs} for name, entry in self.metrics.architectures.items()}
        return all(seed in seeds.get(name, set()) for name, seed in trials)

    def models(self) -> list[ModelName]:
        """Those that can be asked: of networks that did not diverge, and the linear one and the ensemble where they were kept."""
        told = self.metrics
        trained = {name for name, entry in told.architectures.items() if entry.best_seed is not None}
        known = {*trained, ModelName.baseline, *([ModelName.ensemble] if told.ensemble else [])}
        return [name for name in ModelName if name in known and self.has(f"{name}/{model_file(name)}")]

    def words(self) -> list[str]:
        """The vocabulary by rank; raises, as the next ones do, `DataError` where the file holds something else."""
        with self.reading(VOCABULARY) as path:
            return _WORDS.validate_json(reading.content(path), strict=True)

    def evidence(self) -> dict[str, NDArray[Any]] | None:
        """The arrays of the tables that its networks look up (job/data/evidence.py); None where they read none."""
        from safetensors.numpy import load

        return self._loaded(EVIDENCE, load)

    def linear_weights(self) -> LinearWeights | None:
        """The baseline's; None where it was not kept."""
        return self._loaded(f"{ModelName.baseline}/{_WEIGHTS}", LinearWeights.of_safetensors)

    def member_weights(self) -> dict[tuple[str, int], list[NDArray[np.float32]]]:
        """The weights of the ensemble's networks by architecture and seed; none where there is no ensemble."""
        return self._loaded(f"{ModelName.ensemble}/{_WEIGHTS}", weights_of_safetensors) or {}

    def _loaded(self, name: str, load: Callable[[bytes], _Loaded]) -> _Loaded | None:
        if not self.has(name):
            return None
        with self.reading(name) as path:
            return load(reading.content(path))

    def training_hashes(self) -> NDArray[np.uint64]:
        """Hashes of the texts that the run was trained on or validated with, <uint64>[reviews]."""
        with self.reading(TRAINING_HASHES) as path:
            # Mapped, as an array is then no larger than its file, whatever its header says.
            return np.array(np.load(path, mmap_mode="r", allow_pickle=False), np.uint64)

    def has(self, name: str) -> bool:
        """Whether there is a file of this name."""
        with _readable(self.folder):
            return (self.folder / name).exists()

    def within(self, name: str) -> list[str]:
        """The files of a folder, or the file of this name: of those that were verified."""
        return [file for file in self.record.files or {} if file == name or file.startswith(f"{name}/")]

    def copy(self, name: str, path: Path) -> None:
        """Copies what is `within` a name, and nothing that lies beside it; raises `OSError`."""
        for file in self.within(name):
            target = path / Path(file).relative_to(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(content.file(self.folder, file), target)

    @contextmanager
    def reading(self, name: str) -> Iterator[Path]:
        """Gives the path of a file, and explains what goes wrong while it is read and made sense of.

        Raises:
            MissingInputError: It is not there, is no file, or a link out of the run.
            DataError: It holds something else.
        """
        with _readable(self.folder), content.understood(self.folder / name):
            yield content.file(self.folder, name)


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
        """Reads the rest of a run whose files were verified.

        Raises:
            MissingInputError: A file is missing.
            DataError: One holds something else than this version writes, or several do not belong together.
        """
        with content.understood(run.folder):
            read = cls._read(run)
        read._require_one_run()
        return read

    @classmethod
    def _read(cls, run: VerifiedRun) -> Self:
        folder, metrics = run.folder, run.metrics
        if not run.has(EXAMPLES):
            raise MissingInputError(f"{folder}: has no {EXAMPLES}, so another version of this program made it; train again")
        with run.reading(EXAMPLES) as path:
            examples = Examples.parse(reading.content(path))
        with run.reading(PREDICTIONS) as path:
            probabilities, test = predictions.read(path), predictions.read_test(path)
        of_validation, validation = predictions.Predictions(), TestReviews(labels=np.empty(0, np.int8))
        if run.has(VALIDATION_PREDICTIONS):
            with run.reading(VALIDATION_PREDICTIONS) as path:
                of_validation, validation = predictions.read(path), predictions.read_test(path)
        nothing, weights, trials = np.empty(0, np.float32), run.member_weights(), Trials()
        for name, entry in metrics.architectures.items():
            with run.reading(f"{name}/{HISTORY}") as path:
                history = content.read_history(path)
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
            test=test,
            validation=validation,
            ensemble=EnsembleResult(metrics.ensemble, probabilities[_ENSEMBLE], of_validation[_ENSEMBLE])
            if metrics.ensemble
            else None,
            teaching=read_teaching(metrics, probabilities),
            examples=examples,
        )

    def _require_one_run(self) -> None:
        """Makes sure that what was read of several files is of the same trainings and reviews; raises `DataError`."""
        folder, tests, told = self.folder, len(self.labels), self.examples

        def require(is_so: bool, what: str) -> None:
            if not is_so:
                raise DataError(f"{folder}: its files do not belong together ({what})")

        for name, result in self.trials:
            who = f"{name}, seed {result.record.seed}"
            answered = (tests,) if result.record.status == "finished" else (0, tests)
            require(len(result.probabilities) in answered, f"{PREDICTIONS} has no answer of {who} to each test review")
            require(
                len(result.validation) in (0, len(self.validation.labels)),
                f"{VALIDATION_PREDICTIONS} has no answer of {who} to each validation review",
            )
        for name, entry in self.metrics.architectures.items():
            seeds: list[int | None] = [each.seed for each in entry.runs if each.status == "finished"]
            require(entry.best_seed in (seeds or [None]), f"the best seed of {name} in {METRICS} is none that was finished")
            require(name in self.record.identity.hyperparameters, f"{RECORD} has no hyperparameters of {name}")
        answers = [self.baseline.probabilities, *([self.ensemble.probabilities] if self.ensemble else [])]
        for probabilities in answers:
            require(
                len(probabilities) == tests, f"{PREDICTIONS} has no answer of the baseline or the ensemble to each test review"
            )
        chosen = {number for numbers in (*told.most_wrong.values(), told.disagreements) for number in numbers}
        is_of_these = len(told.lengths) == tests and all(0 <= number < tests and str(number) in told.texts for number in chosen)
        require(is_of_these, f"{EXAMPLES} is of other test reviews")

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


def _readable(folder: Path) -> AbstractContextManager[None]:
    return reading.explained(folder, "the --output of a finished run that this user may read")
