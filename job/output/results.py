"""What trainings leave: the result of each trial, and of the baseline."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from job.analysis import ensemble
from job.errors import DivergedError
from job.output.checkpoints import Snapshot
from job.output.predictions import Predictions
from job.presets import Architecture
from job.records.ensemble import EnsembleMember, EnsembleRecord
from job.records.history import HistoryRow
from job.records.selftraining import LabelsAlone
from job.records.trials import BaselineRecord, GradientNorm, TrialRecord

_HISTORY = TypeAdapter(list[HistoryRow])
_NORMS = TypeAdapter(list[GradientNorm] | None)


@dataclass(frozen=True)
class TrialResult:
    """What the training of one network with one seed leaves."""

    record: TrialRecord
    history: list[HistoryRow]
    probabilities: NDArray[np.float32]
    """<float32>[test reviews], in the order of the data; empty where the training diverged."""
    weights: list[NDArray[np.float32]] | None
    """In Keras's order; None where only a better seed's are kept, or the model is in the output already."""
    gradient_norms: list[GradientNorm] | None = None
    """Where they were asked for: how far back the trained network still feels a token."""
    validation: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    """As `probabilities`, of the validation reviews."""

    def to_snapshot(self) -> Snapshot:
        """As it is kept until the whole run is finished."""
        arrays: dict[str, NDArray[Any]] = {"probabilities": self.probabilities, "validation": self.validation}
        arrays |= {f"weight-{number:03}": weight for number, weight in enumerate(self.weights or [])}
        values = {
            "record": self.record.to_values(),
            "history": [asdict(row) for row in self.history],
            "has_weights": self.weights is not None,
            "gradient_norms": _NORMS.dump_python(self.gradient_norms),
        }
        return Snapshot(values, arrays)

    @classmethod
    def of_snapshot(cls, snapshot: Snapshot) -> "TrialResult":
        """What `to_snapshot` made a snapshot of."""
        values, arrays = snapshot.values, snapshot.arrays
        weights = [arrays[name] for name in sorted(arrays) if name.startswith("weight-")] if values["has_weights"] else None
        record = TrialRecord.model_validate(values["record"])
        history, norms = _HISTORY.validate_python(values["history"]), _NORMS.validate_python(values["gradient_norms"])
        return cls(record, history, arrays["probabilities"], weights, norms, arrays["validation"])


@dataclass(frozen=True)
class LinearWeights:
    """A linear model on the presence of n-grams: what each of them adds to the logit of being positive."""

    bias: NDArray[np.float32]
    """<float32>[1]"""
    words: NDArray[np.float32]
    """<float32>[token ids]; of ids from its end on nothing is added."""
    bigrams: NDArray[np.int64]
    """<int64>[bigrams], sorted: `first * vocabulary_size + second` of the token ids."""
    bigram_weights: NDArray[np.float32]
    """<float32>[bigrams]"""
    vocabulary_size: NDArray[np.int64]
    """<int64>[1]: token ids from here on are read as the unknown token."""
    trigrams: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """<int64>[trigrams], sorted: `bigram * vocabulary_size + third`. Models of earlier versions have none."""
    trigram_weights: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    """<float32>[trigrams]"""

    def by_feature(self) -> NDArray[np.float32]:
        """What each adds, <float32>[features]."""
        of_words = np.zeros(int(self.vocabulary_size[0]), np.float32)
        of_words[: len(self.words)] = self.words
        return np.concatenate([of_words, self.bigram_weights, self.trigram_weights])

    def to_safetensors(self) -> bytes:
        """As a file, under the names of the fields."""
        from safetensors.numpy import save

        return bytes(save(self.arrays()))

    @classmethod
    def of_safetensors(cls, content: bytes) -> Self:
        """What `to_safetensors` made; raises `ValueError`, `TypeError` or `SafetensorError` where that is something else."""
        from safetensors.numpy import load

        made = cls(**load(content))
        alike = [(made.bigrams, made.bigram_weights), (made.trigrams, made.trigram_weights)]
        if (
            (made.bias.shape, made.vocabulary_size.shape, made.words.ndim) != ((1,), (1,), 1)
            or any(one.ndim != 1 or one.shape != other.shape for one, other in alike)
            or len(made.words) > made.vocabulary_size[0]
        ):
            raise ValueError("its arrays do not belong together")
        return made

    def arrays(self) -> dict[str, NDArray[Any]]:
        """By field."""
        return {each.name: np.ascontiguousarray(getattr(self, each.name)) for each in fields(self)}


def weights_of_safetensors(content: bytes) -> dict[tuple[str, int], list[NDArray[np.float32]]]:
    """By architecture and seed, what `Trials.weights_to_safetensors` made a file of."""
    from safetensors.numpy import load

    found: dict[tuple[str, int], list[NDArray[np.float32]]] = {}
    arrays = load(content)
    for key in sorted(arrays):
        name, _, seed = key.partition("/")[0].rpartition("-")
        found.setdefault((name, int(seed)), []).append(arrays[key])
    return found


@dataclass(frozen=True)
class BaselineResult:
    """What the training of the baseline leaves."""

    record: BaselineRecord
    probabilities: NDArray[np.float32]
    """<float32>[test reviews]"""
    weights: LinearWeights | None = None
    """None where the model is in the output already, or where there are several, for as many distances."""
    validation: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    """As `probabilities`, of the validation reviews."""

    def to_snapshot(self) -> Snapshot:
        """As it is kept until the whole run is finished."""
        arrays = {"probabilities": self.probabilities, "validation": self.validation}
        arrays |= self.weights.arrays() if self.weights else {}
        return Snapshot({"record": self.record.to_values()}, arrays)

    @classmethod
    def of_snapshot(cls, snapshot: Snapshot) -> "BaselineResult":
        """What `to_snapshot` made a snapshot of."""
        record, arrays = BaselineRecord.model_validate(snapshot.values["record"]), dict(snapshot.arrays)
        probabilities, validation = arrays.pop("probabilities"), arrays.pop("validation")
        return cls(record, probabilities, LinearWeights(**arrays) if arrays else None, validation)


@dataclass(frozen=True)
class EnsembleResult:
    """What all models of a run say together."""

    record: EnsembleRecord
    probabilities: NDArray[np.float32]
    """<float32>[test reviews]"""
    validation: NDArray[np.float32]
    """<float32>[validation reviews]"""


@dataclass(frozen=True)
class Teaching:
    """Where the guesses for texts without labels came from."""

    texts: int
    members: list[EnsembleMember]
    guesses_sha256: str
    networks: dict[Architecture, tuple[LabelsAlone, NDArray[np.float32]]]
    """The teacher's, and their probabilities for the test reviews, <float32>[test reviews]."""


