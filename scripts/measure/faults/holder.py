"""Who holds the output's lock is stopped while another one takes over, loses its folder, or lives with a clock that jumps."""

import itertools
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from scripts.measure.faults import short
from scripts.measure.faults.runs import end, wait
from scripts.measure.faults.short import Command

_PATIENCE, _RENEWAL = 3.0, 0.2
_HOUR = 3600.0
_LOCKS = {
    "nothing": b"",
    "garbage": b"\0\xff{{{" * 40,
    "JSON of no lock": b'[{"token": 1}]',
    "another host": json.dumps(
        {"host": "elsewhere", "process": 7, "boot": "another", "token": "theirs", "renewals": 3}
    ).encode(),
}


def holder_series(folder: Path, stops: int, every: int) -> bool:
    """Does all of it (or each `every`-th); compares what a run ends with."""
    short.import_all()
    (command,) = short.commands(folder, ["train"])
    place, said = folder / "place", folder / "said"
    command.again(place)
    began = time.monotonic()
    if end(command.start(place, said)):
        raise SystemExit(said.read_text())
    seconds, expected = time.monotonic() - began, short.result(place / "output")
    cases: list[tuple[str, Callable[[], str | None]]] = []
    for number in range(stops):
        after = seconds * (number + 0.5) / stops
        cases.append((f"stopped after {after:.1f} s", partial(_stop, command, place, folder, after)))
        cases += [
            (f"output {how} after {after:.1f} s", partial(_lose, command, place, said, after, how))
            for how in ("renamed", "deleted")
        ]
    cases += [(f"a lock that holds {name}", partial(_find, command, place, said, content)) for name, content in _LOCKS.items()]
    cases.append(("a clock that jumps by an hour, there and back", partial(_jump, command, place, said)))
    good = True
    for name, case in cases[every // 2 :: every]:
        command.again(place)
        wrong = case()
        if wrong is None and short.result(place / "output") != expected:
            wrong = "ended differently"
        print(f"{name}: {wrong or 'as it should be'}", flush=True)
        good &= wrong is None
    return good


def hurry() -> None:
    """In a fork: another one's silence is taken for its death after seconds."""
    from job.files.lock import WriterLock

    WriterLock.__init__.__defaults__ = (_PATIENCE, _RENEWAL, *(WriterLock.__init__.__defaults__ or ())[2:])


def watched(log: Path, below: Path) -> Callable[[], None]:
    """What is called in a fork so that its changes below a folder are written down, each with its time."""

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        opens = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if opens or event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link"):
            path = str(arguments[1] if event == "os.rename" else arguments[0])
            if path.startswith(str(below)):
                os.write(descriptor, f"{time.monotonic()}\t{event}\t{path}\n".encode())

    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o644)

    def set_up() -> None:
        hurry()
        sys.addaudithook(hear)

    return set_up


def _stop(command: Command, place: Path, folder: Path, after: float) -> str | None:
    """Stops the holder until another process has taken over and ended; then it must say so and change nothing but its own scraps."""
    first_said, log = folder / "said-first", folder / "log"
    first = command.start(place, first_said, watched(log, place / "output"))
    if wait(first, after) is not None:
        return None  # it was faster
    os.kill(first, signal.SIGSTOP)
    code = end(command.start(place, folder / "said", hurry))
    ended = time.monotonic()
    os.kill(first, signal.SIGCONT)
    old = end(first)
    late = [line.split("\t")[1:] for line in log.read_text().splitlines() if float(line.split("\t")[0]) > ended]
    changed = [line for line in late if not Path(line[1]).name.endswith(".tmp") and ".tmp/" not in line[1]]
    told = first_said.read_text()
    if code:
        return f"the second one ended with {code}: {(folder / 'said').read_text()[-1000:]}"
    if changed:
        return f"the first one went on to write: {changed}"
    if old not in (0, 73, 74) or "Traceback" in told:
        return f"the first one ended with {old}: {told[-2000:]}"
    return None


def _lose(command: Command, place: Path, said: Path, after: float, how: str) -> str | None:
    """Takes the output away in mid-run: the run must end and not bring it back; where it is kept, another one goes on from it."""
    process = command.start(place, said, hurry)
    code = wait(process, after)
    output, aside = place / "output", place / "aside"
    if code is None and output.exists():
        if how == "renamed":
            output.rename(aside)
        else:
            shutil.rmtree(output, ignore_errors=True)
        code = end(process)
    code = end(process) if code is None else code
    if code not in (0, 74) or "Traceback" in said.read_text():
        return f"it ended with {code}: {said.read_text()[-2000:]}"
    if code and output.exists():
        return f"it came back: {sorted(map(str, output.rglob('*')))}"
    if aside.exists():
        aside.rename(output)
    code = end(command.start(place, said, hurry))
    return f"called again, it ended with {code}: {said.read_text()[-2000:]}" if code else None


def _find(command: Command, place: Path, said: Path, content: bytes) -> str | None:
    """A lock lies there that nobody renews, from an hour hence."""
    lock = place / "output" / ".lock"
    lock.parent.mkdir()
    lock.write_bytes(content)
    os.utime(lock, (time.time() + _HOUR,) * 2)
    code = end(command.start(place, said, hurry))
    return f"it ended with {code}: {said.read_text()[-2000:]}" if code else None


def _jump(command: Command, place: Path, said: Path) -> str | None:
    def set_up() -> None:
        hurry()
        real, jumps = time.time, itertools.cycle([-_HOUR, 0.0, _HOUR])
        time.time = lambda: real() + next(jumps)

    code = end(command.start(place, said, set_up))
    return f"it ended with {code}: {said.read_text()[-2000:]}" if code else None
