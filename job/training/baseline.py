"""What a network has to beat: a linear model on words and pairs of words that takes seconds.

Logistic regression on the presence of uni- and bigrams, each weighted by its naive Bayes log-count ratio.
Source: Wang and Manning (2012), "Baselines and Bigrams"; in this form Mesnil et al. (2014), arXiv:1412.5335.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.analysis import scores, thresholds
from job.data import ngrams
from job.data.reviews import Reviews
from job.output.results import BaselineResult, LinearWeights
from job.presets import ClassWeight, ThresholdRule
from job.records.trials import BaselineRecord

NAME = "logistic regression on uni- and bigrams, weighted by naive Bayes log-count ratios"
# All that occurs twice, as in the sources, within reason. Not tuned.
_WORDS, _BIGRAMS = 100_000, 1_000_000
_INVERSE_PENALTY = 1.0
# Of more training reviews, as many are taken, by their texts' hashes: seconds and memory are not to grow with the data.
_MOST = 50_000
_BLOCK = 10_000


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
        counted: The reviews whose frequent bigrams are features; by default the training reviews.
        class_weight: As that of the networks.
        decision: The validation reviews, which may be none, and how the threshold is chosen on them; None to leave that open.
    """
    from sklearn.linear_model import LogisticRegression

    started = time.perf_counter()
    chosen = np.sort(np.argsort(training.hashes, kind="stable")[:_MOST])
    trained, test = _whole(training.take(chosen)), _whole(test)
    pairs = ngrams.frequent_bigrams(_whole(counted or training), _BIGRAMS)
    ratios = ngrams.log_count_ratios(trained, pairs)

    def features(reviews: Reviews) -> Any:
        return ngrams.presence(reviews, pairs).multiply(ratios).tocsr()

    model = LogisticRegression(
        C=_INVERSE_PENALTY,
        solver="liblinear",
        dual=True,
        random_state=0,
        max_iter=1000,
        class_weight=None if class_weight is ClassWeight.none else class_weight.value,
    )
    model.fit(features(trained), trained.labels == 1)

    def judge(reviews: Reviews) -> NDArray[np.float32]:
        blocks = [reviews.take(slice(first, first + _BLOCK)) for first in range(0, len(reviews), _BLOCK)]
        found = [model.decision_function(features(block)).astype(np.float32) for block in blocks]
        return np.concatenate([np.empty(0, np.float32), *found])

    look("scores of the baseline")
    logits = judge(test)
    record = BaselineRecord(
        name=NAME,
        features=len(ratios),
        train_reviews=len(trained),
        test=scores.score(test.labels, logits),
        seconds=time.perf_counter() - started,
    )
    if decision is not None:
        validation, rule = _whole(decision[0]), decision[1]
        judged = validation.labels, judge(validation)
        record = record.but(threshold=thresholds.decide(rule, judged, (test.labels, logits)))
    return BaselineResult(record, scores.probabilities(logits), _weights(model, ratios, pairs))


def _weights(model: Any, ratios: NDArray[np.float32], pairs: NDArray[np.int64]) -> LinearWeights:
    """The fitted model on features of ones: the ratios are multiplied in, and what adds nothing is left out."""
    weights = (model.coef_[0] * ratios).astype(np.float32)
    of_words, of_pairs = weights[:_WORDS], weights[_WORDS:]
    return LinearWeights(
        bias=model.intercept_.astype(np.float32),
        words=np.trim_zeros(of_words, "b"),
        bigrams=pairs[of_pairs != 0],
        bigram_weights=of_pairs[of_pairs != 0],
        vocabulary_size=np.array([_WORDS]),
    )


def _whole(reviews: Reviews) -> Reviews:
    """The same reviews as the baseline reads them."""
    return Reviews(reviews.corpus, reviews.indices, _WORDS)
