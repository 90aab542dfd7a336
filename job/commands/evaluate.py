"""Scores a finished run's models on other labelled data, with intervals, and says where those are data it was trained on."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.analysis import scores as evaluation
from job.analysis.comparison import Answers, compare, verdict
from job.commands.predict import load_all
from job.config import DataSource
from job.data import corpus as corpora
from job.data.corpus import Corpus
from job.data.tokens import FIRST_WORD_ID
from job.network.predictor import Predictor
from job.output.folder import Output
from job.presets import UNKNOWN, Architecture

_BLOCK = 4096


def assess(folder: Path, source: DataSource) -> dict[str, Any]:
    """Scores each model of a run on the source's own test part, or on all of its reviews where it has none.

    Returns:
        `data`, `part`, `reviews`, `trained_on` (how many of them, word for word, the run was trained on or validated
        with), for each architecture `scores` with `ci95` for each, on all reviews and on those not trained on, and a
        `comparison` of the models where there are two.

    Raises:
        MissingInputError, DataError, ConfigurationError: As the run or the source is.
    """
    corpus = corpora.load(source, for_scoring=True)
    part = "test" if corpus.own_test_part and len(corpus.part("test")) else "all"
    indices = corpus.part("test") if part == "test" else np.arange(len(corpus.labels))
    predictors = load_all(folder)
    seen = np.isin(corpus.hashes[indices], Output(folder).read_training_hashes())
    labels = corpus.labels[indices]
    models: dict[str, Any] = {}
    answers: list[Answers] = []
    for predictor in predictors:
        predicted = _predict(predictor, corpus, indices)
        entry = {"all": with_intervals(labels, predicted), "not_trained_on": None}
        if seen.any() and not seen.all():
            entry["not_trained_on"] = with_intervals(labels[~seen], predicted[~seen])
        models[str(predictor.architecture)] = entry
        name = {Architecture.rnn: "the SimpleRNN", Architecture.lstm: "the LSTM"}[predictor.architecture]
        answers.append(Answers(name, ((predicted > 0.5) == (labels == 1))[None]))
    compared = None
    if len(answers) == 2 and len(labels) > 1:
        other, one = answers
        compared = compare(one, other)
        compared["verdict"] = verdict(one, other, compared)
    return {
        "data": corpus.name,
        "part": part,
        "reviews": len(indices),
        "trained_on": int(seen.sum()),
        "models": models,
        "comparison": compared,
    }


def _predict(predictor: Predictor, corpus: Corpus, indices: NDArray[np.int64]) -> NDArray[np.float32]:
    """Probabilities <float32>[reviews] by a model whose vocabulary is another one than the corpus's."""
    table = np.arange(FIRST_WORD_ID + len(corpus.words), dtype=np.int32)
    table[FIRST_WORD_ID:] = [predictor.ids.get(word, UNKNOWN) for word in corpus.words]
    found = []
    for first in range(0, len(indices), _BLOCK):
        found.append(predictor.of_tokens([table[corpus.review(int(index))] for index in indices[first : first + _BLOCK]]))
        corpus.release()
    return np.concatenate(found)


def with_intervals(labels: NDArray[Any], predicted: NDArray[np.float32]) -> dict[str, Any]:
    """Scores of probabilities, each with its 95 % interval over the choice of reviews; null where there is none.

    Accuracy by Wilson (1927); area under the ROC curve by DeLong, DeLong and Clarke-Pearson (1988); loss and Brier score,
    being means, by the normal distribution; F1 none.
    """
    from scipy import stats
    from scipy.special import logit

    with np.errstate(divide="ignore"):
        # A probability that rounds to 0 or 1 has no logit; so far beyond, the loss of a sure mistake is as large.
        logits = np.clip(logit(predicted.astype(np.float64)), -90.0, 90.0)
    scores = evaluation.scores(labels, logits)
    count = len(labels)
    accuracy = stats.binomtest(round(scores["accuracy"] * count), count).proportion_ci(method="wilson")
    intervals: dict[str, Any] = {"accuracy": [accuracy.low, accuracy.high], "auc": None, "f1": None}
    losses = np.logaddexp(0.0, -(2.0 * labels - 1.0) * logits)
    for name, each in (("loss", losses), ("brier", (predicted - labels) ** 2)):
        half = 1.96 * float(np.std(each, ddof=1)) / count**0.5 if count > 1 else None
        intervals[name] = [max(0.0, scores[name] - half), scores[name] + half] if half is not None else None
    if scores["auc"] is not None and min(np.bincount(labels, minlength=2)) > 1:
        half = 1.96 * _auc_error(labels, predicted)
        intervals["auc"] = [max(0.0, scores["auc"] - half), min(1.0, scores["auc"] + half)]
    return {"reviews": count, "scores": scores, "ci95": intervals}


def _auc_error(labels: NDArray[Any], predicted: NDArray[np.float32]) -> float:
    """The standard error of the area under the ROC curve, from ranks (Sun and Xu 2014)."""
    from scipy.stats import rankdata

    sides = [predicted[labels == side] for side in (0, 1)]
    ranks = rankdata(predicted)
    variance = 0.0
    for side, mine in enumerate(sides):
        # How many of the other side each one of this side is above.
        above = (ranks[labels == side] - rankdata(mine)) / len(sides[1 - side])
        variance += float(np.var(above, ddof=1)) / len(mine)
    return float(variance**0.5)
