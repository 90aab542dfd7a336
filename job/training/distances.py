"""The recipe of the preset dependency: a trial is a network for every distance, and those with a remedy beside them.

Its record is that of any trial, its scores means over distances; under `trainings` are the single ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from job.analysis import scores
from job.config import CLUES, Configuration
from job.data.corpus import Corpus
from job.data.reviews import split
from job.output.results import BaselineResult, TrialResult
from job.presets import Architecture, Hyperparameters
from job.records.history import training_name
from job.records.metrics import DeviceRecord
from job.records.trials import (
    BaselineDistance,
    BaselineRecord,
    DistanceRecord,
    LossAndAccuracy,
    Scores,
    TrialRecord,
)
from job.training import baseline
from job.training.baseline import Baseline
from job.training.desk import Desk, Label
from job.training.trainer import Keep, Trainer
from job.training.trial import Task
from job.training.work import Work


class _Cell(NamedTuple):
    """One network."""

    architecture: Architecture
    seed: int
    remedy: str | None
    place: int
    """Of its distance."""


class NetworksOverDistances:
    """The recipe; see `Recipe`."""

    def __init__(self, configuration: Configuration, corpus: Corpus, trainer: Trainer) -> None:
        self._configuration, self._trainer = configuration, trainer
        distances = configuration.source.distances
        self._parts = list(zip(distances, sections(corpus, len(distances)), strict=True))

    def train(self, trials: Sequence[tuple[Architecture, int]], keep: Keep) -> None:
        """Trains the plain network at every distance, and those with a remedy, of all trials at once."""
        output, tasks = self._trainer.output, [_Cell(*trial, *rest) for trial in trials for rest in self._cells(trial[0])]
        for architecture, seed in trials:
            if (kept := output.load_result(architecture, seed)) is not None:
                keep(architecture, kept)
                tasks = [cell for cell in tasks if cell[:2] != (architecture, seed)]
        found: dict[tuple[Architecture, int], dict[_Cell, TrialResult]] = {}

        def take(place: int, result: TrialResult) -> TrialResult:
            cell = tasks[place]
            mine = found.setdefault(cell[:2], {})
            mine[cell] = result
            wanted = [each for each in tasks if each[:2] == cell[:2]]
            if len(mine) == len(wanted):
                joined = keep(cell.architecture, self._join([mine[each] for each in wanted], wanted))
                output.save_result(cell.architecture, joined)
            return result

        self._trainer.train([self._training(cell) for cell in tasks], take)

    def _cells(self, architecture: Architecture) -> list[tuple[str | None, int]]:
        remedies = (None, *self._configuration.remedies[architecture])
        return [(remedy, place) for remedy in remedies for place in range(len(self._parts))]

    def _values(self, cell: "_Cell") -> Hyperparameters:
        if cell.remedy is None:
            return self._configuration.hyperparameters[cell.architecture]
        return self._configuration.remedies[cell.architecture][cell.remedy]

    def _training(self, cell: "_Cell") -> tuple[Task, Corpus]:
        values, (distance, corpus) = self._values(cell), self._parts[cell.place]
        task = Task(
            architecture=cell.architecture,
            seed=cell.seed,
            # Buffers as long as these reviews need, not as the longest distance's.
            values=replace(values, max_tokens=min(values.max_tokens, distance + CLUES)),
            name=training_name(cell.architecture, distance, cell.remedy),
            traces_gradients=True,
        )
        return task, corpus

    def _join(self, results: list[TrialResult], cells: list["_Cell"]) -> TrialResult:
        """The result of a trial from those of its networks."""
        trainings = [
            _distance_record(result, self._parts[cell.place][0], cell.remedy, self._values(cell))
            for result, cell in zip(results, cells, strict=True)
        ]
        history = [
            replace(row, distance=self._parts[cell.place][0], remedy=cell.remedy)
            for result, cell in zip(results, cells, strict=True)
            for row in result.history
        ]
        of_plain, records = results[: len(self._parts)], trainings[: len(self._parts)]
        learned = [place for place, record in enumerate(records) if record.steps_until_learned is not None]
        longest = learned[-1] if learned else 0
        best = of_plain[longest]
        diverged = next((record.diverged for record in records if record.diverged), None)
        empty = np.empty(0, np.float32)
        probabilities = empty if diverged else np.concatenate([result.probabilities for result in of_plain])
        record = _joined(records, diverged).but(
            best_epoch=best.record.best_epoch,
            model_distance=records[longest].distance,
            trainings=trainings,
        )
        if not diverged:
            labels = np.concatenate([corpus.labels[corpus.part("test")] for _, corpus in self._parts])
            record = record.but(calibration=scores.calibration(labels, probabilities))
        return TrialResult(record, history, probabilities, None if diverged else best.weights)

    def baseline(self) -> Work:
        """See `Recipe`."""
        values = next(iter(self._configuration.hyperparameters.values()))
        return BaselineOverDistances(self._parts, values)


@dataclass(frozen=True, eq=False)
class BaselineOverDistances:
    """The work of which the linear models are made, one for each distance. Gives means over distances, and each one's scores.

    None of these models is kept.
    """

    corpora: Sequence[tuple[int, Corpus]]
    """By distance."""
    values: Hyperparameters

    @property
    def label(self) -> Label:
        """See `Work`, as with the next one."""
        return Label("baseline")

    @property
    def cost(self) -> float:
        """See `Work`."""
        return sum(work.cost for work in self._works())

    def _works(self) -> list[Baseline]:
        parts = [split(corpus, self.values) for _, corpus in self.corpora]
        return [Baseline(training=each.train, test=each.test, class_weight=self.values.class_weight) for each in parts]

    def do(self, desk: Desk, device: DeviceRecord) -> BaselineResult:
        """See `Work`."""
        results = [work.do(desk, device) for work in self._works()]
        records = [result.record for result in results]
        joined = BaselineRecord(
            name=baseline.NAME,
            features=sum(record.features for record in records),
            train_reviews=sum(record.train_reviews for record in records),
            seconds=sum(record.seconds for record in records),
            test=scores.mean_scores([record.test for record in records]),
            trainings=[
                BaselineDistance(distance=distance, features=record.features, test=record.test)
                for (distance, _), record in zip(self.corpora, records, strict=True)
            ],
        )
        return BaselineResult(joined, np.concatenate([result.probabilities for result in results]))


def sections(corpus: Corpus, count: int) -> list[Corpus]:
    """The reviews of each of `count` distances; all have the same number."""
    size = len(corpus.labels) // count
    return [corpus.section(place * size, (place + 1) * size) for place in range(count)]


def _distance_record(result: TrialResult, distance: int, remedy: str | None, values: Hyperparameters) -> DistanceRecord:
    record = result.record
    last = result.history[-1].epoch.validation_accuracy if result.history and not record.diverged else None
    return DistanceRecord(
        **{name: getattr(record, name) for name in record.model_fields_set},
        distance=distance,
        remedy=remedy,
        # Steps after which the network was evaluated and had learned; None where it never had.
        steps_until_learned=record.steps if last is not None and last >= values.learned_accuracy else None,
        gradient_norms=result.gradient_norms,
    )


def _joined(records: Sequence[TrialRecord], diverged: str | None) -> TrialRecord:
    """The trials at all distances as one: sums of what adds up, means of scores."""
    first, seconds = records[0], sum(record.seconds for record in records)
    tokens = sum(record.tokens_per_second * record.seconds for record in records)
    last = [record.last_epoch for record in records if record.last_epoch]
    return TrialRecord(
        seed=first.seed,
        status="diverged" if diverged else "finished",
        diverged=diverged,
        epochs=sum(record.epochs for record in records),
        steps=sum(record.steps for record in records),
        best_epoch=first.best_epoch,
        parameters=first.parameters,
        device=first.device,
        kernel=first.kernel,
        continued=[change for record in records for change in record.continued],
        train=_mean([record.train for record in records]),
        validation=_mean([record.validation for record in records]),
        test=_mean([record.test for record in records]),
        calibration=None,
        last_epoch=LossAndAccuracy(
            loss=float(np.mean([each.loss for each in last])), accuracy=float(np.mean([each.accuracy for each in last]))
        )
        if len(last) == len(records)
        else None,
        train_reviews=sum(record.train_reviews for record in records),
        validation_reviews=sum(record.validation_reviews for record in records),
        test_reviews=sum(record.test_reviews for record in records),
        seconds=seconds,
        tokens_per_second=tokens / seconds if seconds else 0.0,
    )


def _mean(found: list[Scores | None]) -> Scores | None:
    finished = [each for each in found if each]
    return scores.mean_scores(finished) if len(finished) == len(found) else None
