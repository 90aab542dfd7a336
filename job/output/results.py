"""What trainings leave: the result of each trial, and of the baseline."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from job.errors import DivergedError
from job.output.checkpoints import Snapshot
from job.output.predictions import Predictions
from job.presets import Architecture
from job.records.history import HistoryRow
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

    def to_snapshot(self) -> Snapshot:
        """As it is kept until the whole run is finished."""
        arrays: dict[str, NDArray[Any]] = {"probabilities": self.probabilities}
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
        return cls(record, history, arrays["probabilities"], weights, norms)


@dataclass(frozen=True)
class LinearWeights:
    """A linear model on the presence of words and bigrams: what each of them adds to the logit of being positive."""

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

    def to_safetensors(self) -> bytes:
        """As a file, under the names of the fields."""
        from safetensors.numpy import save

        return bytes(save(self.arrays()))

    @classmethod
    def of_safetensors(cls, content: bytes) -> Self:
        """What `to_safetensors` made."""
        from safetensors.numpy import load

        return cls(**load(content))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """By field."""
        return {each.name: np.ascontiguousarray(getattr(self, each.name)) for each in fields(self)}


@dataclass(frozen=True)
class BaselineResult:
    """What the training of the baseline leaves."""

    record: BaselineRecord
    probabilities: NDArray[np.float32]
    """<float32>[test reviews]"""
    weights: LinearWeights | None = None
    """None where the model is in the output already, or where there are several, for as many distances."""

    def to_snapshot(self) -> Snapshot:
        """As it is kept until the whole run is finished."""
        arrays = {"probabilities": self.probabilities} | (self.weights.arrays() if self.weights else {})
        return Snapshot({"record": self.record.to_values()}, arrays)

    @classmethod
    def of_snapshot(cls, snapshot: Snapshot) -> "BaselineResult":
        """What `to_snapshot` made a snapshot of."""
        record, arrays = BaselineRecord.model_validate(snapshot.values["record"]), dict(snapshot.arrays)
        probabilities = arrays.pop("probabilities")
        return cls(record, probabilities, LinearWeights(**arrays) if arrays else None)


class Trials:
    """A run's results by architecture and seed. Of each architecture the weights of the best seed alone are kept."""

    def __init__(self) -> None:
        self._results: dict[Architecture, dict[int, TrialResult]] = {}

    def add(self, architecture: Architecture, result: TrialResult) -> TrialResult:
        """Adds a result, and returns it as it is kept: without its weights if another seed is better."""
        results = self._results.setdefault(architecture, {})
        results[result.record.seed] = result
        best = self.best(architecture)
        for seed, each in results.items():
            if each is not best:
                results[seed] = replace(each, weights=None)
        return results[result.record.seed]

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
