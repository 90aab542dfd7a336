"""The same with two workers: kills of the parent, of a worker, of all; a worker that is stopped; memory for one alone."""

import collections
import contextlib
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.measure.eager import EagerTrain
from scripts.measure.faults.runs import (
    SMALL,
    damaged_bytes,
    descendants,
    end,
    fork,
    is_same,
    left_over,
    outcome,
    succeed,
    wait,
)


def worker_series(folder: Path, target: str, number: signal.Signals, count: int, chance: random.Random) -> bool:
    """Disturbs runs of two workers until `count` signals were survived; compares every finished run with that of one process."""
    expected = expected_side_by_side(folder)
    seconds = float((folder / "seconds").read_text())
    codes: collections.Counter[int] = collections.Counter()
    sent = finished = orphans = lost = 0
    slowest, good = 0.0, True
    name = f"{number.name} of {'the ' if target == 'parent' else 'a ' if target == 'worker' else ''}{target}"
    output = folder / name.replace(" ", "-")
    while good:
        process = start_side_by_side(folder, output, 2)
        seen, code = [process], None
        while code is None:
            # A worker's death does not end a run: it may meet several.
            code = wait(process, chance.uniform(0, seconds / 2)) if sent < count else end(process)
            if code is None:
                at = time.monotonic()
                seen = hit(process, target, number, chance)
                sent += 1
                if target != "worker":
                    code = end(process)
                    slowest = max(slowest, time.monotonic() - at)
        codes[code] += 1
        orphans += len(left_over(seen, 10))
        lost += damaged_bytes(output)
        gave_up = code == 1 and "3 times" in output.with_suffix(".said").read_text()
        if code not in (0, 128 + number, -number) and not gave_up:
            print(output.with_suffix(".said").read_text(), file=sys.stderr)
            good = False
        if code == 0:
            finished += 1
            good &= is_same(output, expected)
            if sent >= count:
                break
            shutil.rmtree(output)
    print(
        f"{name}: {sent} sent, {finished} runs finished, {'all' if good else 'NOT all'} the same as that of one process; exit codes "
        f"{dict(sorted(codes.items()))}; processes left {orphans}; bytes in damaged files {lost}; slowest end {slowest:.1f} s",
        flush=True,
    )
    return good and not lost and not orphans


def starve_series(folder: Path) -> bool:
    """Gives runs of two workers less and less memory, until the system ends one of them for want of it."""
    expected, output = expected_side_by_side(folder), folder / "starved"

    def run(limit: int | None) -> tuple[int, int]:
        """The exit code, and the most bytes that were used."""
        group, most = MemoryGroup(limit), 0
        process, code = start_side_by_side(folder, output, 2, group.enter), None
        while code is None:
            code = wait(process, 0.2)
            most = max(most, group.used())
        left_over(descendants(process), 5)
        group.remove()
        return code, most

    try:
        _, needed = run(None)
    except (StopIteration, OSError) as error:
        print(f"no memory can be taken away on this machine ({error})")
        return True
    shutil.rmtree(output)
    for percent in range(95, 40, -5):
        code, most = run(needed * percent // 100)
        said = output.with_suffix(".said").read_text()
        ended = said.count("was ended by the system for want of memory")
        if ended:
            same = code == 0 and outcome(output) == expected
            print(
                f"{percent} % of the {needed >> 20} MiB that two workers need: {ended} ended by the system, exit code {code}, "
                f"{'the same as one process' if same else 'NOT the same'}; at most {most >> 20} MiB used"
            )
            if not same:
                print(said, file=sys.stderr)
            return same
        shutil.rmtree(output)
    print("two workers never lacked memory")
    return False


def expected_side_by_side(folder: Path) -> dict[str, Any]:
    """What an undisturbed run of one process ends with; the first call makes it."""
    reference = folder / "reference"
    if not reference.exists():
        began = time.monotonic()
        succeed(start_side_by_side(folder, reference, 1), reference.with_suffix(".said"))
        (folder / "seconds").write_text(str(time.monotonic() - began))
    return outcome(reference)


def start_side_by_side(folder: Path, output: Path, workers: int, before: Callable[[], object] = lambda: None) -> int:
    """Starts a run of both networks with two seeds."""

    def prepare() -> None:
        from job.training import team, trainer

        vars(trainer)["Train"] = EagerTrain
        team.PATIENCE_SECONDS = 10.0
        before()

    arguments = [*SMALL, "--epochs", "3", "--seeds", "2", "--workers", str(workers)]
    return fork([*arguments, "--output", str(output), "--cache", str(folder / "cache")], output.with_suffix(".said"), prepare)


def is_worker(process: int) -> bool:
    """Whether it was forked to work, and is not what it was forked from."""
    with contextlib.suppress(OSError):
        threads = os.listdir(f"/proc/{process}/task")
        names = [Path(f"/proc/{process}/task/{each}/comm").read_text().strip() for each in threads]
        return len(names) > 2
    return False


def hit(process: int, target: str, number: signal.Signals, chance: random.Random) -> list[int]:
    """Sends a signal to the parent, to one worker or to all; the processes that lived then."""
    below = descendants(process)
    workers = [each for each in below if is_worker(each)]
    whom = {"parent": [process], "worker": [chance.choice(workers)] if workers else [], "all": [*below, process]}[target]
    for each in whom:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, number)
    return [process, *below]


class MemoryGroup:
    """A control group for memory (version 1, as root), in which a run can be given less than it needs.

    Args:
        limit: Bytes; None for as much as there is.
    """

    def __init__(self, limit: int | None) -> None:
        mine = next(line.split(":")[2] for line in Path("/proc/self/cgroup").read_text().splitlines() if ":memory:" in line)
        self._folder = Path(f"/sys/fs/cgroup/memory{mine}/faults-{os.getpid()}")
        self._folder.mkdir(exist_ok=True)
        # Pages that earlier processes left there count as well.
        with contextlib.suppress(OSError):
            (self._folder / "memory.force_empty").write_text("0")
        if limit is not None:
            (self._folder / "memory.limit_in_bytes").write_text(str(limit))

    def enter(self) -> None:
        """Puts this process, and those that it will start, into it."""
        (self._folder / "cgroup.procs").write_text(str(os.getpid()))

    def used(self) -> int:
        """Bytes of all its processes, without what files are cached."""
        stat = dict(line.split() for line in (self._folder / "memory.stat").read_text().splitlines())
        return int(stat["total_rss"])

    def remove(self) -> None:
        """When no process is in it."""
        with contextlib.suppress(OSError):
            (self._folder / "memory.limit_in_bytes").write_text("-1")
            self._folder.rmdir()