def teacher_name(name: Architecture) -> str:
    """Under which the teacher's network stands in predictions.csv."""
    return f"teacher-{name}"


class Trials:
    """A run's results by architecture and seed. The weights of each architecture's best and first seeds alone are kept."""

    def __init__(self) -> None:
        self._results: dict[Architecture, dict[int, TrialResult]] = {}

    def add(self, architecture: Architecture, result: TrialResult) -> TrialResult:
        """Adds a result, and returns it as it is kept: without its weights if they are of no use."""
        results = self._results.setdefault(architecture, {})
        results[result.record.seed] = result
        best = self.best(architecture)
        for seed, each in results.items():
            if each is not best and seed >= ensemble.SEEDS:
                results[seed] = replace(each, weights=None)
        return results[result.record.seed]

    def weights(self) -> dict[tuple[str, int], list[NDArray[np.float32]]]:
        """Those that are kept, by architecture and seed."""
        return {(str(name), each.record.seed): each.weights for name, each in self if each.weights is not None}

    def without_weights(self) -> "Trials":
        """The same results, for what needs no networks."""
        light = Trials()
        for name, results in self._results.items():
            light._results[name] = {seed: replace(each, weights=None) for seed, each in results.items()}
        return light

    def __iter__(self) -> Iterator[tuple[Architecture, TrialResult]]:
        for architecture in self.architectures:
            for result in self.of(architecture):
                yield architecture, result

    @property
    def architectures(self) -> list[Architecture]:
        """Those that have results."""
        return [name for name in Architecture if name in self._results]

    def of(self, architecture: Architecture) -> list[TrialResult]:
        """One architecture's results, by seed."""
        results = self._results.get(architecture, {})
        return [results[seed] for seed in sorted(results)]

    def holds(self, architecture: Architecture, seed: int) -> bool:
        """Whether this trial's result is here."""
        return seed in self._results.get(architecture, {})

    def best(self, architecture: Architecture) -> TrialResult | None:
        """The seed with the best validation loss; the first where there is no validation; None where all diverged."""
        finished = [result for result in self.of(architecture) if result.record.status == "finished"]
        return min(finished, key=lambda result: result.record.selection_loss, default=None)

    def members(self, architecture: Architecture) -> list[TrialResult]:
        """Those that take part in the ensemble: the first seeds, if they did not diverge."""
        return [
            each for each in self.of(architecture) if each.record.seed < ensemble.SEEDS and each.record.status == "finished"
        ]

    def weights_to_safetensors(self) -> bytes:
        """The weights of all members, as a file."""
        from safetensors.numpy import save

        arrays = {
            f"{name}-{result.record.seed}/{number:03}": np.ascontiguousarray(weight)
            for name in self.architectures
            for result in self.members(name)
            for number, weight in enumerate(result.weights or [])
        }
        return bytes(save(arrays))

    def predictions(self) -> Predictions:
        """The test reviews' probabilities by architecture and seed, of the trials that did not diverge."""
        return {(str(name), result.record.seed): result.probabilities for name, result in self if len(result.probabilities)}

    def require_finished(self) -> None:
        """Makes sure that each architecture has a trial that did not diverge.

        Raises:
            DivergedError: One has none.
        """
        lost = [name for name in self.architectures if self.best(name) is None]
        if lost:
            first = self.of(lost[0])[0]
            raise DivergedError(
                f"every run of {' and '.join(lost)} diverged ({first.record.diverged}); lower --learning-rate and pass --fresh"
            )
