"""From predictions to scores, and from the scores of several seeds to a summary."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_BINS = 10


def losses(labels: NDArray[Any], logits: NDArray[np.float32]) -> tuple[float, float]:
    """Mean binary cross-entropy in nats, and accuracy: a logit above 0 says positive."""
    signs = 2.0 * labels - 1.0
    return float(np.mean(np.logaddexp(0.0, -signs * logits.astype(np.float64)))), float(np.mean((logits > 0) == (labels == 1)))


def probabilities(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """The sigmoid of logits."""
    from scipy.special import expit

    return np.asarray(expit(logits), np.float32)


def scores(labels: NDArray[Any], logits: NDArray[Any]) -> dict[str, Any]:
    """Accuracy, loss (mean cross-entropy in nats), area under the ROC curve, F1 of the positive class, and Brier score.

    Of one class alone the area is None.
    """
    from sklearn.metrics import f1_score, roc_auc_score

    loss, accuracy = losses(labels, logits)
    return {
        "accuracy": accuracy,
        "loss": loss,
        # A sum of shares that are 1 together may round to more.
        "auc": min(1.0, float(roc_auc_score(labels, logits))) if 0 < np.sum(labels) < len(labels) else None,
        "f1": float(f1_score(labels, logits > 0, zero_division=0.0)),
        "brier": float(np.mean((probabilities(logits) - labels) ** 2)),
    }


def calibration(labels: NDArray[Any], predicted: NDArray[np.float32]) -> dict[str, Any]:
    """Whether probabilities mean what they say: by tenths of the scale, how often the review was positive.

    Returns:
        `expected_calibration_error`, the mean distance of the two over reviews (Naeini et al. 2015, of the positive class),
        and `bins`: `from`, `reviews`, `predicted` and `observed` of each tenth that is not empty.
    """
    from scipy.stats import binned_statistic

    edges = np.linspace(0.0, 1.0, _BINS + 1)
    sums = binned_statistic(predicted, [predicted.astype(np.float64), labels], "sum", edges).statistic
    counts = np.histogram(predicted, edges)[0]
    bins = [
        {"from": float(start), "reviews": int(count), "predicted": float(said / count), "observed": float(true / count)}
        for start, count, said, true in zip(edges[:-1].round(1), counts, *sums, strict=True)
        if count
    ]
    error = float(np.abs(sums[0] - sums[1]).sum() / max(1, len(labels)))
    return {"expected_calibration_error": error, "bins": bins}


def summarize(values: list[float]) -> dict[str, Any]:
    """Mean, sample standard deviation and 95 % interval of the mean (Student's t) over seeds; null for one seed."""
    mean = float(np.mean(values)) if values else None
    if len(values) < 2:
        return {"mean": mean, "sd": None, "ci95": None}
    from scipy import stats

    sd = float(np.std(values, ddof=1))
    half = float(stats.t.ppf(0.975, len(values) - 1)) * sd / len(values) ** 0.5
    return {"mean": mean, "sd": sd, "ci95": [float(np.mean(values)) - half, float(np.mean(values)) + half]}


# What the tutorial printed: the progress bar at the end of the last of two epochs, and evaluate() on the test reviews.
PUBLISHED = {
    "rnn": {"train": {"loss": 10.3028, "accuracy": 0.7742}, "test": {"loss": 25.5020, "accuracy": 0.53}},
    "lstm": {"train": {"loss": 4.0905, "accuracy": 0.8172}, "test": {"loss": 8.4033, "accuracy": 0.61}},
}


def reproduce(architectures: dict[str, Any]) -> dict[str, Any]:
    """The tutorial's published figures beside the ones measured, and what they show in a sentence.

    Args:
        architectures: As in metrics.json.
    """
    result: dict[str, Any] = {}
    sentences = []
    for name, entry in architectures.items():
        runs = [run for run in entry["runs"] if run["status"] == "finished"]
        measured = {
            "train": {key: summarize([run["last_epoch"][key] for run in runs]) for key in ("loss", "accuracy")},
            "test": {key: summarize([run["test"][key] for run in runs]) for key in ("loss", "accuracy")},
        }
        result[name] = {"published": PUBLISHED[name], "measured": measured}
        accuracy = measured["test"]["accuracy"]
        reviews = runs[0]["test_reviews"] if runs else 0
        if accuracy["mean"] is None:
            continue
        # The chance spread of a fair coin over the test reviews: what a published figure has to stand out from.
        chance = 0.5 / reviews**0.5
        far = abs(PUBLISHED[name]["test"]["accuracy"] - 0.5) / chance
        spread = f" ± {accuracy['sd']:.3f} over {len(runs)} seeds" if accuracy["sd"] is not None else ""
        sentences.append(
            f"{name.upper()}: test accuracy {accuracy['mean']:.3f}{spread}; the published {PUBLISHED[name]['test']['accuracy']:.2f} "
            f"lies {far:.1f} standard errors from guessing on {reviews} reviews"
        )
    note = "each review is a single time step of raw word ranks, so nothing recurs, and these networks guess"
    result["sentence"] = "; ".join(sentences) + f". In this recipe {note}."
    return result
