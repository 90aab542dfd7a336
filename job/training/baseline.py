"""What a network has to beat: a linear model on words and pairs of words that takes seconds.

Logistic regression on the presence of uni- and bigrams, each weighted by its naive Bayes log-count ratio.
Source: Wang and Manning (2012), "Baselines and Bigrams"; in this form Mesnil et al. (2014), arXiv:1412.5335.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.analysis import scores as evaluation
from job.data import ngrams
from job.data.corpus import Corpus

NAME = "logistic regression on uni- and bigrams, weighted by naive Bayes log-count ratios"
# All that occurs twice, as in the sources, within reason. Not tuned.
_WORDS, _BIGRAMS = 100_000, 1_000_000
_INVERSE_PENALTY = 1.0
# Of more training reviews, as many are taken, by their texts' hashes: seconds and memory are not to grow with the data.
_MOST = 50_000
_BLOCK = 10_000


def run(
    corpus: Corpus,
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    validation_share: float,
    look: Callable[[str], None],
) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """Trains and scores it on the reviews that the networks are trained and scored on.

    Args:
        train: <int64>[reviews], places in the corpus.
        test: The same, of the reviews that are scored once.
        validation_share: What `train` leaves out of the training part.
        look: Is told what for, before the test reviews are looked at.

    Returns:
        Its record in metrics.json, and the test reviews' probabilities, <float32>[reviews].
    """
    from sklearn.linear_model import LogisticRegression

    started = time.perf_counter()
    train = train[np.sort(np.argsort(corpus.hashes[train], kind="stable")[:_MOST])]
    pairs = ngrams.frequent_bigrams(corpus, validation_share, _WORDS, _BIGRAMS)
    ratios = ngrams.log_count_ratios(corpus, train, _WORDS, pairs)

    def features(indices: NDArray[np.int64]) -> Any:
        return ngrams.presence(corpus, indices, _WORDS, pairs).multiply(ratios).tocsr()

    model = LogisticRegression(C=_INVERSE_PENALTY, solver="liblinear", dual=True, random_state=0, max_iter=1000)
    model.fit(features(train), corpus.labels[train] == 1)
    look("scores of the baseline")
    blocks = [test[first : first + _BLOCK] for first in range(0, len(test), _BLOCK)]
    logits = np.concatenate([model.decision_function(features(block)) for block in blocks]).astype(np.float32)
    record = {
        "name": NAME,
        "features": len(ratios),
        "train_reviews": len(train),
        "test": evaluation.scores(corpus.labels[test], logits),
        "seconds": time.perf_counter() - started,
    }
    return record, evaluation.probabilities(logits)
