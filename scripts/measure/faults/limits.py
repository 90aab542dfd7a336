"""Runs that lack something: room on a disk, in a file, in memory, or numbers for open files; and the same with the limit lifted."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.measure.faults import short
from scripts.measure.faults.runs import damaged_bytes, end, wait
from scripts.measure.faults.short import Command

_SHARES = (2, 10, 25, 40, 55, 70, 80, 90, 100)
_KIB = 1024
# In seconds; a run that takes longer hangs.
_PATIENCE = 300
_NO_ROOM = frozenset({0, 73, 74})
_NO_MEMORY = "out of memory"
_NO_ROOM_FOR_A_THREAD = 127
_ABORTED = frozenset({-signal.SIGABRT, _NO_ROOM_FOR_A_THREAD})


@dataclass(frozen=True)
class Limit:
    """What a run lacks.

    Args:
        apply: Called in the fork, before the command.
        folder: Below the place, which gets a file system of its own; None for none.
        size: Of that, in bytes.
        codes: That are expected.
        process: The resource and the limit that is given to the process alone.
    """

    name: str
    codes: frozenset[int]
    folder: str | None = None
    size: int = 0
    process: tuple[int, int] | None = None

    def apply(self) -> None:
        """Called in the fork, before the command."""
        if self.process is not None:
            number, value = self.process
            resource.setrlimit(number, (value, value))


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Callable[[], object]]:
    """A file system in memory of so many bytes; gives what makes it large. `OSError` where none may be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    kind = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    done = subprocess.run(kind, capture_output=True, text=True)
    if done.returncode:
        raise OSError(done.stderr.strip())
    try:
        yield lambda: subprocess.run(["mount", "-o", "remount,size=1g", str(folder)], check=True)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _limits(place: Path) -> list[Limit]:
    """Those for a run that left this place, undisturbed."""
    mine = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    found = [
        Limit(f"{folder} of {size >> 10} KiB", _NO_ROOM, folder, size)
        for folder, whole in (
            ("output", _bytes_below(place / "output")),
            ("cache", _bytes_below(place / "cache")),
            ("tmp", 64 * _KIB),
        )
        for size in sorted({max(4 * _KIB, whole * share // 100) for share in _SHARES})
    ]
    found += [
        Limit(f"files of {size} bytes", _NO_ROOM, process=(resource.RLIMIT_FSIZE, size))
        for size in (0, 100, 600, *(_KIB << power for power in range(1, 11)))
    ]
    found += [
        Limit(f"{count} open files", frozenset({0, 73, 74}), process=(resource.RLIMIT_NOFILE, count))
        for count in (8, 12, 16, 20, 24, 28, 32, 40, 48, 64)
    ]
    # TensorFlow's threads end a process (SIGABRT) where one of them cannot be started; so does the C library (127) where a
    # thread's own data find no room.
    found += [
        Limit(
            f"{more} MiB of memory beside what libraries take",
            frozenset({0, 1, *_ABORTED}),
            process=(resource.RLIMIT_AS, mine + (more << 20)),
        )
        for more in (64, 128, 256, 512, 1024, 2048)
    ]
    return found


def _bytes_below(folder: Path) -> int:
    """What files and folders take on a file system in memory."""
    return sum(-(-path.lstat().st_size // 4096) * 4096 for path in folder.rglob("*") if path.is_file())


def limit_series(folder: Path, every: int) -> bool:
    """Gives a run each limit (or each `every`-th) in turn, then lifts it; compares what it ends with."""
    short.import_all()
    (command,) = short.commands(folder, ["train"])
    place, said = folder / "place", folder / "said"
    command.again(place)
    if end(command.start(place, said)):
        raise SystemExit(said.read_text())
    expected, limits = short.result(place / "output"), _limits(place)
    good, done, refused = True, 0, 0
    for limit in limits[every // 2 :: every]:
        command.again(place)
        try:
            good &= _try(command, limit, place, said, expected)
            done += 1
        except OSError as error:
            print(f"{limit.name}: no file system may be mounted here ({error})", file=sys.stderr)
            refused += 1
    print(
        f"{done} of {len(limits)} limits tried, {refused} could not be: {'all as they should be' if good else 'NOT as they should be'}"
    )
    return good


def _try(command: Command, limit: Limit, place: Path, said: Path, expected: object) -> bool:
    if limit.folder is None:
        return _run_twice(command, limit, place, said, expected, lambda: None)
    with small_disk(place / limit.folder, limit.size) as lift:
        return _run_twice(command, limit, place, said, expected, lift)


def _run_twice(command: Command, limit: Limit, place: Path, said: Path, expected: object, lift: Callable[[], object]) -> bool:
    def apply() -> None:
        if limit.folder == "tmp":
            os.environ["TMPDIR"], tempfile.tempdir = str(place / "tmp"), None
        limit.apply()

    # What it says goes through a pipe, which is no file that may be too large.
    with said.open("wb") as stream, subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=stream) as kept:
        assert kept.stdin is not None
        process = command.start(place, Path(f"/proc/self/fd/{kept.stdin.fileno()}"), apply)
        code = wait(process, _PATIENCE)
        if code is None:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
        kept.stdin.close()
    text, lost, whole = said.read_text(errors="replace"), damaged_bytes(place / "output"), short.is_whole(place / "output")
    lift()
    again = end(command.start(place, said))
    same = not again and short.result(place / "output") == expected
    told = _told(text)
    fine = (
        code in limit.codes
        and len(told) == (code not in (0, *_ABORTED))
        and "Traceback" not in text
        and not lost
        and whole
        and same
    )
    fine = fine and (code != 1 or _NO_MEMORY in told[0]) and (code != _NO_ROOM_FOR_A_THREAD or "ABORT" in text)
    print(
        f"{limit.name}: {'HANGS' if code is None else f'exit {code}'}, then {again}{'' if same else ', DIFFERENT'}{'' if fine else ' WRONG'}  {' '.join(told)[:300]}",
        flush=True,
    )
    if not fine:
        print(f"{lost} bytes lost; {text[-6000:]}\n{'' if not again else said.read_text()}", file=sys.stderr)
    return fine


def _told(text: str) -> list[str]:
    """The messages that say what the job failed of: in events, or in a line where not even those could be made."""
    found = re.findall(r"^error: (.*)$", text, re.MULTILINE)
    for line in re.findall(r"^\{.*\}$", text, re.MULTILINE):
        event = json.loads(line)
        if event.get("event") == "error":
            found.append(str(event["message"]))
    return found
