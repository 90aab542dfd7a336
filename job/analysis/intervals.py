"""95 % intervals: of a mean over seeds, of a share and of an area under the ROC curve over the choice of reviews."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.records.base import Interval
from job.records.trials import Summary


def student(degrees_of_freedom: float) -> float:
    """How many standard errors the interval reaches to each side of a mean."""
    from scipy import stats

    return float(stats.t.ppf(0.975, degrees_of_freedom))


def wilson(right: float, count: int) -> Interval:
    """Of a share: `right` of `count` (Wilson 1927)."""
    from scipy.stats import binomtest

    interval = binomtest(round(right), count).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def mean_of_shares(*shares: tuple[int, int]) -> Interval:
    """Of the mean of independent shares, each given as (right, count), from their Wilson limits (Zou and Donner 2008)."""
    values = np.array([right / count for right, count in shares])
    low, high = np.array([wilson(right, count) for right, count in shares]).T
    below, above = (float(np.linalg.norm(side)) / len(values) for side in (values - low, high - values))
    mean = float(values.mean())
    return max(0.0, mean - below), min(1.0, mean + above)


def summarize(values: list[float]) -> Summary:
    """Mean, sample standard deviation and 95 % interval of the mean (Student's t) over seeds; null for one seed."""
    mean = float(np.mean(values)) if values else None
    if len(values) < 2:
        return Summary(mean=mean, sd=None, ci95=None)
    sd = float(np.std(values, ddof=1))
    half = student(len(values) - 1) * sd / len(values) ** 0.5
    return Summary(mean=mean, sd=sd, ci95=(float(np.mean(values)) - half, float(np.mean(values)) + half))


def summarize_shares(values: list[float]) -> Summary:
    """The same of shares, such as accuracies: an interval that never leaves 0 to 1, and holds the mean.

    It is Student's t interval on the angular scale (the arcsine of the square root), carried there and back: nearly the
    plain one in the middle of the scale, narrower on the side of the nearer end.
    """
    plain = summarize(values)
    if plain.mean is None or not plain.sd:
        return plain
    mean = plain.mean
    # A share between 0 and 1, as its seeds differ; on the angular scale, the slope of the arcsine is that of the spread.
    half = student(len(values) - 1) * plain.sd / len(values) ** 0.5 / (2 * (mean * (1 - mean)) ** 0.5)
    low, high = np.sin(np.clip(np.arcsin(mean**0.5) + np.array([-half, half]), 0.0, np.pi / 2)) ** 2
    return plain.but(ci95=(min(mean, float(low)), max(mean, float(high))))


def delong(labels: NDArray[Any], predicted: NDArray[np.float32]) -> float:
    """The standard error of the area under the ROC curve (DeLong, DeLong and Clarke-Pearson 1988), from ranks (Sun and Xu 2014)."""
    from scipy.stats import rankdata

    sides = [predicted[labels == side] for side in (0, 1)]
    ranks = rankdata(predicted)
    variance = 0.0
    for side, mine in enumerate(sides):
        # How many of the other side each review of this side is above.
        above = (ranks[labels == side] - rankdata(mine)) / len(sides[1 - side])
        variance += float(np.var(above, ddof=1)) / len(mine)
    return float(variance**0.5)
