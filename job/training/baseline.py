"""What a network has to beat: a linear model on words and pairs of words that takes seconds.

Logistic regression on the presence of uni- and bigrams, each weighted by its naive Bayes log-count ratio.
Source: Wang and Manning (2012), "Baselines and Bigrams"; in this form Mesnil et al. (2014), arXiv:1412.5335.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.analysis import scores as evaluation
from job.data import ngrams
from job.data.reviews import Reviews

NAME = "logistic regression on uni- and bigrams, weighted by naive Bayes log-count ratios"
# All that occurs twice, as in the sources, within reason. Not tuned.
_WORDS, _BIGRAMS = 100_000, 1_000_000
_INVERSE_PENALTY = 1.0
# Of more training reviews, as many are taken, by their texts' hashes: seconds and memory are not to grow with the data.
_MOST = 50_000
_BLOCK = 10_000


def run(
    train: Reviews,
    test: Reviews,
    validation_share: float,
    look: Callable[[str], None],
) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """Trains and scores it on the reviews that the networks are trained and scored on.

    Args:
        test: The reviews that are scored once.
        validation_share: The share of the training part that is held out; bigrams are counted in the rest.
        look: Is told what for, before the test reviews are looked at.

    Returns:
        Its record in metrics.json, and the test reviews' probabilities, <float32>[reviews].
    """
    from sklearn.linear_model import LogisticRegression

    started = time.perf_counter()
    # All words of the whole reviews, whatever the networks read of them.
    train, test = (replace(part, vocabulary_size=_WORDS, max_tokens=None) for part in (train, test))
    train = train.take(np.sort(np.argsort(train.hashes, kind="stable")[:_MOST]))
    # Where the networks are trained on the first reviews alone, these are all of the training part.
    counted = replace(train, indices=train.corpus.split_validation(validation_share)[0])
    pairs = ngrams.frequent_bigrams(counted, _BIGRAMS)
    ratios = ngrams.log_count_ratios(train, pairs)

    def features(reviews: Reviews) -> Any:
        return ngrams.presence(reviews, pairs).multiply(ratios).tocsr()

    model = LogisticRegression(C=_INVERSE_PENALTY, solver="liblinear", dual=True, random_state=0, max_iter=1000)
    model.fit(features(train), train.labels == 1)
    look("scores of the baseline")
    blocks = [test.take(slice(first, first + _BLOCK)) for first in range(0, len(test), _BLOCK)]
    logits = np.concatenate([model.decision_function(features(block)) for block in blocks]).astype(np.float32)
    record = {
        "name": NAME,
        "features": len(ratios),
        "train_reviews": len(train),
        "test": evaluation.scores(test.labels, logits),
        "seconds": time.perf_counter() - started,
    }
    return record, evaluation.probabilities(logits)
