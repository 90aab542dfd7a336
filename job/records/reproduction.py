"""The tutorial's figures beside ours."""

from pydantic.json_schema import SkipJsonSchema

from job.records.base import Record
from job.records.trials import LossAndAccuracy, Summary


class Measured(Record):
    """Over seeds."""

    loss: Summary
    accuracy: Summary


class PublishedParts(Record):
    """The tutorial's figures."""

    train: LossAndAccuracy
    test: LossAndAccuracy


class MeasuredParts(Record):
    """Ours."""

    train: Measured
    test: Measured


class ReproducedNetwork(Record):
    """Published beside measured."""

    published: PublishedParts
    measured: MeasuredParts


class Reproduction(Record):
    """The tutorial's published figures beside the measured ones."""

    sentence: str
    rnn: ReproducedNetwork | SkipJsonSchema[None] = None
    lstm: ReproducedNetwork | SkipJsonSchema[None] = None
