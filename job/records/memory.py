"""How far back networks remember."""

from pydantic import Field

from job.presets import Architecture
from job.records.base import Count, Interval, NotNegative, Record, Share
from job.records.trials import Summary


class GradientShare(Record):
    """How far back the gradient reaches."""

    back: Count
    share: NotNegative


class MemoryPoint(Record):
    """A network at one distance, over seeds."""

    distance: Count
    diverged: Count
    """seeds left out of what follows"""
    test_accuracy: Summary
    above_chance: Count
    """seeds that are right more often than guessing is once in a thousand times"""
    learned: Count
    """seeds whose training ended as there was nothing more to learn"""
    steps_until_learned: Summary
    """over the seeds that had learned"""
    gradient_norms: list[GradientShare]
    """at the end of training, of the decision's gradient by the embedding of the token this far back, in shares of the last token's; geometric mean over seeds"""


class MemoryLimit(Record):
    """Where a network falls to chance."""

    seeds: list[tuple[NotNegative | None, NotNegative | None]]
    """of each, the last distance above chance and the first one at chance; null where there is none"""
    tokens: float | None
    """the geometric mean over seeds; null where a bound is not known"""
    ci95: Interval | None
    """from the mean lower to the mean upper bound, widened by Student's t over seeds; null for one seed"""


class MemoryNetwork(Record):
    """A network with or without a remedy."""

    architecture: Architecture
    remedy: str | None
    """what differs from Keras's layer and the plain training; null for these"""
    points: list[MemoryPoint] = Field(min_length=1)
    limit: MemoryLimit


class BagOfWords(Record):
    """The baseline at one distance."""

    distance: Count
    accuracy: Share
    ci95: tuple[Share, Share]
    """Wilson's"""
    at_chance: bool


class Memory(Record):
    """How far back each network remembers."""

    distances: list[Count] = Field(min_length=1)
    """in tokens between the clues"""
    networks: list[MemoryNetwork] = Field(min_length=1)
    bag_of_words: list[BagOfWords]
    """the baseline at each distance"""
    verdict: str
