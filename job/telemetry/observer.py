"""Those who are told what a run does, and the display that tells them."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from job.output.finished import FinishedRun, VerifiedRun
from job.records.history import Epoch
from job.records.run import RunRecord
from job.training.desk import Display, Label, Unseen
from job.training.position import Position

log = logging.getLogger(__name__)


class Observer(Unseen):
    """One who is told, and does nothing with it. None of its methods may take long: training waits for it."""

    name = "observer"
    """For people."""

    def close(self, exit_code: int) -> None:
        """The process ends; nothing comes after this, and this is always told."""


class Observers:
    """A display whose run others observe, too. What one of them fails with is warned of once, and it is told no more: it costs no run."""

    def __init__(self, display: Display, others: Sequence[Observer]) -> None:
        self._display, self._others = display, [*others]

    def plan(self, costs: dict[Label, float]) -> None:
        """See `Display`, as with the next ones."""
        self._display.plan(costs)
        self._tell(lambda other: other.plan(costs))

    def start(self, label: Label, epochs: int) -> None:
        """See `Display`."""
        self._display.start(label, epochs)
        self._tell(lambda other: other.start(label, epochs))

    def step(self, label: Label, position: Position, steps: int) -> None:
        """See `Display`."""
        self._display.step(label, position, steps)
        self._tell(lambda other: other.step(label, position, steps))

    def epoch(self, label: Label, epoch: Epoch) -> None:
        """See `Display`."""
        self._display.epoch(label, epoch)
        self._tell(lambda other: other.epoch(label, epoch))

    def end(self, label: Label) -> None:
        """See `Display`."""
        self._display.end(label)
        self._tell(lambda other: other.end(label))

    def phase(self, name: str | None) -> None:
        """See `Display`."""
        self._display.phase(name)
        self._tell(lambda other: other.phase(name))

    def alive(self) -> None:
        """See `Display`."""
        self._tell(lambda other: other.alive())

    def begin(self, record: RunRecord) -> None:
        """See `Display`, as with the next one."""
        self._tell(lambda other: other.begin(record))

    def finish(self, run: FinishedRun) -> None:
        """See `Display`."""
        self._tell(lambda other: other.finish(run))

    def found(self, run: VerifiedRun) -> None:
        """See `Display`."""
        self._tell(lambda other: other.found(run))

    def close(self, exit_code: int) -> None:
        """See `Observer`."""
        self._tell(lambda other: other.close(exit_code))

    def _tell(self, say: Callable[[Observer], Any]) -> None:
        for other in [*self._others]:
            try:
                say(other)
            except Exception as error:  # whatever a library or a server comes up with
                self._others.remove(other)
                log.warning(f"{other.name}: {' '.join(str(error).split()) or type(error).__name__}; it is told no more")
