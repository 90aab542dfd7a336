"""Scores a finished run's models on other labelled data, with intervals, and finds texts that the run was trained on."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from job.analysis.comparison import Answers, compare, verdict
from job.analysis.intervals import wilson
from job.analysis.scores import ScoresWithIntervals, is_right, with_intervals
from job.commands import predict
from job.data import corpus as corpora
from job.data.corpus import Corpus
from job.data.tokens import FIRST_WORD_ID
from job.network.predictor import Predictor
from job.output.finished import VerifiedRun
from job.presets import UNKNOWN, ModelName
from job.records.base import Interval
from job.records.comparison import Comparison
from job.source import DataSource

_BLOCK = 4096


@dataclass(frozen=True, kw_only=True)
class ModelScores:
    """Of one model."""

    threshold: float
    """Above which a probability is labelled positive here, as in `predict`."""
    all: ScoresWithIntervals
    not_trained_on: ScoresWithIntervals | None
    """Of the reviews that the run was neither trained on nor validated with; None where that is all of them, or none."""


@dataclass(frozen=True, kw_only=True)
class MajorityAccuracy:
    """What always answering the class of most of the run's training reviews gets here."""

    label: Literal["negative", "positive"]
    accuracy: float
    ci95: Interval


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What was found."""

    data: str
    part: str
    """`test`, the source's own test part, or `all`, where it has none."""
    reviews: int
    trained_on: int
    """How many of them, word for word, the run was trained on or validated with."""
    models: dict[ModelName, ModelScores]
    majority: MajorityAccuracy | None
    """None where the run does not tell."""
    comparison: Comparison | None
    """Of the two networks."""
    verdict: str | None
    """Of the comparison, in words."""


def evaluate(folder: Path, source: DataSource) -> Evaluation:
    """Scores each model of a run on the source's own test part, or on all of its reviews where it has none.

    Raises:
        MissingInputError, DataError, ConfigurationError: As the run or the source is.
    """
    run = VerifiedRun.verify(folder)
    corpus = corpora.load(replace(source, keeps_html=not run.metrics.data.takes_out_html), for_scoring=True)
    part = "test" if corpus.own_test_part and len(corpus.part("test")) else "all"
    indices = corpus.part("test") if part == "test" else corpus.labelled
    labels, seen = corpus.labels[indices], np.isin(corpus.hashes[indices], run.training_hashes())
    models: dict[ModelName, ModelScores] = {}
    answers: list[Answers] = []
    for predictor in predict.load_all(run):
        predicted = _predict(predictor, corpus, indices)
        threshold = predictor.threshold
        new = with_intervals(labels[~seen], predicted[~seen], threshold) if seen.any() and not seen.all() else None
        every = with_intervals(labels, predicted, threshold)
        models[predictor.name] = ModelScores(threshold=threshold, all=every, not_trained_on=new)
        if predictor.name.is_network:
            answers.append(Answers(f"the {predictor.name.title}", is_right(labels, predicted, threshold)[None]))
    compared, said = None, None
    if len(answers) == 2 and len(labels) > 1:
        other, one = answers
        compared = compare(one, other)
        said = verdict(one, other, compared)
    return Evaluation(
        data=corpus.name,
        part=part,
        reviews=len(indices),
        trained_on=int(seen.sum()),
        models=models,
        majority=_majority(run, labels),
        comparison=compared,
        verdict=said,
    )


def _majority(run: VerifiedRun, labels: NDArray[np.int8]) -> MajorityAccuracy | None:
    said = run.metrics.data.majority
    if said is None:
        return None
    right = int(np.sum(labels == (said.label == "positive")))
    return MajorityAccuracy(label=said.label, accuracy=right / len(labels), ci95=wilson(right, len(labels)))


def _predict(predictor: Predictor, corpus: Corpus, indices: NDArray[np.int64]) -> NDArray[np.float32]:
    """Probabilities <float32>[reviews] by a model whose vocabulary is another one than the corpus's."""
    table = np.arange(FIRST_WORD_ID + len(corpus.words), dtype=np.int32)
    table[FIRST_WORD_ID:] = [predictor.ids.get(word, UNKNOWN) for word in corpus.words]
    predicted = []
    for first in range(0, len(indices), _BLOCK):
        reviews = [table[corpus.review(int(index))] for index in indices[first : first + _BLOCK]]
        predicted.append(predictor.of_tokens(reviews))
        corpus.release()
    return np.concatenate(predicted)
