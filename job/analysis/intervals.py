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


def summarize(values: list[float]) -> Summary:
    """Mean, sample standard deviation and 95 % interval of the mean (Student's t) over seeds; null for one seed."""
    mean = float(np.mean(values)) if values else None
    if len(values) < 2:
        return Summary(mean=mean, sd=None, ci95=None)
    sd = float(np.std(values, ddof=1))
    half = student(len(values) - 1) * sd / len(values) ** 0.5
    return Summary(mean=mean, sd=sd, ci95=(float(np.mean(values)) - half, float(np.mean(values)) + half))


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
