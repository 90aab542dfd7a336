"""run.json, which is there from a run's beginning on, and examples.json."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, AliasChoices, ConfigDict, Field

from job.presets import HALF, Architecture, Hyperparameters, PresetName, ThresholdRule
from job.records.base import Count, Record
from job.records.metrics import DeviceRecord


def _is_moment(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("expected a time with its zone")
    return text


Moment = Annotated[str, AfterValidator(_is_moment)]
"""A point in time, as `now` gives it."""


class Identity(Record):
    """What determines a run's weights and scores."""

    model_config = ConfigDict(extra="ignore")

    preset: PresetName
    data: str
    """The data hash."""
    hyperparameters: dict[Architecture, Hyperparameters]
    distances: list[int] = Field(default_factory=list)
    """Of the preset dependency, as are the remedies."""
    threshold: ThresholdRule | float = HALF
    """Of the decision: what the scores at it depend on, though no weight does."""
    remedies: dict[Architecture, dict[str, Hyperparameters]] = Field(default_factory=dict)
    teachers: dict[Architecture, Hyperparameters] = Field(default_factory=dict)
    """With texts without labels."""


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
    test_data: str | None = None
    validation_data: str | None = None
    unlabelled: str | None = None
    split_column: str | None = None
    group_column: str | None = None
    id_column: str | None = None
    positive: list[str] = Field(default_factory=list)
    negative: list[str] = Field(default_factory=list)
    encoding: str | None = None
    no_header: bool = False
    distances: list[int] | None
    device: str
    require_fast_kernel: bool
    threshold: ThresholdRule | float = HALF
    output: str
    cache: str
    hyperparameters: dict[Architecture, Hyperparameters]
    remedies: dict[Architecture, dict[str, Hyperparameters]]
    teachers: dict[Architecture, Hyperparameters] = Field(default_factory=dict)
    seeds: int
    shard: str | None
    devices: int | Literal["all"] | None = None
    """That train each network together, where there are several."""
    worker: str | None = None
    """Which process of a group this is; the next names them all."""
    hosts: list[str] | None = None
    trainings: list[PlannedTrial]


class Look(Record):
    """A use of the test reviews."""

    purpose: str = Field(validation_alias=AliasChoices("for", "purpose"), serialization_alias="for")
    at: str
    """UTC, to the second."""

    @classmethod
    def now(cls, purpose: str) -> Self:
        """This moment's."""
        return cls(purpose=purpose, at=now())


class Host(Record):
    """A machine, as the job saw it."""

    name: str
    system: str
    processor: str
    cores: int
    """that the process may use"""
    memory_bytes: int | None
    """that were free for it"""

    def describe(self) -> str:
        """In words, without its name."""
        memory = f", {self.memory_bytes / 2**30:.1f} GiB of memory" if self.memory_bytes else ""
        return f"{self.processor}, {self.cores} core{'s' if self.cores > 1 else ''}{memory}; {self.system}"


class Start(Record):
    """A process that began, or went on with, a run."""

    at: Moment
    """UTC, to the second."""
    host: Host


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
    shards: list[ShardRecord] = Field(default_factory=list)
    """Of a joined run."""
    test_set_looks: list[Look]
    files: dict[str, str] | None
    """SHA-256 by name; null until the run is finished."""
    start: Moment | None = None
    """When the first process began, UTC, to the second; of a joined run, that of its first shard. Null in older runs."""
    end: Moment | None = None
    """When its results were complete; writing them takes seconds."""
    starts: list[Start] = Field(default_factory=list)
    """Of all processes: the first, and each that went on after an interruption, or with more seeds."""

    @property
    def duration(self) -> timedelta | None:
        """From start to end, interruptions included."""
        return datetime.fromisoformat(self.end) - datetime.fromisoformat(self.start) if self.start and self.end else None


def now() -> str:
    """This moment, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Examples(Record):
    """examples.json: the test reviews' lengths, and those worth reading."""

    lengths: list[int]
    """tokens of each test review"""
    most_wrong: dict[Architecture, list[int]]
    """by architecture the numbers of test reviews"""
    disagreements: list[int]
    texts: dict[str, str]
    """those reviews by number, of long ones the end"""
    originals: list[int] = Field(default_factory=list)
    """numbers of those whose text is as it stands in the source; of the others, and in earlier runs, it is their known words"""
