"""metrics.json, and its JSON Schema: `python -m job.records.metrics` writes metrics.schema.json anew; a test holds it."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from pydantic.json_schema import GenerateJsonSchema

import job
from job.presets import HALF, Architecture, ModelName, PresetName
from job.records.base import Count, Record, Share, to_json
from job.records.comparison import BaselineEntry, NetworkComparison
from job.records.data import Reading
from job.records.ensemble import EnsembleRecord
from job.records.memory import Memory
from job.records.reproduction import Reproduction
from job.records.selftraining import SelfTraining
from job.records.trials import ArchitectureRecord, Threshold

SCHEMA_VERSION: Literal[1] = 1
SCHEMA = Path(job.__file__).with_name("metrics.schema.json")


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


class Majority(Record):
    """The class that most training reviews have, positive where both are equally many, and what it says of the test reviews."""

    label: Literal["negative", "positive"]
    train_share: Share
    """of the training reviews that have it"""
    test_accuracy: Share
    """what always answering it gets on the test reviews"""


class DataRecord(Record):
    """What was trained and tested on."""

    name: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    train_reviews: Count
    validation_reviews: Count
    test_reviews: Count
    vocabulary: Count
    own_test_part: bool
    """false: the test part was split off by each text's hash, or its group's"""
    left_out_reviews: Count = 0
    """rows that were read and not used: with the three parts and the unlabelled texts, they make up all rows that were read"""
    unlabelled_reviews: Count = 0
    """texts of --unlabelled that could be learned from"""
    reading: Reading | None = None
    """what became of every row; null in runs of older versions"""
    faults: list[str] = Field(default_factory=list)
    """what is wrong with the data, a sentence each"""
    majority: Majority | None = None
    """missing in earlier runs"""

    @property
    def takes_out_html(self) -> bool:
        """Whether the models read texts without their HTML."""
        return self.reading is not None and self.reading.takes_out_html


class Metrics(Record):
    """metrics.json of sentiment-job"""  # noqa: D415 (the title of the schema)

    schema_version: Literal[1]
    preset: PresetName
    data: DataRecord
    device: DeviceRecord
    architectures: dict[Architecture, ArchitectureRecord] = Field(min_length=1)
    comparison: NetworkComparison | None
    """the LSTM's accuracy less the SimpleRNN's on the same test reviews; null where one of them is missing"""
    baseline: BaselineEntry
    ensemble: EnsembleRecord | None = None
    """null without validation reviews, in the preset dependency and in earlier runs"""
    self_training: SelfTraining | None = None
    """null without texts without labels, and in earlier runs"""
    reproduction: Reproduction | None
    """the published figures beside the measured ones; null but in the preset seed"""
    dependency: Memory | None
    """how far back each network remembers; null but in the preset dependency"""

    @property
    def verdict(self) -> str:
        """The run's verdict: the one on memory, on the two networks, or on the one against the baseline."""
        return (self.dependency or self.comparison or self.baseline).verdict

    def threshold(self, name: ModelName) -> float:
        """Above which a model's probability is labelled positive."""
        found = self._threshold(name)
        return found.value if found else HALF

    def threshold_rule(self, name: ModelName) -> str:
        """By what it was chosen, or `given`."""
        found = self._threshold(name)
        return found.rule if found else "given"

    def _threshold(self, name: ModelName) -> Threshold | None:
        if name is ModelName.ensemble:
            return self.ensemble.threshold if self.ensemble else None
        return (self.architectures[Architecture(name)] if name.is_network else self.baseline).threshold


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
