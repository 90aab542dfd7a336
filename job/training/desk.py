"""Where a piece of work reports to: what it tells, what it asks for, and who keeps what it saves."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from job.output.checkpoints import Checkpoints, Snapshot
from job.records.history import Epoch
from job.records.run import RunRecord

if TYPE_CHECKING:
    from job.output.finished import FinishedRun, VerifiedRun
    from job.training.position import Position


class Label(NamedTuple):
    """Which piece of work it is, for people and for JSON lines."""

    name: str
    seed: int | None = None
    """Of what has one."""

    def __str__(self) -> str:
        return self.name if self.seed is None else f"{self.name} seed {self.seed}"


class Display(Protocol):
    """What is shown while networks are trained, several at once perhaps."""

    def plan(self, costs: dict[Label, float]) -> None:
        """What is to be trained, and what share of the whole each will take."""

    def start(self, label: Label, epochs: int) -> None:
        """The training of one network begins."""

    def step(self, label: Label, position: "Position", steps: int) -> None:
        """After every training step, of which an epoch has `steps`."""

    def epoch(self, label: Label, epoch: Epoch) -> None:
        """After every epoch."""

    def end(self, label: Label) -> None:
        """A training is over."""

    def phase(self, name: str | None) -> None:
        """What goes on where no training does, from here on; None where trainings do."""

    def alive(self) -> None:
        """Something was done of which nothing is shown."""

    def begin(self, record: RunRecord) -> None:
        """A process begins, or goes on with, a run."""

    def finish(self, run: "FinishedRun") -> None:
        """The run is finished and published."""

    def found(self, run: "VerifiedRun") -> None:
        """The run was finished before, and there is nothing to do. Nothing trains, so this may take its time."""


class Unseen:
    """A display that shows nothing."""

    def plan(self, costs: dict[Label, float]) -> None:
        """See `Display`, as with the others."""

    def start(self, label: Label, epochs: int) -> None:
        """See `Display`."""

    def step(self, label: Label, position: "Position", steps: int) -> None:
        """See `Display`."""

    def epoch(self, label: Label, epoch: Epoch) -> None:
        """See `Display`."""

    def end(self, label: Label) -> None:
        """See `Display`."""

    def phase(self, name: str | None) -> None:
        """See `Display`."""

    def alive(self) -> None:
        """See `Display`."""

    def begin(self, record: RunRecord) -> None:
        """See `Display`."""

    def finish(self, run: "FinishedRun") -> None:
        """See `Display`."""

    def found(self, run: "VerifiedRun") -> None:
        """See `Display`."""


class Desk(Protocol):
    """What a training tells and asks; in a process of its own, the parent answers."""

    def start(self, label: Label, epochs: int) -> None:
        """As `Display` does, and so are the next two."""

    def step(self, label: Label, position: "Position", steps: int) -> None:
        """See `Display`."""

    def epoch(self, label: Label, epoch: Epoch) -> None:
        """See `Display`."""

    def load(self) -> Snapshot | None:
        """The last snapshot that is whole."""

    def save(self, step: int, snapshot: Snapshot) -> None:
        """Keeps a snapshot after `step` steps in all. When it returns, the snapshot is on the disk.

        Raises:
            OutputError, InputOutputError: It could not be written.
        """

    def look(self, purpose: str) -> None:
        """Before the test reviews are used. When it returns, that is on record."""


@dataclass(frozen=True)
class OwnDesk:
    """The desk of the process that may write."""

    display: Display
    checkpoints: Checkpoints | None
    """None for work that takes no snapshots."""
    tell: Callable[[str], None]
    """Is told what for, before the test reviews are used."""

    def start(self, label: Label, epochs: int) -> None:
        """See `Desk`, as with the others."""
        self.display.start(label, epochs)

    def step(self, label: Label, position: "Position", steps: int) -> None:
        """See `Desk`."""
        self.display.step(label, position, steps)

    def epoch(self, label: Label, epoch: Epoch) -> None:
        """See `Desk`."""
        self.display.epoch(label, epoch)

    def load(self) -> Snapshot | None:
        """See `Desk`."""
        return self.checkpoints.load() if self.checkpoints else None

    def save(self, step: int, snapshot: Snapshot) -> None:
        """See `Desk`."""
        if self.checkpoints:
            self.checkpoints.save(step, snapshot)

    def look(self, purpose: str) -> None:
        """See `Desk`."""
        self.tell(purpose)
