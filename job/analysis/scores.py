"""From predictions to scores."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.analysis.intervals import delong, mean_of_shares, wilson
from job.presets import HALF
from job.records.base import Interval
from job.records.metrics import Majority
from job.records.trials import Calibration, CalibrationBin, Scores

_BINS = 10


Weights = tuple[float, float]
"""What an error on a negative and on a positive review counts."""
EQUAL: Weights = (1.0, 1.0)


def balanced_weights(labels: NDArray[Any]) -> Weights:
    """All reviews over twice those of a class, so that both classes count the same; `labels` <int8>[reviews] hold both."""
    from sklearn.utils.class_weight import compute_class_weight

    negative, positive = compute_class_weight("balanced", classes=np.array([0, 1]), y=labels).tolist()
    return negative, positive


def losses(labels: NDArray[Any], logits: NDArray[np.float32], weights: Weights = EQUAL) -> tuple[float, float]:
    """Mean binary cross-entropy in nats, weighted by class, and accuracy: a logit above 0 says positive."""
    signs = 2.0 * labels - 1.0
    each = np.logaddexp(0.0, -signs * logits.astype(np.float64))
    if weights != EQUAL:
        each *= np.where(labels == 1, weights[1], weights[0])
    return float(np.mean(each)), float(np.mean((logits > 0) == (labels == 1)))


def probabilities(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """The sigmoid of logits."""
    from scipy.special import expit

    return np.asarray(expit(logits), np.float32)


def is_positive(predicted: NDArray[Any], threshold: float = HALF) -> NDArray[np.bool_]:
    """Whether probabilities are above the threshold: compared in float32, as the exported models do."""
    return np.asarray(np.asarray(predicted, np.float32) > np.float32(threshold))


def is_right(labels: NDArray[Any], predicted: NDArray[Any], threshold: float = HALF) -> NDArray[np.bool_]:
    """Whether probabilities say what the labels do: above the threshold means positive."""
    return np.asarray(is_positive(predicted, threshold) == (labels == 1))


def score(labels: NDArray[Any], logits: NDArray[Any], said: NDArray[np.bool_] | None = None) -> Scores:
    """All scores, by scikit-learn's definitions; precision, recall and F1 are those of the positive class.

    What needs both classes (the areas under the two curves, balanced accuracy) is None of one class alone; precision,
    recall and F1 are 0 where they are undefined.

    Args:
        said: <bool>[reviews], which reviews are labelled positive; by default those of a logit above 0.
    """
    from sklearn import metrics

    has_both = bool(0 < np.sum(labels) < len(labels))
    return Scores(
        **vars(label_scores(labels, logits > 0 if said is None else said)),
        loss=losses(labels, logits)[0],
        auc=_share(metrics.roc_auc_score(labels, logits)) if has_both else None,
        brier=float(np.mean((probabilities(logits) - labels) ** 2)),
        average_precision=_share(metrics.average_precision_score(labels, logits)) if has_both else None,
    )


@dataclass(frozen=True, kw_only=True)
class LabelScores:
    """What depends on labels alone, and not on how sure they are; see `Scores`."""

    accuracy: float
    balanced_accuracy: float | None
    precision: float
    recall: float
    f1: float


def label_scores(labels: NDArray[Any], said: NDArray[np.bool_]) -> LabelScores:
    """Of the reviews that are labelled positive, <bool>[reviews]."""
    from sklearn import metrics

    precision, recall, f1, _ = metrics.precision_recall_fscore_support(labels, said, average="binary", zero_division=0.0)
    has_both = bool(0 < np.sum(labels) < len(labels))
    return LabelScores(
        accuracy=float(np.mean(said == (labels == 1))),
        balanced_accuracy=float(metrics.balanced_accuracy_score(labels, said)) if has_both else None,
        precision=float(precision),
        recall=float(recall),
        f1=float(f1),
    )


def _share(value: Any) -> float:
    # A sum of shares that are 1 together may round to more.
    return min(1.0, float(value))


def majority(training: NDArray[Any], test: NDArray[Any]) -> Majority:
    """The class that most training reviews have, positive where both are equally many, and what always answering it gets.

    Args:
        training, test: Labels <int8>[reviews], 0 or 1; both parts hold reviews.
    """
    share = float(np.mean(training == 1))
    if share >= 0.5:
        return Majority(label="positive", train_share=share, test_accuracy=float(np.mean(test == 1)))
    return Majority(label="negative", train_share=1.0 - share, test_accuracy=float(np.mean(test == 0)))


def mean_scores(all_scores: list[Scores]) -> Scores:
    """Each score's mean, of those that all have."""
    names = [name for name in Scores.model_fields if all(name in scores.model_fields_set for scores in all_scores)]
    values = {name: [getattr(scores, name) for scores in all_scores] for name in names}
    return Scores.model_validate({name: None if None in each else np.mean(each) for name, each in values.items()})


