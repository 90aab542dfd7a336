"""How far a run is: what those outside are told, whoever asks."""

import time
from dataclasses import dataclass, field

from job.records.history import Epoch
from job.records.run import RunRecord
from job.telemetry.observer import Observer
from job.training.desk import Label
from job.training.position import Position


@dataclass
class Training:
    """One network, as it was heard of last."""

    epochs: int = 0
    epoch: int = 0
    """The one in work, or the last one."""
    share: float = 0.0
    """Of it that is done."""
    loss: float | None = None
    accuracy: float | None = None
    tokens_per_second: float | None = None
    validation_loss: float | None = None
    """After the last whole epoch, as is the next."""
    validation_accuracy: float | None = None


@dataclass
class Status(Observer):
    """Listens, and keeps the present state."""

    name = "status"
    record: RunRecord | None = None
    trainings: dict[Label, Training] = field(default_factory=dict)
    costs: dict[Label, float] = field(default_factory=dict)
    """Of what is planned, by what it takes."""
    finished: set[Label] = field(default_factory=set)
    phase_name: str | None = None
    last_step: float | None = None
    """Unix seconds."""
    exit_code: int | None = None
    _began: float = 0.0
    _share_then: float = 0.0

    @property
    def share(self) -> float:
        """Of what is planned that is done; 1 when the run has ended well."""
        if self.exit_code == 0:
            return 1.0
        total = sum(self.costs.values())
        done = sum(cost * self.trainings[label].share for label, cost in self.costs.items() if label in self.trainings)
        return min(done / total, 0.99) if total else 0.0

    @property
    def remaining(self) -> float | None:
        """Seconds until the trainings are done, if they go on as since this process began; None where that cannot be said yet."""
        done = self.share - self._share_then
        return (time.monotonic() - self._began) * (1 - self.share) / done if self.costs and done > 0.01 else None

    def begin(self, record: RunRecord) -> None:
        self.record = record

    def plan(self, costs: dict[Label, float]) -> None:
        self.costs, self.finished = dict(costs), set()
        self._began, self._share_then = time.monotonic(), 0.0

    def start(self, label: Label, epochs: int) -> None:
        self.trainings[label] = Training(epochs=epochs)

    def step(self, label: Label, position: Position, steps: int) -> None:
        training, self.last_step = self.trainings[label], time.time()
        share = (position.epoch - 1 + position.step / steps) / training.epochs
        if not training.epoch:
            # What was done before, in another process, took none of this one's time.
            cost = self.costs.get(label, 0.0)
            self._share_then += cost * share / sum(self.costs.values()) if cost else 0.0
        training.epoch, training.share = position.epoch, share
        if position.reviews:
            training.loss, training.accuracy = position.loss, position.accuracy
        if position.seconds:
            training.tokens_per_second = position.tokens_per_second

    def epoch(self, label: Label, epoch: Epoch) -> None:
        training = self.trainings[label]
        training.loss, training.accuracy = epoch.loss, epoch.accuracy
        training.validation_loss, training.validation_accuracy = epoch.validation_loss, epoch.validation_accuracy
        training.tokens_per_second = epoch.tokens_per_second

    def end(self, label: Label) -> None:
        self.trainings.setdefault(label, Training()).share = 1.0
        self.finished.add(label)

    def phase(self, name: str | None) -> None:
        self.phase_name = name

    def close(self, exit_code: int) -> None:
        self.exit_code = exit_code
