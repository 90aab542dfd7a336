"""What all models of a run say together."""

from pydantic import Field

from job.presets import ModelName
from job.records.base import Count, Interval, Record, Share
from job.records.comparison import Comparison
from job.records.trials import Calibration, Scores, Threshold


class EnsembleMember(Record):
    """A network's seeds, or the baseline."""

    name: ModelName
    seeds: list[Count]
    """whose mean logit is taken; none of the baseline"""
    weight: Share
    """of that in the ensemble's logit; 0 where validation gave it none"""


class EnsembleRecord(Record):
    """The weighted mean of logits over seeds, networks and the baseline."""

    members: list[EnsembleMember] = Field(min_length=2)
    """the weights have the least loss on the validation reviews"""
    validation: Scores
    """on the reviews that the weights were chosen on"""
    test: Scores
    ci95: Interval
    """of the test accuracy, over reviews"""
    calibration: Calibration
    """on the test reviews"""
    threshold: Threshold
    comparisons: dict[ModelName, Comparison]
    """the ensemble's test accuracy less that of each network and the baseline"""
    verdict: str