def calibration(labels: NDArray[Any], predicted: NDArray[np.float32]) -> Calibration:
    """Whether probabilities mean what they say: by tenths of the scale, how often the review was positive.

    The expected calibration error is the mean distance of the two over reviews (Naeini et al. 2015, of the positive class).
    """
    from scipy.stats import binned_statistic

    edges = np.linspace(0.0, 1.0, _BINS + 1)
    sums = binned_statistic(predicted, [predicted.astype(np.float64), labels], "sum", edges).statistic
    counts = np.histogram(predicted, edges)[0]
    bins = [
        CalibrationBin(start=float(start), reviews=int(count), predicted=float(said / count), observed=float(true / count))
        for start, count, said, true in zip(edges[:-1].round(1), counts, *sums, strict=True)
        if count
    ]
    error = float(np.abs(sums[0] - sums[1]).sum() / max(1, len(labels)))
    return Calibration(expected_calibration_error=error, bins=bins)


@dataclass(frozen=True, kw_only=True)
class ScoresWithIntervals:
    """Scores of some reviews."""

    reviews: int
    scores: Scores
    ci95: dict[str, Interval | None]
    """By the score's name; None where there is none."""


def with_intervals(labels: NDArray[Any], predicted: NDArray[np.float32], threshold: float = HALF) -> ScoresWithIntervals:
    """Scores of probabilities, labelled positive above the threshold, each with its 95 % interval over the choice of reviews; None where there is none.

    Accuracy, precision and recall by Wilson (1927); balanced accuracy, the mean of two shares, from their limits (Zou and
    Donner 2008); area under the ROC curve by DeLong, DeLong and Clarke-Pearson (1988); loss and Brier score, being means, by
    the normal distribution; F1 and average precision none.
    """
    from scipy.special import logit

    with np.errstate(divide="ignore"):
        # A probability that rounds to 0 or 1 has no logit; so far beyond, the loss of a sure mistake is as large.
        logits = np.clip(logit(predicted.astype(np.float64)), -90.0, 90.0)
    said, positive = is_positive(predicted, threshold), labels == 1
    found = score(labels, logits, said)
    count = len(labels)
    hits, rejected = int(np.sum(said & positive)), int(np.sum(~said & ~positive))
    intervals: dict[str, Interval | None] = dict.fromkeys(Scores.model_fields)
    for name, right, of in (
        ("accuracy", hits + rejected, count),
        ("precision", hits, int(said.sum())),
        ("recall", hits, int(positive.sum())),
    ):
        intervals[name] = wilson(right, of) if of else None
    if found.balanced_accuracy is not None:
        positives = int(positive.sum())
        intervals["balanced_accuracy"] = mean_of_shares((hits, positives), (rejected, count - positives))
    by_review = np.logaddexp(0.0, -(2.0 * labels - 1.0) * logits)
    for name, mean, values in (("loss", found.loss, by_review), ("brier", found.brier, (predicted - labels) ** 2)):
        half = 1.96 * float(np.std(values, ddof=1)) / count**0.5 if count > 1 else None
        most = 1.0 if name == "brier" else np.inf
        intervals[name] = (max(0.0, mean - half), min(most, mean + half)) if half is not None else None
    if found.auc is not None and min(np.bincount(labels, minlength=2)) > 1:
        half = 1.96 * delong(labels, predicted)
        intervals["auc"] = (max(0.0, found.auc - half), min(1.0, found.auc + half))
    return ScoresWithIntervals(reviews=count, scores=found, ci95=intervals)
