"""The recipe of the preset dependency: a trial is a network for every distance, and those with a remedy beside them.

Its record is that of any trial, its scores means over distances; under `trainings` are the single ones.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from job.analysis import scores
from job.config import CLUES, Configuration
from job.data.corpus import Corpus
from job.data.reviews import split
from job.output.results import BaselineResult, TrialResult
from job.presets import Architecture, Hyperparameters
from job.records.history import HistoryRow
from job.records.trials import (
    BaselineDistance,
    BaselineRecord,
    DistanceRecord,
    LossAndAccuracy,
    Scores,
    TrialRecord,
)
from job.training import baseline
from job.training.trainer import Keep, Trainer
from job.training.trial import Task


class NetworksOverDistances:
    """The recipe; see `Recipe`."""

    def __init__(self, configuration: Configuration, corpus: Corpus, trainer: Trainer) -> None:
        self._configuration, self._trainer = configuration, trainer
        distances = configuration.source.distances
        self._parts = list(zip(distances, sections(corpus, len(distances)), strict=True))

    def train(self, architecture: Architecture, seed: int, keep: Keep) -> TrialResult:
        """Trains the plain network at every distance, then those with a remedy."""
        kept = self._trainer.output.load_result(architecture, seed)
        if kept is not None:
            return keep(kept)
        result = keep(self._train(architecture, seed))
        self._trainer.output.save_result(architecture, result)
        return result

    def _train(self, architecture: Architecture, seed: int) -> TrialResult:
        plain = self._configuration.hyperparameters[architecture]
        networks: dict[str | None, Hyperparameters] = {None: plain} | self._configuration.remedies[architecture]
        results: list[TrialResult] = []
        trainings: list[DistanceRecord] = []
        history: list[HistoryRow] = []
        for remedy, values in networks.items():
            for distance, corpus in self._parts:
                task = Task(
                    architecture=architecture,
                    seed=seed,
                    # Buffers as long as these reviews need, not as the longest distance's.
                    values=replace(values, max_tokens=min(values.max_tokens, distance + CLUES)),
                    name=f"{architecture}{f' ({remedy})' if remedy else ''}, distance {distance}",
                    traces_gradients=True,
                )
                result = self._trainer.train(task, corpus)
                results.append(result)
                trainings.append(_distance_record(result, distance, remedy, values))
                history += [replace(row, distance=distance, remedy=remedy) for row in result.history]
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

    def train_baseline(self) -> BaselineResult:
        """Trained and scored at each distance: means over distances, and each one's scores. None of these models is kept."""
        values = next(iter(self._configuration.hyperparameters.values()))
        parts = [split(corpus, values) for _, corpus in self._parts]
        results = [
            baseline.train(each.train, each.test, self._trainer.look, class_weight=values.class_weight) for each in parts
        ]
        records = [result.record for result in results]
        joined = BaselineRecord(
            name=baseline.NAME,
            features=sum(record.features for record in records),
            train_reviews=sum(record.train_reviews for record in records),
            seconds=sum(record.seconds for record in records),
            test=scores.mean_scores([record.test for record in records]),
            trainings=[
                BaselineDistance(distance=distance, features=record.features, test=record.test)
                for (distance, _), record in zip(self._parts, records, strict=True)
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
