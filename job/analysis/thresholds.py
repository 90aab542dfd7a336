"""The decision threshold: given, or chosen on validation reviews; and the scores at it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.analysis import scores
from job.presets import HALF, ThresholdRule
from job.records.trials import Scores, Threshold

Judged = tuple[NDArray[Any], NDArray[np.float32]]
"""Labels <int8>[reviews] and logits <float32>[reviews]."""


def decide(rule: ThresholdRule | float, validation: Judged, test: Judged) -> Threshold:
    """The threshold, with the scores at it.

    Args:
        rule: What to make largest on the validation reviews, or the threshold itself.
        validation: Of a rule with both classes; may be empty where the threshold is given.
    """
    labels, logits = validation
    value = best(rule, labels, scores.probabilities(logits)) if isinstance(rule, ThresholdRule) else rule
    return Threshold(
        rule=rule if isinstance(rule, ThresholdRule) else "given",
        value=value,
        validation=_at(value, *validation) if len(labels) else None,
        test=_at(value, *test),
    )


def _at(threshold: float, labels: NDArray[Any], logits: NDArray[np.float32]) -> Scores:
    return scores.score(labels, logits, scores.is_positive(scores.probabilities(logits), threshold))


def best(rule: ThresholdRule, labels: NDArray[Any], predicted: NDArray[np.float32]) -> float:
    """The threshold that makes the rule's score largest; of equally good ones that nearest to one half, the lower of two.

    Between two neighbouring probabilities all thresholds are equally good. One half stands for those around it, and the
    middle for any others.

    Args:
        labels: <int8>[reviews], both classes.
        predicted: Probabilities, <float32>[reviews].
    """
    values, places = np.unique(np.asarray(predicted, np.float32), return_inverse=True)
    # Above the n-th threshold are the probabilities from the n-th distinct one on.
    hits, false = (
        np.append(np.cumsum(np.bincount(places, labels == side, len(values))[::-1])[::-1], 0).astype(np.int64)
        for side in (1, 0)
    )
    positives, negatives = int(hits[0]), int(false[0])
    rejected = negatives - false
    # In whole numbers where sums would round, so that equals are equal.
    quality = {
        ThresholdRule.accuracy: hits + rejected,
        ThresholdRule.f1: 2 * hits / (hits + false + positives),
        ThresholdRule.balanced: hits * negatives + rejected * positives,
    }[rule]
    low, high = np.append(np.float32(0), values), np.append(values, np.float32(1))
    middle = ((low.astype(np.float64) + high) / 2).astype(np.float32)
    # Of two neighbours in float32 the middle rounds to one; above the lower one is the upper one.
    thresholds = np.where((low <= HALF) & (high > HALF), np.float32(HALF), np.where(middle < high, middle, low))
    # No threshold is below a probability of 0.
    possible = np.append(low[:-1] < high[:-1], True)
    chosen = thresholds[possible & (quality == quality[possible].max())]
    return float(chosen[np.argmin(np.abs(chosen - HALF))])
