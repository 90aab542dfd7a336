"""Trains what a run consists of: a network for each architecture and seed, or, over distances, several."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from job.config import Configuration
from job.data import reviews
from job.data.corpus import Corpus
from job.data.evidence import Evidence
from job.output.checkpoints import Checkpoints
from job.output.folder import Output
from job.output.results import TrialResult
from job.presets import Architecture, Hyperparameters
from job.training import evidence
from job.training.baseline import Baseline
from job.training.desk import Display, OwnDesk
from job.training.team import Take, Team
from job.training.trial import Outcome, Task
from job.training.work import Judge, Train, Work

if TYPE_CHECKING:
    from job.training.selftraining import Teacher

Look = Callable[[str], None]
"""Is told what for, before the test reviews are used."""
Keep = Callable[[Architecture, TrialResult], TrialResult]
"""From a result to what of it is kept."""


class Recipe(Protocol):
    """How a run's results come about."""

    def train(self, trials: Sequence[tuple[Architecture, int]], keep: Keep) -> None:
        """Makes the result of each architecture and seed: loaded, or made now, and kept until the run is finished."""

    def baseline(self) -> Work:
        """The linear model beside the networks, still to be trained; gives a `BaselineResult`."""


class Trainer:
    """Does single trainings: each is taken up where it was left, and its result is kept when it is finished.

    Args:
        spare: As in job/data/corpus.py.
    """

    def __init__(
        self, output: Output, cache: Path, team: Team, display: Display, look: Look, spare: Path | None = None
    ) -> None:
        self.output = output
        self._look, self._cache, self._spare, self._team, self._display = look, cache, spare, team, display
        self._saved, self._spent, self._trained = 0, 0.0, 0.0
        self._beside: list[tuple[Work, Take]] = []

    def train(
        self,
        tasks: Sequence[tuple[Task, Corpus]],
        keep: Callable[[int, TrialResult], TrialResult] = lambda place, result: result,
        guesses: Callable[[], NDArray[np.float32]] | None = None,
    ) -> dict[int, TrialResult]:
        """Each training's result by its place: loaded, or made now.

        Args:
            keep: From a place and a result to what of it is kept.
            guesses: Makes what `Trial` takes; where all results are loaded, it is not asked.
        """
        keys = [_key(task) for task, _ in tasks]
        loaded = {
            place: self.output.load_result(key, task.seed)
            for place, (key, (task, _)) in enumerate(zip(keys, tasks, strict=True))
        }
        found = {place: keep(place, result) for place, result in loaded.items() if result is not None}
        missing = [place for place, result in loaded.items() if result is None]
        if not missing:
            return found
        told = guesses() if guesses else None
        if any(tasks[place][0].values.evidence for place in missing):
            self._display.phase("learning what n-grams say")
        works = {
            place: Train(task=task, corpus=corpus, evidence=self.evidence(task, corpus), guesses=told)
            for place, (task, corpus) in ((place, tasks[place]) for place in missing)
        }

        def take(place: int, store: Checkpoints, outcome: Outcome) -> None:
            found[place] = keep(place, outcome.result)
            self.output.save_result(keys[place], found[place])
            store.clear()
            self._display.end(works[place].label)
            self._saved, self._spent = self._saved + outcome.snapshots, self._spent + outcome.saving
            self._trained += outcome.result.record.seconds

        self._display.plan({work.label: work.cost for work in works.values()})
        for place, work in works.items():
            store = self.output.checkpoints(keys[place], work.task.seed)
            self._team.add(work, self._desk(store), partial(take, place, store))
        self.finish()
        return found

    def add(self, work: Work, take: Take) -> None:
        """Has something done that takes no snapshots: after the trainings that come next, or beside them where there is room."""
        self._beside.append((work, take))

    def finish(self) -> None:
        """Waits until all of it is done."""
        for work, take in self._beside:
            self._team.add(work, self._desk(None), take)
        self._beside.clear()
        self._team.finish()

    def judge(
        self,
        task: Task,
        corpus: Corpus,
        weights: list[NDArray[np.float32]],
        places: Sequence[NDArray[np.int64]],
        take: Callable[[int, NDArray[np.float32]], None],
    ) -> None:
        """A trained network's judgement of reviews, in pieces.

        Args:
            places: Of each piece, indices of the corpus <int64>[reviews].
            take: Is given a piece's number and its probabilities, <float32>[reviews].
        """
        told = self.evidence(task, corpus)
        for number, each in enumerate(places):
            work = Judge(task=task, corpus=corpus, evidence=told, weights=weights, places=each)
            self._team.add(work, self._desk(None), partial(take, number))
        self._team.finish()

    def evidence(self, task: Task, corpus: Corpus) -> Evidence | None:
        """What the n-grams say, where the task's network reads it; made once, before it is needed by several."""
        return self._evidence(corpus, task.values) if task.values.evidence else None

    def linear_logits(self, corpus: Corpus, values: Hyperparameters) -> NDArray[np.float32]:
        """The linear model's of the evidence, <float32>[reviews of the corpus]."""
        return self._evidence(corpus, values).logits

    def _evidence(self, corpus: Corpus, values: Hyperparameters) -> Evidence:
        return evidence.load(reviews.split(corpus, values).train, values, self._cache, self._spare)

    def _desk(self, store: Checkpoints | None) -> OwnDesk:
        return OwnDesk(self._display, store, self._look)

    def describe_checkpoints(self) -> str:
        """What saving snapshots cost."""
        share = f", {self._spent / self._trained:.2%} of training" if self._trained else ""
        return f"{self._saved} checkpoints took {self._spent:.2f} s{share}"


def _key(task: Task) -> str:
    """As a part of file names."""
    return re.sub("[^a-z0-9]+", "-", task.name.lower())


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

    def train(self, trials: Sequence[tuple[Architecture, int]], keep: Keep) -> None:
        """See `Recipe`."""
        teacher = self.teacher
        self._trainer.train(
            [(self._task(architecture, seed), self._corpus) for architecture, seed in trials],
            lambda place, result: keep(trials[place][0], result),
            (lambda: teacher.guesses) if teacher else None,
        )

    def _task(self, architecture: Architecture, seed: int) -> Task:
        values = self._configuration.hyperparameters[architecture]
        threshold = self._configuration.threshold
        return Task(architecture=architecture, seed=seed, values=values, name=str(architecture), threshold=threshold)

    def baseline(self) -> Work:
        """See `Recipe`."""
        values = next(iter(self._configuration.hyperparameters.values()))
        parts = reviews.split(self._corpus, values)
        # A hundred reviews hold hardly a pair twice; the pairs of all training reviews do.
        every = parts.train.corpus.part("train") if values.first_reviews else None
        return Baseline(
            training=parts.train,
            test=parts.test,
            counted=None if every is None else replace(parts.train, indices=every),
            class_weight=values.class_weight,
            decision=(parts.validation, self._configuration.threshold),
        )
