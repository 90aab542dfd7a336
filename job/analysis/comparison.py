"""Whether one classifier is better than another: a paired test that takes chance in both seeds and reviews into account.

A correct answer (1 or 0) is modelled as its classifier's level, plus an effect of the seed, one of the review (shared by
all), one of the review on this classifier, and the rest; seeds and reviews are random draws, every seed answers every
review. So the difference of two mean accuracies has the variance

    sum over classifiers of (variance of its seeds' accuracies / seeds)
    + variance over reviews of the difference in mean correctness / reviews
    - sum over classifiers of (mean square of the rest / (seeds × reviews)),    which both of the above contain,

and degrees of freedom by Satterthwaite's approximation. A test over seeds alone would take these reviews for all there
are, one over reviews alone (McNemar's) these weights for the architecture. It is the analysis of multi-reader
multi-case studies, with seeds for readers and reviews for cases.
Sources: Obuchowski and Rockette (1995), Communications in Statistics 24(2); Gallas, Bandos, Samuelson and Wagner (2009),
Communications in Statistics 38(15); Satterthwaite (1946), Biometrics Bulletin 2(6).
"""

import bisect
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from job.analysis.intervals import student
from job.records.comparison import Comparison, Variance

TEST = "t test of the difference in mean accuracy, seeds and reviews both random (crossed analysis of variance, Satterthwaite)"
REVIEWS_ONLY = "z test of the difference in accuracy of these two models, reviews random (one seed tells nothing of seeds)"
SIGNIFICANT = 0.05
"""A p below this one is called a difference."""
_POWER, _MANY = 0.8, 1000
_HALF_A_POINT = 0.005


@dataclass(frozen=True)
class Answers:
    """What one classifier got right."""

    name: str
    correct: NDArray[np.bool_]
    """<bool>[seeds, reviews]"""
    has_seeds: bool = True
    """Whether chance in training plays a part in it."""

    @property
    def seeds(self) -> int:
        """How many."""
        return len(self.correct)

    @property
    def accuracies(self) -> NDArray[np.float64]:
        """Of each seed, <float64>[seeds]."""
        return np.asarray(self.correct.mean(1))

    @property
    def is_single_draw(self) -> bool:
        """Whether its seeds' chance cannot be told from one seed."""
        return self.has_seeds and self.seeds == 1

    def seed_variance(self) -> float:
        """Of the mean accuracy, by the choice of seeds (the rest of the answers included)."""
        return float(self.accuracies.var(ddof=1)) / self.seeds if self.seeds > 1 else 0.0

    def rest_variance(self) -> float:
        """Of the mean accuracy, by what neither seed nor review explains."""
        if self.seeds == 1:
            return 0.0
        # The rest's sum of squares, without a table as large as all answers in float64.
        reviews = self.correct.shape[1]
        by_review, by_seed, mean = self.correct.mean(0), self.accuracies, float(self.correct.mean())
        # Of ones and zeros the sum of squares is the sum.
        whole = self.correct.size * (mean + mean**2)
        squares = whole - self.seeds * (by_review @ by_review) - reviews * (by_seed @ by_seed)
        return float(max(0.0, squares) / ((self.seeds - 1) * (reviews - 1)) / (self.seeds * reviews))


