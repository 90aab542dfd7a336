"""A worker: a process that does one piece of work after another for its parent, and ends at once when that has died.

It writes nothing. What it has to save it sends to its parent, which holds the lock, and waits until that is done.
"""

import contextlib
import logging
import os
import queue
import signal
import threading
import time
import traceback
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from job.errors import JobError
from job.machine import provenance, runtime, signals
from job.output.checkpoints import Snapshot
from job.records.history import Epoch
from job.records.metrics import DeviceRecord
from job.training.desk import Label

if TYPE_CHECKING:
    from job.training.position import Position
    from job.training.work import Work

PULSE_SECONDS = 1.0
"""Between two signs of life."""
# A display need not know more often.
_STEP_SECONDS = 0.1


def main(connection: Connection, device: DeviceRecord, cores: list[int], share: int, place: int) -> None:
    """Does what comes through `connection` until nothing more does.

    Args:
        cores: Those that it is bound to; none where it is not.
        share: How many cores it is to use.
        place: Among the workers, to which the GPUs are dealt out.
    """
    signals.end_with_parent()
    signals.install_in_worker()
    if cores and hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, cores)
    desk = _Line(connection)
    handler = _Handler(desk)
    logging.captureWarnings(True)
    logging.getLogger().handlers = [handler]
    logging.getLogger("job").setLevel(logging.INFO)
    runtime.start_tensorflow(share, place)
    with contextlib.suppress(signals.Interrupted):
        while (work := desk.next()) is not None:
            desk.send("ended", *_do(work, desk, device))
    # TensorFlow's threads may block a clean end.
    os._exit(0)


def _do(work: "Work", desk: "_Line", device: DeviceRecord) -> tuple[str, Any]:
    try:
        return "done", work.do(desk, device)
    except signals.Interrupted:
        return "stopped", None
    except JobError as error:
        return "failed", error
    except MemoryError:
        return "failed", MemoryError()
    except Exception:
        # Native code may have caught what the stop raised within it, and raised something of its own.
        return ("stopped", None) if signals.is_pending() else ("broken", traceback.format_exc())


class _Line:
    """The desk of a worker: each call goes to the parent's."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._inbox: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._shown_at = 0.0
        threading.Thread(target=self._read, name="parent", daemon=True).start()
        threading.Thread(target=self._live, name="pulse", daemon=True).start()

    def _read(self) -> None:
        main = threading.main_thread().ident
        assert main is not None
        try:
            while True:
                kind, value = self._connection.recv()
                if kind == "stop":
                    signal.pthread_kill(main, signals.STOP)
                else:
                    self._inbox.put((kind, value))
        except (EOFError, OSError):
            # The parent is gone, and nothing that is done here could be kept.
            os._exit(1)

    def _live(self) -> None:
        while True:
            self.send("alive", provenance.peak_memory_bytes())
            time.sleep(PULSE_SECONDS)

    def send(self, kind: str, *values: Any) -> None:
        """Tells the parent something."""
        try:
            with self._sending:
                self._connection.send((kind, *values))
        except OSError:
            os._exit(1)

    def next(self) -> "Work | None":
        """The next piece of work; None where there is none."""
        _, work = self._inbox.get()
        found: Work | None = work
        return found

    def _ask(self, name: str, *arguments: Any) -> Any:
        self.send("ask", name, arguments)
        _, answer = self._inbox.get()
        return answer

    def start(self, label: Label, epochs: int) -> None:
        """See `Desk`, as with the others."""
        self.send("tell", "start", (label, epochs))

    def step(self, label: Label, position: "Position", steps: int) -> None:
        """See `Desk`."""
        if time.monotonic() - self._shown_at >= _STEP_SECONDS:
            self._shown_at = time.monotonic()
            self.send("tell", "step", (label, replace(position, history=[]), steps))

    def epoch(self, label: Label, epoch: Epoch) -> None:
        """See `Desk`."""
        self.send("tell", "epoch", (label, epoch))

    def load(self) -> Snapshot | None:
        """See `Desk`."""
        snapshot: Snapshot | None = self._ask("load")
        return snapshot

    def save(self, step: int, snapshot: Snapshot) -> None:
        """See `Desk`."""
        self._ask("save", step, snapshot)

    def look(self, purpose: str) -> None:
        """See `Desk`."""
        self._ask("look", purpose)


class _Handler(logging.Handler):
    """What is logged here is shown by the parent."""

    def __init__(self, line: _Line) -> None:
        super().__init__()
        self._line = line

    def emit(self, record: logging.LogRecord) -> None:
        self._line.send("log", record.name, record.levelno, record.getMessage())
