"""What a network has to beat: a linear model on words and pairs of words that takes seconds.

Logistic regression on the presence of uni- and bigrams, each weighted by its naive Bayes log-count ratio.
Source: Wang and Manning (2012), "Baselines and Bigrams"; in this form Mesnil et al. (2014), arXiv:1412.5335.
"""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job import evaluation
from job.data import ngrams
from job.data.corpus import Corpus

NAME = "logistic regression on uni- and bigrams, weighted by naive Bayes log-count ratios"
# All that occurs twice, as in the sources, within reason. Not tuned.
_WORDS, _BIGRAMS = 100_000, 1_000_000
_INVERSE_PENALTY = 1.0


def run(
    corpus: Corpus, train: NDArray[np.int64], test: NDArray[np.int64], validation_share: float
) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """Trains and scores it on the reviews that the networks are trained and scored on.

    Args:
        train: <int64>[reviews], places in the corpus.
        test: The same, of the reviews that are scored once.
        validation_share: What `train` leaves out of the training part.

    Returns:
        Its record in metrics.json, and the test reviews' probabilities, <float32>[reviews].
    """
    from sklearn.linear_model import LogisticRegression

    started = time.perf_counter()
    pairs = ngrams.frequent_bigrams(corpus, validation_share, _WORDS, _BIGRAMS)
    counts, labels = ngrams.presence(corpus, train, _WORDS, pairs), corpus.labels[train] == 1
    ratios = ngrams.log_count_ratios(counts, labels)
    model = LogisticRegression(C=_INVERSE_PENALTY, solver="liblinear", dual=True, random_state=0)
    model.fit(counts.multiply(ratios).tocsr(), labels)
    features = ngrams.presence(corpus, test, _WORDS, pairs).multiply(ratios).tocsr()
    logits = (features @ model.coef_[0] + model.intercept_[0]).astype(np.float32)
    record = {
        "name": NAME,
        "features": counts.shape[1],
        "test": evaluation.scores(corpus.labels[test], logits),
        "seconds": time.perf_counter() - started,
    }
    return record, evaluation.probabilities(logits)
