"""Pieces of work that any process can do: this one, or a worker's. They are sent there, and their results back."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from job.analysis import scores
from job.data import reviews
from job.data.corpus import Corpus
from job.data.evidence import Evidence
from job.presets import Architecture, Hyperparameters
from job.records.metrics import DeviceRecord
from job.training.desk import Desk, Label
from job.training.trial import Outcome, Runner, Task, Trial

if TYPE_CHECKING:
    from job.training.group import Group


TASK = TypeAdapter(Task)
"""A task, to JSON values and back."""


class Work(Protocol):
    """Something to be done that depends on nothing else in progress."""

    @property
    def label(self) -> Label:
        """For people."""

    @property
    def cost(self) -> float:
        """What it takes, in a unit that all have in common."""

    def do(self, desk: Desk, device: DeviceRecord) -> Any:
        """Does it, in a process in which TensorFlow is set up."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Train:
    """Training a network and scoring it; gives an `Outcome`."""

    task: Task
    corpus: Corpus
    evidence: Evidence | None = None
    """Where the network reads any."""
    guesses: NDArray[np.float32] | None = field(default=None, repr=False)
    """As `Trial` takes them."""
    group: "Group | None" = field(default=None, repr=False)
    """The processes that do it together."""
    kind: ClassVar = "train"
    """For the others of the group."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What the others of the group need beside the task."""
        return {} if self.guesses is None else {"guesses": self.guesses}

    @property
    def label(self) -> Label:
        """See `Work`, as with the next two."""
        return self.task.label

    @property
    def cost(self) -> float:
        """See `Work`: its multiplications, nearly."""
        parts = reviews.split(self.corpus, self.task.values)
        texts = parts.train if self.guesses is None else parts.train.with_guesses(self.guesses)
        return float(texts.lengths.sum()) * self.task.values.epochs * multiplications(self.task.architecture, self.task.values)

    def do(self, desk: Desk, device: DeviceRecord) -> Outcome:
        """See `Work`."""
        parts = reviews.split(self.corpus, self.task.values)
        return Runner(Trial(self.task, parts, device, self.evidence, self.guesses, self.group), desk).run()


@dataclass(frozen=True, kw_only=True, eq=False)
class Judge:
    """A trained network's judgement of some reviews; gives probabilities <float32>[places]."""

    task: Task
    corpus: Corpus
    evidence: Evidence | None
    weights: list[NDArray[np.float32]] = field(repr=False)
    places: NDArray[np.int64] = field(repr=False)
    """<int64>[places], indices of the corpus."""
    group: "Group | None" = field(default=None, repr=False)
    """As in `Train`, as are the next two."""
    kind: ClassVar = "judge"

    def arrays(self) -> dict[str, NDArray[Any]]:
        """See `Train`."""
        return {"places": self.places} | {f"weights-{number:04d}": each for number, each in enumerate(self.weights)}

    @property
    def label(self) -> Label:
        """See `Work`, as with the next two."""
        return self.task.label

    @property
    def cost(self) -> float:
        """See `Work`."""
        return float(self.corpus.lengths[self.places].sum()) * multiplications(self.task.architecture, self.task.values) / 3

    def do(self, desk: Desk, device: DeviceRecord) -> NDArray[np.float32]:
        """See `Work`."""
        trial = _trial(self, device)
        trial.network.set_weights(self.weights)
        return scores.probabilities(trial.predict(replace(trial.parts.train, indices=self.places)))


def of_message(
    kind: str, task: Task, arrays: Mapping[str, NDArray[Any]], corpus: Corpus, evidence: Evidence | None, group: "Group"
) -> Train | Judge:
    """What the chief of a group wants done; `kind` and `arrays` as `Train` and `Judge` make them."""
    if kind == Train.kind:
        return Train(task=task, corpus=corpus, evidence=evidence, guesses=arrays.get("guesses"), group=group)
    weights = [arrays[name] for name in sorted(arrays) if name != "places"]
    return Judge(task=task, corpus=corpus, evidence=evidence, weights=weights, places=arrays["places"], group=group)


# Several pieces of one judgement come one after the other, and compiling takes seconds.
_built: dict[tuple[Task, Corpus], Trial] = {}


def _trial(work: Judge, device: DeviceRecord) -> Trial:
    key = work.task, work.corpus
    if key not in _built:
        _built.clear()
        parts = reviews.split(work.corpus, work.task.values)
        _built[key] = Trial(work.task, parts, device, work.evidence, group=work.group)
    return _built[key]


def multiplications(architecture: Architecture, values: Hyperparameters) -> float:
    """Of one token in one epoch, forward and backward, nearly; beside those what takes as long."""
    gates, directions = (4 if architecture is Architecture.lstm else 1), (2 if values.bidirectional else 1)
    inputs = values.embedding_size + values.evidence
    return 3.0 * directions * (gates * values.units * (values.units + inputs / 4) + 5_000)
