"""What a network has to beat: a linear model on words and pairs of words that takes seconds.

Logistic regression on the presence of uni- and bigrams, each weighted by its naive Bayes log-count ratio.
Source: Wang and Manning (2012), "Baselines and Bigrams"; in this form Mesnil et al. (2014), arXiv:1412.5335.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from job.analysis import scores
from job.data import ngrams
from job.data.corpus import Corpus
from job.data.reviews import Reviews, split
from job.output.results import BaselineResult
from job.presets import Hyperparameters
from job.records.trials import BaselineRecord

NAME = "logistic regression on uni- and bigrams, weighted by naive Bayes log-count ratios"
# All that occurs twice, as in the sources, within reason. Not tuned.
_WORDS, _BIGRAMS = 100_000, 1_000_000
_INVERSE_PENALTY = 1.0
# Of more training reviews, as many are taken, by their texts' hashes: seconds and memory are not to grow with the data.
_MOST = 50_000
_BLOCK = 10_000


def train(corpus: Corpus, values: Hyperparameters, look: Callable[[str], None]) -> BaselineResult:
    """Trains and scores it on the reviews that the networks are trained and scored on.

    Args:
        values: Of a network, whose parts of the reviews are taken.
        look: Is told what for, before the test reviews are used.
    """
    from sklearn.linear_model import LogisticRegression

    started = time.perf_counter()
    parts = split(corpus, values)
    chosen = parts.train.indices[np.sort(np.argsort(parts.train.hashes, kind="stable")[:_MOST])]
    trained, test = Reviews(corpus, chosen, _WORDS), Reviews(corpus, parts.test.indices, _WORDS)
    whole, _ = corpus.split_validation(values.validation_share)
    pairs = ngrams.frequent_bigrams(Reviews(corpus, whole, _WORDS), _BIGRAMS)
    ratios = ngrams.log_count_ratios(trained, pairs)

    def features(reviews: Reviews) -> Any:
        return ngrams.presence(reviews, pairs).multiply(ratios).tocsr()

    model = LogisticRegression(C=_INVERSE_PENALTY, solver="liblinear", dual=True, random_state=0, max_iter=1000)
    model.fit(features(trained), trained.labels == 1)
    look("scores of the baseline")
    blocks = [test.take(slice(first, first + _BLOCK)) for first in range(0, len(test), _BLOCK)]
    logits = np.concatenate([model.decision_function(features(block)) for block in blocks]).astype(np.float32)
    record = BaselineRecord(
        name=NAME,
        features=len(ratios),
        train_reviews=len(trained),
        test=scores.score(test.labels, logits),
        seconds=time.perf_counter() - started,
    )
    return BaselineResult(record, scores.probabilities(logits))
