"""What texts without labels brought."""

from job.presets import Architecture
from job.records.base import Count, Record
from job.records.comparison import Comparison
from job.records.ensemble import EnsembleMember
from job.records.trials import Scores


class LabelsAlone(Record):
    """A network that learned from labels alone, and then taught."""

    seed: Count
    validation: Scores
    test: Scores


class SelfTraining(Record):
    """Networks trained on a teacher's guesses for texts without labels, beside the labels."""

    texts: Count
    """without labels, that were trained on"""
    teacher: list[EnsembleMember]
    """whose weighted mean logit is the guess; the baseline stands for the linear model of the evidence"""
    guesses_sha256: str
    labels_alone: dict[Architecture, LabelsAlone]
    """the teacher's networks"""
    gains: dict[Architecture, Comparison]
    """a network's test accuracy less that of the one that learned from labels alone"""
    verdict: str
