"""Does pieces of work: one after another in this process, or side by side in processes of their own.

The results are the same ones. Only this process writes, and what a worker's death leaves undone is taken up again.
"""

import logging
import multiprocessing
import queue
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import forkserver
from types import TracebackType
from typing import Any, Protocol

from job.errors import DeviceMemoryError, JobError
from job.machine import memory, runtime, signals
from job.records.metrics import DeviceRecord
from job.training import worker
from job.training.desk import Desk
from job.training.work import Work
from job.training.workers import Heard, Worker, unknown_program

log = logging.getLogger(__name__)
Take = Callable[[int, Any], None]
"""Is given the place of a piece of work and its result, as soon as that is there. No signal interrupts it."""
PATIENCE_SECONDS = 60.0
"""Without a sign of life after which a worker counts as stuck, and is ended."""
# How often a piece of work is taken up again whose worker has died.
_RETRIES = 2
# Of the 10 s that are promised; the rest is for the last writes.
_STOP_SECONDS = 6.0
_POLL_SECONDS = 1.0


class Team(Protocol):
    """Who does the work."""

    peak_memory_bytes: int
    """The largest resident set of a worker so far."""

    def __enter__(self) -> "Team":
        """From here on there may be workers."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """After this there are none. Where a signal ends the work, what was reached is saved first."""

    def do(self, works: Sequence[Work], desks: Sequence[Desk], take: Take) -> None:
        """Does all of them.

        Args:
            desks: Of each piece of work.

        Raises:
            JobError: One failed, or its worker died time and again; of the latter kind, the others are done first.
        """


class Alone:
    """All in this process, in the order given."""

    def __init__(self, device: DeviceRecord) -> None:
        self._device, self._is_ready = device, False
        self.peak_memory_bytes = 0

    def __enter__(self) -> "Alone":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def do(self, works: Sequence[Work], desks: Sequence[Desk], take: Take) -> None:
        """See `Team`."""
        for place, (work, desk) in enumerate(zip(works, desks, strict=True)):
            if not self._is_ready:
                runtime.start_tensorflow()
                self._is_ready = True
            result = work.do(desk, self._device)
            with signals.deferred():
                take(place, result)


class SideBySide:
    """Several at once, the longest first, each in a process of its own.

    Args:
        count: Of the workers, at most.
        cores: What the workers are bound to, shared out among them; none where they are not.
        share: Of cores that each uses.
    """

    def __init__(self, device: DeviceRecord, count: int, cores: list[int], share: int) -> None:
        self._device, self._count, self._cores, self._share = device, count, cores, share
        # A GPU's driver may not be forked, not even unused.
        self._context: Any = multiprocessing.get_context("spawn" if device.type == "gpu" else "forkserver")
        if device.type != "gpu":
            self._context.set_forkserver_preload(["job.training.nursery"])
        self._workers: list[Worker] = []
        self._heard: queue.SimpleQueue[Heard] = queue.SimpleQueue()
        self._works: Sequence[Work] = ()
        self._desks: Sequence[Desk] = ()
        self._take: Take = lambda place, result: None
        self._waiting: list[int] = []
        self._deaths: dict[int, int] = {}
        self.peak_memory_bytes = 0
        """The largest resident set of a worker so far."""

    def __enter__(self) -> "SideBySide":
        if self._device.type != "gpu":
            # Importing TensorFlow takes seconds: there, and here, for the export.
            with unknown_program():
                forkserver.ensure_running()
        runtime.import_tensorflow()
        while len(self._workers) < self._count:
            self._hire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if isinstance(error, signals.Interrupted):
                self._save_all()
        finally:
            for each in self._workers:
                if kind is None:
                    each.tell("work", None)
                else:
                    each.process.kill()
            for each in self._workers:
                each.end(_STOP_SECONDS)
            self._workers.clear()

    def do(self, works: Sequence[Work], desks: Sequence[Desk], take: Take) -> None:
        """See `Team`."""
        self._works, self._desks, self._take, self._deaths = works, desks, take, {}
        # The longest first, so that the end is not one straggler.
        self._waiting = sorted(range(len(works)), key=lambda place: -works[place].cost)
        lost: list[JobError] = []
        while self._waiting or any(each.place is not None for each in self._workers):
            self._assign()
            started = time.monotonic()
            heard: Heard | None = None
            with suppress(queue.Empty):
                heard = self._heard.get(timeout=_POLL_SECONDS)
            self._watch(heard, time.monotonic() - started)
            if heard is not None and heard[0] in self._workers:
                with signals.deferred():
                    lost += self._bury(heard[0]) if heard[1] is None else self._hear(heard[0], *heard[1])
        if lost:
            raise lost[0]

    def _watch(self, heard: Heard | None, passed: float) -> None:
        """Ends workers that have not been heard of for long, while this process listened."""
        for each in self._workers:
            is_heard = heard is not None and heard[0] is each
            # Not more than was waited for: this process itself may have been stopped meanwhile.
            each.silent = 0.0 if is_heard else each.silent + min(passed, 2 * _POLL_SECONDS)
            if each.silent >= PATIENCE_SECONDS and not each.is_stuck:
                each.is_stuck = True
                each.process.kill()

    def _hire(self) -> None:
        ours, theirs = self._context.Pipe()
        slot = min(set(range(self._count + 1)) - {each.slot for each in self._workers})
        cores = self._cores[slot * self._share : (slot + 1) * self._share]
        process = self._context.Process(target=worker.main, args=(theirs, self._device, cores, self._share), daemon=True)
        with unknown_program():
            process.start()
        theirs.close()
        self._workers.append(Worker(process, ours, slot, self._heard))

    def _assign(self) -> None:
        while self._waiting and sum(each.place is not None for each in self._workers) < self._count:
            idle = next((each for each in self._workers if each.place is None), None)
            if idle is None:
                self._hire()
                continue
            idle.place, idle.kills_before = self._waiting.pop(0), memory.kills() or 0
            idle.tell("work", self._works[idle.place])

    def _hear(self, mine: Worker, kind: str, *values: Any) -> list[JobError]:
        """Takes one message; where it says that a piece of work failed, why."""
        if kind == "alive":
            self.peak_memory_bytes = max(self.peak_memory_bytes, *values)
        elif kind == "log":
            name, level, text = values
            logging.getLogger(name).log(level, "%s", text)
        elif kind in ("tell", "ask") and mine.place is not None:
            name, arguments = values
            answer = getattr(self._desks[mine.place], name)(*arguments)
            if kind == "ask":
                mine.tell("answer", answer)
        elif kind == "ended":
            self._end(mine, *values)
        return []

    def _end(self, mine: Worker, how: str, value: Any) -> None:
        place, mine.place = mine.place, None
        assert place is not None
        label = self._works[place].label
        if how == "done":
            self._take(place, value)
        elif how == "broken":
            raise RuntimeError(f"{label}, in a process of its own:\n{value}")
        elif isinstance(value, (DeviceMemoryError, MemoryError)) and self._count > 1:
            self._count -= 1
            log.warning(f"{label}: {str(value) or 'the memory did not suffice'}; going on with {self._count} side by side")
            # Its memory is only given back when it ends.
            self._workers.remove(mine)
            mine.end()
            self._waiting.insert(0, place)
        elif how == "failed":
            raise value
        else:
            self._waiting.insert(0, place)

    def _bury(self, mine: Worker) -> list[JobError]:
        """After a worker's death: what it did is done again, unless that was tried often enough."""
        self._workers.remove(mine)
        code, place = mine.end(_STOP_SECONDS), mine.place
        if place is None:
            return []
        label, deaths = self._works[place].label, self._deaths.get(place, 0) + 1
        self._deaths[place] = deaths
        is_memory = code == -signal.SIGKILL and not mine.is_stuck and (memory.kills() or 0) > mine.kills_before
        how = _cause(code, mine.is_stuck, is_memory)
        if deaths > _RETRIES:
            log.warning(f"{label}: its process {how} once more; the others go on")
            advice = "give the job more memory, or lower --batch-size or --max-tokens" if is_memory else "try --workers 1"
            return [JobError(f"{label}: its process {how}, {deaths} times; what was finished is kept; {advice}")]
        if is_memory and self._count > 1:
            self._count -= 1
            how += f", so that {self._count} are left to work side by side"
        log.warning(f"{label}: its process {how}; taken up again where it was saved ({deaths} of {_RETRIES})")
        self._waiting.insert(0, place)
        return []

    def _save_all(self) -> None:
        """Makes every worker save where it is, as far as there is time."""
        busy = [each for each in self._workers if each.place is not None]
        for each in busy:
            each.tell("stop", None)
        end = time.monotonic() + _STOP_SECONDS
        while busy and (left := end - time.monotonic()) > 0:
            with suppress(queue.Empty):
                mine, message = self._heard.get(timeout=left)
                if mine not in busy:
                    continue
                if message is not None and message[:2] != ("ended", "stopped"):
                    self._hear(mine, *message)
                if message is None or message[0] == "ended":
                    busy.remove(mine)


def _cause(code: int | None, is_stuck: bool, is_memory: bool) -> str:
    """How a process ended, in words."""
    if is_stuck:
        return f"gave no sign of life for {PATIENCE_SECONDS:.0f} s, and was ended"
    if is_memory:
        return "was ended by the system for want of memory"
    if code is not None and code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended by itself, with exit code {code}"
