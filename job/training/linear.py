"""A linear model on the presence of n-grams: logistic regression, each feature weighted by its naive Bayes log-count ratio.

Source: Wang and Manning (2012), "Baselines and Bigrams", section 2.1, on presence; with logistic regression and trigrams
Mesnil et al. (2014), arXiv:1412.5335.
"""

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.data import ngrams
from job.data.ngrams import Ngrams
from job.data.reviews import Reviews
from job.presets import ClassWeight

# Words, pairs and triples: all that occurs twice, as in the sources, within reason.
WORDS, BIGRAMS, TRIGRAMS = 100_000, 1_000_000, 1_000_000
# Of more training reviews, as many are taken, by their texts' hashes: seconds and memory are not to grow with the data.
_MOST = 50_000
INVERSE_PENALTY = 0.3
"""With triples, which are many and say little each: stronger than the sources' 1, chosen on groups of training reviews."""
_SMOOTHING = 1.0
# Liblinear draws from one generator for the whole process: fits side by side would spoil each other's draws.
_ONE_AT_A_TIME = threading.Lock()
_BLOCK = 10_000


@dataclass(frozen=True, eq=False)
class LinearModel:
    """What was fitted."""

    ngrams: Ngrams
    ratios: NDArray[np.float32]
    """<float32>[features], the naive Bayes log-count ratios."""
    weights: NDArray[np.float32]
    """<float32>[features]: what a feature that is there adds to the logit of being positive."""
    bias: np.float32

    def logits(self, reviews: Reviews) -> NDArray[np.float32]:
        """Of being positive, <float32>[reviews]."""
        found = [self._of(ngrams.presence(block, self.ngrams)) for block in ngrams.blocks(reviews, _BLOCK)]
        return np.concatenate([np.empty(0, np.float32), *found])

    def _of(self, present: Any) -> NDArray[np.float32]:
        return np.asarray(present @ self.weights.astype(np.float64) + self.bias, np.float32)


def sample(training: Reviews) -> Reviews:
    """The reviews that a linear model is fitted on: all of them, or as many as there is time for."""
    return training.take(np.sort(np.argsort(training.hashes, kind="stable")[:_MOST]))


def fit(
    present: Any,
    labels: NDArray[np.int8],
    features: Ngrams,
    inverse_penalty: float,
    class_weight: ClassWeight,
    least: int = 1,
) -> LinearModel:
    """Fits it.

    Args:
        present: Which features are in each review, as `ngrams.presence` returns it.
        labels: <int8>[reviews], 0 or 1.
        least: A feature that is in fewer reviews counts for nothing.
    """
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(labels)) < 2:
        # A class may be in one fold alone: without it, nothing tells anything.
        nothing = np.zeros(len(features), np.float32)
        return LinearModel(features, nothing, nothing, np.float32(0))
    ratios = log_count_ratios(present, labels, least)
    model = LogisticRegression(
        C=inverse_penalty,
        solver="liblinear",
        dual=True,
        random_state=0,
        max_iter=1000,
        class_weight=None if class_weight is ClassWeight.none else class_weight.value,
    )
    weighted = present.multiply(ratios).tocsr()
    with _ONE_AT_A_TIME:
        model.fit(weighted, labels == 1)
    return LinearModel(features, ratios, (model.coef_[0] * ratios).astype(np.float32), np.float32(model.intercept_[0]))


def log_count_ratios(present: Any, labels: NDArray[np.int8], least: int = 1) -> NDArray[np.float32]:
    """How much larger a feature's share of the positive reviews' features is than of the negative ones', as a logarithm.

    1 is added to each count.

    Args:
        present, labels, least: As in `fit`.

    Returns:
        <float32>[features]
    """
    counts = np.stack([np.asarray(present[labels == side].sum(0), np.float64).ravel() for side in (0, 1)])
    sums = counts + _SMOOTHING
    negative, positive = sums / sums.sum(1, keepdims=True)
    return np.where(counts.sum(0) >= least, np.log(positive / negative), 0.0).astype(np.float32)