def compare(one: Answers, other: Answers) -> Comparison:
    """The difference in accuracy, `one` less `other`; what the data do not tell is None.

    `cohens_d` is the difference in standard deviations between seeds, `superiority` the chance that a seed of `one` is
    better than one of `other`, and `seeds_for_half_a_point` how many of each it takes to see a difference of 0.005 with a
    power of 0.8.
    """
    from scipy import stats

    difference = float(one.accuracies.mean() - other.accuracies.mean())
    reviews = one.correct.shape[1]
    by_review = one.correct.mean(0) - other.correct.mean(0)
    of_reviews = float(by_review.var(ddof=1)) / reviews
    rest = one.rest_variance() + other.rest_variance()
    single = one.is_single_draw or other.is_single_draw
    of_seeds = 0.0 if single else one.seed_variance() + other.seed_variance()
    # An estimate of the variance may come out below one of its parts; then that part stands for it.
    variance = max(of_seeds + of_reviews - (0.0 if single else rest), of_seeds, of_reviews)
    error = variance**0.5
    freedom = np.inf
    if of_seeds:
        parts = [(each.seed_variance(), each.seeds - 1) for each in (one, other) if each.seeds > 1]
        spread = sum(part**2 / count for part, count in parts) + of_reviews**2 / (reviews - 1)
        freedom = max(variance**2 / spread, min(count for _, count in parts))
    half = student(freedom) * error
    found = Comparison(
        difference=difference,
        standard_error=error,
        # No difference of accuracies is larger, whatever Student's t says of two seeds.
        ci95=(max(-1.0, difference - half), min(1.0, difference + half)),
        test=REVIEWS_ONLY if single else TEST,
        statistic=difference / error if error else None,
        degrees_of_freedom=float(freedom) if np.isfinite(freedom) else None,
        p_value=float(2 * stats.t(freedom).sf(abs(difference) / error)) if error else None,
        cohens_d=None,
        superiority=None,
        seeds_for_half_a_point=None,
        variance=Variance(seeds=None if single else of_seeds, reviews=of_reviews),
    )
    if one.seeds < 2 or other.seeds < 2:
        return found
    pooled = sum((each.seeds - 1) * float(each.accuracies.var(ddof=1)) for each in (one, other))
    pooled = (pooled / (one.seeds + other.seeds - 2)) ** 0.5
    above = np.subtract.outer(one.accuracies, other.accuracies)
    of_a_seed = sum(float(each.accuracies.var(ddof=1)) for each in (one, other))
    return found.but(
        cohens_d=difference / pooled if pooled else None,
        superiority=float((above > 0).mean() + 0.5 * (above == 0).mean()),
        seeds_for_half_a_point=seeds_needed(_HALF_A_POINT, of_a_seed, max(0.0, of_reviews - rest)),
    )


def seeds_needed(difference: float, seed_variance: float, review_variance: float) -> int | None:
    """Seeds of each classifier to find a difference of accuracies with a power of 0.8 at the 5 % level; None where no number does.

    Args:
        seed_variance: Of one seed's accuracy, both classifiers' added.
        review_variance: Of the difference, by the choice of reviews: what no number of seeds lessens.
    """
    from scipy import stats

    def suffice(seeds: int) -> bool:
        variance = seed_variance / seeds + review_variance
        if not variance:
            return True
        freedom = 2.0 * (seeds - 1) * (variance * seeds / seed_variance) ** 2 if seed_variance else np.inf
        freedom = min(freedom, 1e6)
        bound = student(freedom)
        return bool(stats.nct.sf(bound, freedom, difference / variance**0.5) >= _POWER)

    if not suffice(_MANY):
        return None
    return bisect.bisect_left(range(_MANY + 1), True, lo=2, key=suffice)


def verdict(one: Answers, other: Answers, found: Comparison) -> str:
    """What `compare` found, in a sentence that claims no more.

    Args:
        found: Its result.
    """
    reviews = one.correct.shape[1]
    points = 100 * found.difference
    low, high = (100 * bound for bound in found.ci95)
    better, worse = (one, other) if points >= 0 else (other, one)
    seeds = f"{one.seeds} seed{'s' if one.seeds > 1 else ''}"
    if one.seeds != other.seeds:
        seeds = f"{one.seeds} and {other.seeds} seeds"
    where = f"over {seeds} and {reviews:,} test reviews"
    if found.p_value is None:
        return f"{one.name} and {other.name} were right on the same reviews, {where}: no difference was seen."
    numbers = f"{abs(points):.2f} points, 95 % interval {low:+.2f} to {high:+.2f} for {one.name} less {other.name}, p {_p(found.p_value)}"
    if one.is_single_draw or other.is_single_draw:
        what = "differ" if found.p_value < SIGNIFICANT else "do not differ beyond chance in the reviews"
        return (
            f"These two models {what} ({better.name} was right more often by {numbers}; {reviews:,} test reviews), but one seed "
            "cannot tell whether that is the network or the luck of its start: train with --seeds 5 or more."
        )
    if found.p_value < SIGNIFICANT:
        return f"{better.name} is more accurate than {worse.name} ({numbers}; {where})."
    return f"No difference between {one.name} and {other.name} was shown ({better.name} was ahead by {numbers}; {where}); that does not show that there is none."


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"
