"""Trains what a run consists of: a network for each architecture and seed, or, over distances, several."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from job.analysis import scores
from job.config import Configuration
from job.data import reviews
from job.data.corpus import Corpus
from job.output.folder import Output
from job.output.results import BaselineResult, TrialResult
from job.presets import Architecture
from job.records.metrics import DeviceRecord
from job.training import baseline
from job.training.trial import Display, Runner, Task, Trial

if TYPE_CHECKING:
    from job.training.selftraining import Teacher

Look = Callable[[str], None]
"""Is told what for, before the test reviews are used."""
Keep = Callable[[TrialResult], TrialResult]
"""From a result to what of it is kept."""


class Recipe(Protocol):
    """How a run's results come about."""

    def train(self, architecture: Architecture, seed: int, keep: Keep) -> TrialResult:
        """The result of one network and seed: loaded, or made now, and kept until the run is finished."""

    def train_baseline(self) -> BaselineResult:
        """The result of the linear model beside the networks."""


class Trainer:
    """Does single trainings: each is taken up where it was left, and its result is kept when it is finished."""

    def __init__(self, output: Output, cache: Path, device: DeviceRecord, display: Display, look: Look) -> None:
        self.output, self.look = output, look
        self._cache, self._device, self._display = cache, device, display
        self._saved, self._spent, self._trained = 0, 0.0, 0.0

    def train(
        self,
        task: Task,
        corpus: Corpus,
        keep: Keep = lambda result: result,
        guesses: Callable[[], NDArray[np.float32]] | None = None,
    ) -> TrialResult:
        """A training's result: loaded, or made now.

        Args:
            guesses: Makes what `Trial` takes; where a result is loaded, it is not asked.
        """
        key = re.sub("[^a-z0-9]+", "-", task.name.lower())
        kept = self.output.load_result(key, task.seed)
        if kept is not None:
            return keep(kept)
        told = guesses() if guesses else None
        trial = Trial(task, reviews.split(corpus, task.values), self._device, self._cache, told)
        checkpoints = self.output.checkpoints(key, task.seed)
        result = keep(Runner(trial, checkpoints, self._display, self.look).run())
        self.output.save_result(key, result)
        checkpoints.clear()
        self._saved, self._spent = self._saved + checkpoints.count, self._spent + checkpoints.seconds
        self._trained += result.record.seconds
        return result

    def judge(
        self, task: Task, corpus: Corpus, weights: list[NDArray[np.float32]]
    ) -> Callable[[NDArray[np.int64]], NDArray[np.float32]]:
        """A trained network's judgement: from indices of the corpus <int64>[reviews] to probabilities <float32>[reviews]."""
        trial = Trial(task, reviews.split(corpus, task.values), self._device, self._cache)
        trial.network.set_weights(weights)

        def of(indices: NDArray[np.int64]) -> NDArray[np.float32]:
            return scores.probabilities(trial.predict(replace(trial.parts.train, indices=indices)))

        return of

    def describe_checkpoints(self) -> str:
        """What saving snapshots cost."""
        share = f", {self._spent / self._trained:.2%} of training" if self._trained else ""
        return f"{self._saved} checkpoints took {self._spent:.2f} s{share}"


class SingleNetworks:
    """The recipe of most presets: a trial is a network.

    Args:
        teacher: Whose guesses for texts without labels are learned from, too.
    """

    def __init__(
        self, configuration: Configuration, corpus: Corpus, trainer: Trainer, teacher: "Teacher | None" = None
    ) -> None:
        self._configuration, self._corpus, self._trainer = configuration, corpus, trainer
        self.teacher = teacher

    def train(self, architecture: Architecture, seed: int, keep: Keep) -> TrialResult:
        """See `Recipe`."""
        teacher = self.teacher
        guesses = (lambda: teacher.guesses) if teacher else None
        values = self._configuration.hyperparameters[architecture]
        threshold = self._configuration.threshold
        task = Task(architecture=architecture, seed=seed, values=values, name=str(architecture), threshold=threshold)
        return self._trainer.train(task, self._corpus, keep, guesses)

    def train_baseline(self) -> BaselineResult:
        """See `Recipe`."""
        values = next(iter(self._configuration.hyperparameters.values()))
        parts = reviews.split(self._corpus, values)
        # A hundred reviews hold hardly a pair twice; the pairs of all training reviews do.
        every = parts.train.corpus.part("train") if values.first_reviews else None
        counted = None if every is None else replace(parts.train, indices=every)
        return baseline.train(
            parts.train,
            parts.test,
            self._trainer.look,
            counted,
            values.class_weight,
            (parts.validation, self._configuration.threshold),
        )
