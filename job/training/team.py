"""Does pieces of work: one after another in this process, or side by side in processes of their own.

The results are the same ones. Only this process writes, and what a worker's death leaves undone is taken up again.
"""

import collections
import itertools
import logging
import multiprocessing
import queue
import signal
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import forkserver
from types import TracebackType
from typing import Any, NamedTuple, Protocol

from job.errors import DeviceMemoryError, JobError
from job.machine import memory, runtime, signals
from job.records.metrics import DeviceRecord
from job.training import worker
from job.training.desk import Desk
from job.training.work import Work
from job.training.workers import Heard, Worker, unknown_program

log = logging.getLogger(__name__)
Take = Callable[[Any], None]
"""Is given the result of a piece of work as soon as that is there, and may add more work. No signal interrupts it."""
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

    @property
    def has_room(self) -> bool:
        """Whether there is less to do than there are processes to do it."""

    def __enter__(self) -> "Team":
        """From here on there may be workers."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """After this there are none. Where a signal ends the work, what was reached is saved first."""

    def add(self, work: Work, desk: Desk, take: Take) -> None:
        """Adds a piece of work to what is to be done."""

    def finish(self) -> None:
        """Does all that was added, also meanwhile.

        Raises:
            JobError: One failed, or its worker died time and again; of the latter kind, the others are done first.
        """


class _Item(NamedTuple):
    work: Work
    desk: Desk
    take: Take
    cost: float = 0.0


class Alone:
    """All in this process, in the order in which it was added."""

    def __init__(self, device: DeviceRecord) -> None:
        self._device, self._is_ready = device, False
        self._items: deque[_Item] = deque()
        self.has_room = False
        self.peak_memory_bytes = 0

    def __enter__(self) -> "Alone":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def add(self, work: Work, desk: Desk, take: Take) -> None:
        """See `Team`."""
        self._items.append(_Item(work, desk, take))

    def finish(self) -> None:
        """See `Team`."""
        while self._items:
            work, desk, take, _ = self._items.popleft()
            if not self._is_ready:
                self._start()
                self._is_ready = True
            result = self._do(work, desk)
            with signals.deferred():
                take(result)

    def _start(self) -> None:
        runtime.start_tensorflow()

    def _do(self, work: Work, desk: Desk) -> Any:
        return work.do(desk, self._device)


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
        self._items: dict[int, _Item] = {}
        self._added = itertools.count()
        self._waiting: list[int] = []
        self._deaths: collections.Counter[int] = collections.Counter()
        self.peak_memory_bytes = 0
        """The largest resident set of a worker so far."""

    @property
    def has_room(self) -> bool:
        """See `Team`."""
        return len(self._items) < self._count

    def __enter__(self) -> "SideBySide":
        if self._device.type != "gpu":
            with unknown_program():
                forkserver.ensure_running()
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

    def add(self, work: Work, desk: Desk, take: Take) -> None:
        """See `Team`."""
        number = next(self._added)
        self._items[number] = _Item(work, desk, take, work.cost)
        # The longest first, so that the end is not one straggler.
        self._waiting = sorted([*self._waiting, number], key=lambda each: -self._items[each].cost)

    def finish(self) -> None:
        """See `Team`."""
        lost: list[JobError] = []
        while self._waiting or any(each.item is not None for each in self._workers):
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
        told = (theirs, self._device, cores, self._share, slot)
        process = self._context.Process(target=worker.main, args=told, daemon=True)
        with unknown_program():
            process.start()
        theirs.close()
        self._workers.append(Worker(process, ours, slot, self._heard))

    def _assign(self) -> None:
        while self._waiting and sum(each.item is not None for each in self._workers) < self._count:
            idle = next((each for each in self._workers if each.item is None), None)
            if idle is None:
                self._hire()
                continue
            idle.item, idle.kills_before = self._waiting.pop(0), memory.kills() or 0
            idle.tell("work", self._items[idle.item].work)

    def _hear(self, mine: Worker, kind: str, *values: Any) -> list[JobError]:
        """Takes one message; where it says that a piece of work failed, why."""
        if kind == "alive":
            self.peak_memory_bytes = max(self.peak_memory_bytes, *values)
        elif kind == "log":
            name, level, text = values
            logging.getLogger(name).log(level, "%s", text)
        elif kind in ("tell", "ask") and mine.item is not None:
            name, arguments = values
            answer = getattr(self._items[mine.item].desk, name)(*arguments)
            if kind == "ask":
                mine.tell("answer", answer)
        elif kind == "ended":
            self._end(mine, *values)
        return []

    def _end(self, mine: Worker, how: str, value: Any) -> None:
        number, mine.item = mine.item, None
        assert number is not None
        label = self._items[number].work.label
        if how == "done":
            self._items.pop(number).take(value)
        elif how == "broken":
            raise RuntimeError(f"{label}, in a process of its own:\n{value}")
        elif isinstance(value, (DeviceMemoryError, MemoryError)) and self._count > 1:
            self._count -= 1
            log.warning(f"{label}: {str(value) or 'the memory did not suffice'}; going on with {self._count} side by side")
            # Its memory is only given back when it ends.
            self._workers.remove(mine)
            mine.end()
            self._waiting.insert(0, number)
        elif how == "failed":
            raise value
        else:
            self._waiting.insert(0, number)

    def _bury(self, mine: Worker) -> list[JobError]:
        """After a worker's death: what it did is done again, unless that was tried often enough."""
        self._workers.remove(mine)
        code, number = mine.end(_STOP_SECONDS), mine.item
        if number is None:
            return []
        self._deaths[number] += 1
        label, deaths = self._items[number].work.label, self._deaths[number]
        is_memory = code == -signal.SIGKILL and not mine.is_stuck and (memory.kills() or 0) > mine.kills_before
        how = _cause(code, mine.is_stuck, is_memory)
        if deaths > _RETRIES:
            del self._items[number]
            log.warning(f"{label}: its process {how} once more; the others go on")
            advice = "give the job more memory, or lower --batch-size or --max-tokens" if is_memory else "try --workers 1"
            return [JobError(f"{label}: its process {how}, {deaths} times; what was finished is kept; {advice}")]
        if is_memory and self._count > 1:
            self._count -= 1
            how += f", so that {self._count} are left to work side by side"
        log.warning(f"{label}: its process {how}; taken up again where it was saved ({deaths} of {_RETRIES})")
        self._waiting.insert(0, number)
        return []

    def _save_all(self) -> None:
        """Makes every worker save where it is, as far as there is time."""
        busy = [each for each in self._workers if each.item is not None]
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
