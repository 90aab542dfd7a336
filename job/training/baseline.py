"""What a network has to beat: a linear model on words, pairs and triples of words that takes seconds (job/training/linear.py)."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from job.analysis import scores, thresholds
from job.data import ngrams
from job.data.reviews import Reviews
from job.output.results import BaselineResult, LinearWeights
from job.presets import ClassWeight, ThresholdRule
from job.records.metrics import DeviceRecord
from job.records.trials import BaselineRecord
from job.training import linear
from job.training.desk import Desk, Label
from job.training.linear import LinearModel

NAME = "logistic regression on uni-, bi- and trigrams, weighted by naive Bayes log-count ratios"
# As in the sources.
_OF_BIGRAMS = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Baseline:
    """The work (job/training/work.py) of which it is made; see `train`. Gives a `BaselineResult`."""

    training: Reviews
    test: Reviews
    counted: Reviews | None = None
    class_weight: ClassWeight = ClassWeight.none
    decision: tuple[Reviews, ThresholdRule | float] | None = None

    @property
    def label(self) -> Label:
        """See `Work`."""
        return Label("baseline")

    @property
    def cost(self) -> float:
        """See `Work`; measured to be of a network's training at least so much."""
        return float(self.training.lengths.sum()) * 20_000

    def do(self, desk: Desk, device: DeviceRecord) -> BaselineResult:
        """See `Work`."""
        return train(self.training, self.test, desk.look, self.counted, self.class_weight, self.decision)


def train(
    training: Reviews,
    test: Reviews,
    look: Callable[[str], None],
    counted: Reviews | None = None,
    class_weight: ClassWeight = ClassWeight.none,
    decision: tuple[Reviews, ThresholdRule | float] | None = None,
) -> BaselineResult:
    """Trains it on training reviews and scores it on test reviews, those of the networks.

    Args:
        look: Is told what for, before the test reviews are used.
        counted: The reviews whose frequent n-grams are features; by default the training reviews.
        class_weight: As that of the networks.
        decision: The validation reviews, which may be none, and how the threshold is chosen on them; None to leave that open.
    """
    started = time.perf_counter()
    trained, test = linear.sample(_whole(training)), _whole(test)
    source = linear.sample(_whole(counted)) if counted else trained

    def fit(trigrams: int, inverse_penalty: float) -> LinearModel:
        known = ngrams.frequent(source, linear.BIGRAMS, trigrams)
        return linear.fit(ngrams.presence(trained, known), trained.labels, known, inverse_penalty, class_weight)

    model = fit(linear.TRIGRAMS, linear.INVERSE_PENALTY)
    seconds = time.perf_counter() - started
    of_bigrams = fit(0, _OF_BIGRAMS)
    look("scores of the baseline")
    logits = model.logits(test)
    record = BaselineRecord(
        name=NAME,
        features=len(model.ngrams),
        train_reviews=len(trained),
        test=scores.score(test.labels, logits),
        bigrams=scores.score(test.labels, of_bigrams.logits(test)),
        seconds=seconds,
    )
    of_validation = np.empty(0, np.float32)
    if decision is not None:
        validation, rule = _whole(decision[0]), decision[1]
        judged = validation.labels, model.logits(validation)
        record = record.but(threshold=thresholds.decide(rule, judged, (test.labels, logits)))
        of_validation = scores.probabilities(judged[1])
    return BaselineResult(record, scores.probabilities(logits), _weights(model), of_validation)


def _weights(model: LinearModel) -> LinearWeights:
    """What adds nothing is left out."""
    known = model.ngrams
    ends = np.cumsum([known.vocabulary_size, len(known.bigrams)])
    of_words, of_bigrams, of_trigrams = np.split(model.weights, ends)
    return LinearWeights(
        bias=np.array([model.bias], np.float32),
        words=np.trim_zeros(of_words, "b"),
        bigrams=known.bigrams[of_bigrams != 0],
        bigram_weights=of_bigrams[of_bigrams != 0],
        trigrams=known.trigrams[of_trigrams != 0],
        trigram_weights=of_trigrams[of_trigrams != 0],
        vocabulary_size=np.array([known.vocabulary_size]),
    )


def _whole(reviews: Reviews) -> Reviews:
    """The same reviews as the baseline reads them."""
    return Reviews(reviews.corpus, reviews.indices, linear.WORDS)
