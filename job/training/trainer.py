"""Trains what a run consists of: a network for each architecture and seed, or, over distances, several."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from job.config import Configuration
from job.data import reviews
from job.data.corpus import Corpus
from job.output.folder import Output
from job.output.results import BaselineResult, TrialResult
from job.presets import Architecture
from job.records.metrics import DeviceRecord
from job.training import baseline
from job.training.trial import Display, Runner, Task, Trial

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

    def train(self, task: Task, corpus: Corpus, keep: Keep = lambda result: result) -> TrialResult:
        """A training's result: loaded, or made now."""
        key = re.sub("[^a-z0-9]+", "-", task.name.lower())
        kept = self.output.load_result(key, task.seed)
        if kept is not None:
            return keep(kept)
        trial = Trial(task, reviews.split(corpus, task.values), self._device, self._cache)
        checkpoints = self.output.checkpoints(key, task.seed)
        result = keep(Runner(trial, checkpoints, self._display, self.look).run())
        self.output.save_result(key, result)
        checkpoints.clear()
        self._saved, self._spent = self._saved + checkpoints.count, self._spent + checkpoints.seconds
        self._trained += result.record.seconds
        return result

    def describe_checkpoints(self) -> str:
        """What saving snapshots cost."""
        share = f", {self._spent / self._trained:.2%} of training" if self._trained else ""
        return f"{self._saved} checkpoints took {self._spent:.2f} s{share}"


class SingleNetworks:
    """The recipe of most presets: a trial is a network."""

    def __init__(self, configuration: Configuration, corpus: Corpus, trainer: Trainer) -> None:
        self._configuration, self._corpus, self._trainer = configuration, corpus, trainer

    def train(self, architecture: Architecture, seed: int, keep: Keep) -> TrialResult:
        """See `Recipe`."""
        values = self._configuration.hyperparameters[architecture]
        threshold = self._configuration.threshold
        task = Task(architecture=architecture, seed=seed, values=values, name=str(architecture), threshold=threshold)
        return self._trainer.train(task, self._corpus, keep)

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
