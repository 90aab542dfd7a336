"""What a trial (one network trained with one seed) and the baseline are scored with."""

from typing import Literal

from pydantic import AliasChoices, Field

from job.presets import ThresholdRule
from job.records.base import Count, Interval, Kernel, NotNegative, Record, Share


class Scores(Record):
    """Of probabilities against labels."""

    accuracy: Share
    loss: NotNegative
    """mean binary cross-entropy in nats"""
    auc: Share | None
    """null of one class"""
    f1: Share
    brier: Share
    """mean squared distance of probability and label"""
    precision: Share | None = None
    """of the positive class, as recall; like f1 0 where it is undefined. What follows is missing in earlier runs"""
    recall: Share | None = None
    balanced_accuracy: Share | None = None
    """the mean of both classes' recall; null of one class"""
    average_precision: Share | None = None
    """area under the precision-recall curve, as a sum of steps; null of one class"""


class Threshold(Record):
    """The decision threshold: above it a probability is labelled positive."""

    rule: ThresholdRule | Literal["given"]
    """by what it was chosen on validation reviews, or that a number was given"""
    value: Share
    validation: Scores | None
    """at it; null without validation reviews"""
    test: Scores
    """at it"""


class CalibrationBin(Record):
    """A tenth of the scale of probabilities."""

    start: Share = Field(validation_alias=AliasChoices("from", "start"), serialization_alias="from")
    reviews: Count
    predicted: Share
    """mean probability"""
    observed: Share
    """share of positive reviews"""


class Calibration(Record):
    """Whether probabilities mean what they say."""

    expected_calibration_error: Share
    bins: list[CalibrationBin]
    """tenths of the scale of probabilities that are not empty"""


class Summary(Record):
    """Over seeds."""

    mean: float | None
    sd: float | None
    """sample standard deviation over seeds; null for one"""
    ci95: Interval | None


class LossAndAccuracy(Record):
    """What a progress bar shows."""

    loss: float
    accuracy: Share


class GradientNorm(Record):
    """Of the decision's gradient by the embedding of the token this far back."""

    back: Count
    norm: NotNegative


class TrialRecord(Record):
    """A trial, which is one network trained with one seed: its entry of `runs`."""

    seed: Count
    status: Literal["finished", "diverged"]
    diverged: str | None
    """the step at which the loss was no number, in words"""
    epochs: Count
    steps: Count
    """training steps done"""
    best_epoch: Count
    """whose weights are scored, from 1"""
    parameters: Count
    device: Literal["cpu", "gpu"]
    kernel: Kernel
    processes: int = 1
    """that shared every step"""
    continued: list[str]
    """where the run went on on another device or TensorFlow, so that it is not bit-identical"""
    train: Scores | None
    validation: Scores | None
    test: Scores | None
    calibration: Calibration | None
    """on the test reviews"""
    threshold: Threshold | None = None
    """missing where the training diverged, in the preset dependency and in earlier runs, which decide at one half"""
    last_epoch: LossAndAccuracy | None
    """means over the last epoch's training steps, as Keras's progress bar shows them"""
    train_reviews: Count
    validation_reviews: Count
    test_reviews: Count
    seconds: NotNegative
    """in training steps"""
    tokens_per_second: NotNegative
    """real tokens trained on, without padding"""
    weighted_validation_loss: NotNegative | None = None
    """with class weights: the loss that these weight, by which epoch and seed are chosen; missing without"""
    model_distance: Count = 0
    """preset dependency: of which distance the kept model is, the longest one that was learned"""
    trainings: "list[DistanceRecord]" = Field(default_factory=list)
    """preset dependency: each distance's, with and without a remedy; the run's scores are means over the plain ones"""

    @property
    def selection_loss(self) -> float:
        """By which the best seed is chosen: the validation loss, class weights included; 0 where there is no validation."""
        if self.weighted_validation_loss is not None:
            return self.weighted_validation_loss
        return self.validation.loss if self.validation else 0.0


class DistanceRecord(TrialRecord):
    """Preset dependency: a trial at one distance."""

    distance: Count
    remedy: str | None
    steps_until_learned: Count | None
    gradient_norms: list[GradientNorm] | None
    """norms of the decision's gradient by the embedding of the token this far back, means over validation reviews"""


class ArchitectureRecord(Record):
    """All trials of one network."""

    best_seed: Count | None
    threshold: Threshold | None = None
    """the best seed's"""
    runs: list[TrialRecord] = Field(min_length=1)
    summary: "Summaries"


class Summaries(Record):
    """Over an architecture's trials."""

    test_accuracy: Summary


class BaselineDistance(Record):
    """Preset dependency: the baseline at one distance."""

    distance: Count
    features: Count
    test: Scores


class BaselineRecord(Record):
    """The linear model beside the networks."""

    name: str
    features: Count
    train_reviews: Count
    test: Scores
    bigrams: Scores | None = None
    """test scores of the same without triples of words, as published (Wang and Manning, 2012); earlier runs' baseline was that"""
    threshold: Threshold | None = None
    """as that of the networks"""
    seconds: NotNegative
    trainings: list[BaselineDistance] = Field(default_factory=list)
    """preset dependency: each distance's; the scores are means over them"""
