"""The typed records of metrics.json, run.json and examples.json: what is written, what is read, and the schema of it.

`metrics.schema.json` beside this file is generated from `Metrics` (`python -m job.records`); a test holds it.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import GenerateJsonSchema, SkipJsonSchema

from job.presets import Architecture, Hyperparameters, PresetName

SCHEMA_VERSION = 1
SCHEMA = Path(__file__).with_name("metrics.schema.json")

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
NotNegative = Annotated[float, Field(ge=0)]
Interval = tuple[float, float]
Kernel = Literal["cudnn", "xla", "while_loop"]
"""What runs a recurrence: cuDNN, our own loops compiled by XLA, or Keras's loop over time steps."""


class Record(BaseModel):
    """JSON with names and types. What was never set is not written; numbers that JSON does not have are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, populate_by_name=True
    )

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Reads JSON; raises `pydantic.ValidationError` where it is not this record."""
        return cls.model_validate_json(content, strict=True)

    def to_values(self) -> dict[str, Any]:
        """As JSON values."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)

    def to_json(self) -> bytes:
        """As the content of a file."""
        return to_json(self.to_values())

    def but(self, **changes: Any) -> Self:
        """The same with some fields changed, and checked again."""
        kept = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self)(**kept | changes)


def to_json(values: Any) -> bytes:
    """Indented JSON; numbers that JSON does not have are an error."""
    return (json.dumps(values, indent=2, allow_nan=False) + "\n").encode()


# What single trials are scored with.


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


class CalibrationBin(Record):
    """A tenth of the scale of probabilities."""

    start: Share = Field(alias="from")
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
    continued: list[str]
    """where the run went on on another device or TensorFlow, so that it is not bit-identical"""
    train: Scores | None
    validation: Scores | None
    test: Scores | None
    calibration: Calibration | None
    """on the test reviews"""
    last_epoch: LossAndAccuracy | None
    """means over the last epoch's training steps, as Keras's progress bar shows them"""
    train_reviews: Count
    validation_reviews: Count
    test_reviews: Count
    seconds: NotNegative
    """in training steps"""
    tokens_per_second: NotNegative
    """real tokens trained on, without padding"""
    model_distance: Count = 0
    """preset dependency: of which distance the kept model is, the longest one that was learned"""
    trainings: "list[DistanceRecord]" = []
    """preset dependency: each distance's, with and without a remedy; the run's scores are means over the plain ones"""


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
    runs: list[TrialRecord] = Field(min_length=1)
    summary: "Summaries"


class Summaries(Record):
    """Over an architecture's trials."""

    test_accuracy: Summary


# What is compared.


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
    seconds: NotNegative
    trainings: list[BaselineDistance] = []
    """preset dependency: each distance's; the scores are means over them"""


class BaselineEntry(BaselineRecord):
    """The same with what it is compared to."""

    comparisons: dict[Architecture, Comparison]
    """each network's accuracy less the baseline's"""
    verdict: str
    """which networks beat it"""


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


# How far back networks remember.


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


# The files.


class DeviceRecord(Record):
    """What computed."""

    type: Literal["cpu", "gpu"]
    name: str
    cores: int | None
    compute_capability: str | None
    memory_bytes: int | None
    driver: str | None
    cuda: str | None
    cudnn: str | None
    tf32: Literal[False]
    slow_kernels: dict[str, str]
    """by architecture, why the GPU's fast kernel was not used"""


class DataRecord(Record):
    """What was trained and tested on."""

    name: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    train_reviews: Count
    validation_reviews: Count
    test_reviews: Count
    vocabulary: Count
    own_test_part: bool
    """false: the test part was split off by each text's hash"""


class Metrics(Record):
    """metrics.json of sentiment-job"""  # noqa: D400, D415 (the title of the schema)

    schema_version: Literal[1]
    preset: PresetName
    data: DataRecord
    device: DeviceRecord
    architectures: dict[Architecture, ArchitectureRecord] = Field(min_length=1)
    comparison: NetworkComparison | None
    """the LSTM's accuracy less the SimpleRNN's on the same test reviews; null where one of them is missing"""
    baseline: BaselineEntry
    reproduction: Reproduction | None
    """the published figures beside the measured ones; null but in the preset seed"""
    dependency: Memory | None
    """how far back each network remembers; null but in the preset dependency"""

    @property
    def verdict(self) -> str:
        """The run's verdict: the one on memory, on the two networks, or on the one against the baseline."""
        return (self.dependency or self.comparison or self.baseline).verdict


class Identity(Record):
    """What determines a run's weights and scores."""

    model_config = ConfigDict(extra="ignore")

    preset: PresetName
    data: str
    """The data hash."""
    hyperparameters: dict[Architecture, Hyperparameters]
    distances: list[int] = []
    """Of the preset dependency, as are the remedies."""
    remedies: dict[Architecture, dict[str, Hyperparameters]] = {}


class PlannedTrial(Record):
    """A cell of the grid."""

    architecture: Architecture
    seed: Count


class Plan(Record):
    """The resolved configuration and its trials."""

    model_config = ConfigDict(extra="ignore")

    preset: PresetName
    data: str
    text_column: str | None
    label_column: str | None
    distances: list[int] | None
    device: str
    require_fast_kernel: bool
    output: str
    cache: str
    hyperparameters: dict[Architecture, Hyperparameters]
    remedies: dict[Architecture, dict[str, Hyperparameters]]
    seeds: int
    shard: str | None
    trainings: list[PlannedTrial]


class Look(Record):
    """A use of the test reviews."""

    purpose: str = Field(alias="for")
    at: str
    """UTC, to the second."""

    @classmethod
    def now(cls, purpose: str) -> Self:
        """This moment's."""
        return cls(purpose=purpose, at=datetime.now(UTC).isoformat(timespec="seconds"))


class ShardRecord(Record):
    """Where one shard of a joined run was made."""

    shard: tuple[int, int]
    device: DeviceRecord
    versions: dict[str, str]


class RunRecord(Record):
    """run.json: what is known of a run from its beginning on."""

    model_config = ConfigDict(extra="ignore")

    version: str
    state: Literal["training", "merging", "finished"]
    identity: Identity
    fingerprint: str
    configuration: Plan
    device: DeviceRecord
    versions: dict[str, str]
    source_revision: str | None
    seeds: int
    shard: tuple[int, int] | None
    shards: list[ShardRecord] = []
    """Of a joined run."""
    test_set_looks: list[Look]
    files: dict[str, str] | None
    """SHA-256 by name; null until the run is finished."""


class Examples(Record):
    """examples.json: the test reviews' lengths, and those worth reading."""

    lengths: list[int]
    """tokens of each test review"""
    most_wrong: dict[Architecture, list[int]]
    """by architecture the numbers of test reviews"""
    disagreements: list[int]
    texts: dict[str, str]
    """the ends of those reviews, by number"""


class _Schema(GenerateJsonSchema):
    """Without a title for each field."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schema() -> dict[str, Any]:
    """The JSON Schema of metrics.json, from `Metrics`."""
    made = Metrics.model_json_schema(by_alias=True, schema_generator=_Schema)
    return {"$schema": _Schema.schema_dialect} | made | {"title": "metrics.json of sentiment-job"}


if __name__ == "__main__":
    SCHEMA.write_bytes(to_json(schema()))
