"""Differences in accuracy, and what is said of them."""

from typing import Literal

from pydantic import Field

from job.presets import Architecture
from job.records.base import Interval, NotNegative, Record, Share
from job.records.trials import BaselineRecord


class Variance(Record):
    """Of a difference in accuracy, by its sources."""

    seeds: float | None
    reviews: NotNegative


class Comparison(Record):
    """One classifier's accuracy less another's on the same reviews."""

    difference: float = Field(ge=-1, le=1)
    standard_error: NotNegative
    ci95: Interval
    test: str
    statistic: float | None
    """null where both are right on the same reviews"""
    degrees_of_freedom: float | None
    """null for the normal distribution"""
    p_value: Share | None
    cohens_d: float | None
    """the difference in standard deviations between seeds"""
    superiority: Share | None
    """the chance that a seed of the first is more accurate than one of the second"""
    seeds_for_half_a_point: int | None
    """of each, to see a difference of 0.005 with a power of 0.8; null where no number does, or the seeds are too few to tell"""
    variance: Variance


class NetworkComparison(Comparison):
    """The two networks'."""

    of: tuple[Literal["lstm"], Literal["rnn"]]
    verdict: str


class BaselineEntry(BaselineRecord):
    """The same with what it is compared to."""

    comparisons: dict[Architecture, Comparison]
    """each network's accuracy less the baseline's"""
    verdict: str
    """which networks beat it"""
