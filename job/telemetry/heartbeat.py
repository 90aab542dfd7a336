"""A file that is as young as a run's last sign of life: for a probe that ends what hangs."""

import json
import os
import time
from pathlib import Path

from job.records.history import Epoch
from job.records.run import RunRecord
from job.telemetry.observer import Observer
from job.training.desk import Label
from job.training.position import Position

_SECONDS = 1.0


class Heartbeat(Observer):
    """Writes when something was done last, and what. Everything that a run tells of is a sign of life."""

    name = "heartbeat"

    def __init__(self, path: Path) -> None:
        self._path, self._last = path, -_SECONDS
        self._beat("started")

    def begin(self, record: RunRecord) -> None:
        self._beat("began")

    def start(self, label: Label, epochs: int) -> None:
        self._beat(str(label))

    def step(self, label: Label, position: Position, steps: int) -> None:
        if time.monotonic() - self._last >= _SECONDS:
            self._beat(f"{label}, epoch {position.epoch}, step {position.step} of {steps}")

    def epoch(self, label: Label, epoch: Epoch) -> None:
        self._beat(f"{label}, epoch {epoch.epoch}")

    def end(self, label: Label) -> None:
        self._beat(f"{label}, done")

    def phase(self, name: str | None) -> None:
        self._beat(name or "training")

    def alive(self) -> None:
        if time.monotonic() - self._last >= _SECONDS:
            self._beat("training")

    def close(self, exit_code: int) -> None:
        self._beat(f"ended with {exit_code}")

    def _beat(self, what: str) -> None:
        self._last = time.monotonic()
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        temporary.write_text(json.dumps({"time": round(time.time(), 3), "what": what}) + "\n")
        # Not flushed to the disk: it is worth nothing when the machine is gone.
        temporary.replace(self._path)
