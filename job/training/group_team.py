"""The team (job/training/team.py) of a chief: its group trains, and it alone does what else is to be done."""

import logging
from dataclasses import replace
from types import TracebackType
from typing import Any

from job.machine import runtime
from job.output.checkpoints import Snapshot
from job.records.metrics import DeviceRecord
from job.training.crew import Chief
from job.training.desk import Desk
from job.training.team import Alone
from job.training.work import TASK, Judge, Train, Work

log = logging.getLogger(__name__)


class InGroup(Alone):
    """Each training, and a teacher's judgement, by all processes of a group, of which this is the chief; all else in this process."""

    def __init__(self, device: DeviceRecord, chief: Chief, data_hash: str) -> None:
        super().__init__(device)
        self._chief, self._data_hash = chief, data_hash
        self._group: Any = None

    def __enter__(self) -> "InGroup":
        try:
            # See job/commands/follow.py.
            runtime.import_tensorflow()
            self._chief.gather({"data": self._data_hash})
        except BaseException as error:
            self._chief.end(error)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._chief.end(error)

    def _start(self) -> None:
        # Not before TensorFlow is imported; nor after it has computed anything.
        from job.training.group import Group

        self._group = self._chief.start(lambda: Group(self._chief.peers))

    def _do(self, work: Work, desk: Desk) -> Any:
        if not isinstance(work, Train | Judge):
            return super()._do(work, desk)
        self._chief.tell(work.kind, {"task": TASK.dump_python(work.task, mode="json")}, work.arrays())
        with self._chief.explained():
            result = super()._do(replace(work, group=self._group), _ChiefsDesk(desk, self._chief))
        if isinstance(work, Judge):
            return result
        count = len(self._chief.peers.hosts)
        log.info(f"{work.label}: {count} processes summed {self._group.bytes_a_step() / 2**20:.2f} MiB a step")
        return result


class _ChiefsDesk:
    """A desk whose snapshots all of the group go on from."""

    def __init__(self, desk: Desk, chief: Chief) -> None:
        self._desk, self._chief = desk, chief

    def __getattr__(self, name: str) -> Any:
        return getattr(self._desk, name)

    def load(self) -> Snapshot | None:
        """See `Desk`."""
        snapshot = self._desk.load()
        self._chief.tell("snapshot", {"snapshot": snapshot and snapshot.values}, snapshot.arrays if snapshot else None)
        return snapshot
