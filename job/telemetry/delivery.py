"""Delivers what is in an outbox to a server that keeps track of experiments: each thing once, whatever is killed in between."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from job.output.outbox import Item, Outbox, State


class Server(Protocol):
    """What is asked of the server. Each method may take seconds, and raises what it likes where the server is away."""

    @property
    def name(self) -> str:
        """Which one it is, without passwords."""

    def find(self, key: str) -> str | None:
        """The id of the run that was made with this key; None where there is none."""

    def create(self, key: str, folder: Path, time: int) -> str:
        """Makes a run that began at that time, in Unix milliseconds; its id."""

    def steps(self, run_id: str, metric: str) -> set[int]:
        """Those for which the server has a value of this metric."""

    def log(self, run_id: str, params: Mapping[str, str], tags: Mapping[str, str], metrics: Sequence[Item]) -> None:
        """Adds them; a parameter or tag that is there with the same value may come again."""

    def upload(self, run_id: str, folder: Path, model: str) -> None:
        """Sends a finished run's files, and this model of them; replaces those that are there."""

    def set_status(self, run_id: str, status: str, time: int) -> None:
        """RUNNING, FINISHED, FAILED or KILLED, since that time."""


class Delivery:
    """From one outbox to one server. An attempt that fails leaves what it did not deliver for the next one."""

    def __init__(self, outbox: Outbox, server: Server) -> None:
        self._outbox, self._server = outbox, server
        # Metrics of which the server is known to hold nothing but what was delivered.
        self._sure: set[str] = set()
        self._is_new = False

    def send(self) -> None:
        """Delivers what is pending; raises what the server does."""
        items, end = self._outbox.pending()
        if not items:
            return
        if self._outbox.state.server != self._server.name:
            # The key first: it must outlive a kill between making a run and hearing of it.
            self._outbox.keep(State(key=self._outbox.state.key, server=self._server.name))
            items, end = self._outbox.pending()
        try:
            self._send(items)
        except Exception:
            # Whether it came through is not known.
            self._sure.clear()
            self._is_new = False
            raise
        self._outbox.keep(self._outbox.state.but(delivered=end))

    def _send(self, items: Sequence[Item]) -> None:
        run_id = self._run(items[0].time)
        params = {item.key: str(item.value) for item in items if item.kind == "param"}
        tags = {item.key: str(item.value) for item in items if item.kind == "tag"}
        metrics = [item for item in items if item.kind == "metric"]
        if not self._is_new:
            there = {key: self._server.steps(run_id, key) for key in {item.key for item in metrics} - self._sure}
            metrics = [item for item in metrics if item.step not in there.get(item.key, ())]
        if params or tags or metrics:
            self._server.log(run_id, params, tags, metrics)
        self._sure |= {item.key for item in metrics}
        files = [str(item.value) for item in items if item.kind == "files"]
        if files:
            self._server.upload(run_id, self._outbox.folder, files[-1])
        status = [item for item in items if item.kind == "status"]
        if status:
            self._server.set_status(run_id, str(status[-1].value), status[-1].time)

    def _run(self, time: int) -> str:
        state = self._outbox.state
        if state.run_id is not None:
            return state.run_id
        run_id = self._server.find(state.key)
        if run_id is None:
            run_id = self._server.create(state.key, self._outbox.folder, time)
            self._is_new = True
        self._outbox.keep(state.but(run_id=run_id))
        return run_id
