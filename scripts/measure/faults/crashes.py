"""A SIGKILL before every call that changes a file, and the same command again. Takes strace, which lists the calls and kills."""

import collections
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.measure.faults import short
from scripts.measure.faults.runs import damaged_bytes, end
from scripts.measure.faults.short import Command

_CALLS = (
    *(
        "open",
        "openat",
        "openat2",
        "creat",
        "write",
        "pwrite64",
        "writev",
        "pwritev",
        "pwritev2",
        "sendfile",
        "copy_file_range",
    ),
    *(
        "truncate",
        "ftruncate",
        "fallocate",
        "fsync",
        "fdatasync",
        "sync_file_range",
        "msync",
        "rename",
        "renameat",
        "renameat2",
    ),
    *(
        "unlink",
        "unlinkat",
        "mkdir",
        "mkdirat",
        "rmdir",
        "link",
        "linkat",
        "symlink",
        "symlinkat",
        "chmod",
        "fchmod",
        "fchmodat",
    ),
)
_LEFT_OVER_SECONDS = 15


@dataclass(frozen=True)
class Call:
    """A system call of a run.

    Args:
        number: Among the calls of its thread by this name, counted from 1, as strace counts them.
        path: What it is about, below the place.
    """

    thread: int
    name: str
    number: int
    path: str

    @property
    def kind(self) -> tuple[str, str]:
        """The call and its path without what is another one in every run."""
        path = re.sub(r"[0-9]{10,}\.[^/]*tfevents|tfevents\.[^/]*", "tfevents", self.path)
        path = re.sub(
            r"tmp[a-z0-9_]{8}|(?<=-step)[0-9]{10}|[0-9a-f]{16,32}|[0-9a-f]{8}(?=\.tmp)|temp/part|part-[0-9-of]+", "…", path
        )
        return self.name, path


class Traced:
    """A run under strace.

    Args:
        fatal: The call before which the process is killed; None to let it be.
    """

    def __init__(self, command: Command, place: Path, said: Path, log: Path, fatal: Call | None = None) -> None:
        reader, writer = os.pipe()
        self._log, self._place = log, place

        def wait_for_tracer() -> None:
            os.close(writer)
            os.read(reader, 1)
            os.close(reader)

        self.process = command.start(place, said, wait_for_tracer)
        os.close(reader)
        inject = ["-e", f"inject={fatal.name}:signal=KILL:when={fatal.number}"] if fatal else []
        traced = ["strace", "-f", "-y", "-s", "0", "-o", str(log), "-e", f"trace={','.join(_CALLS)}", *inject]
        self._tracer = subprocess.Popen([*traced, "-p", str(self.process)], stderr=subprocess.PIPE, text=True)
        assert self._tracer.stderr is not None
        attached = self._tracer.stderr.readline()
        if "attached" not in attached:
            raise SystemExit(f"error: strace cannot follow a process here: {attached.strip()}")
        os.close(writer)

    def end(self) -> int:
        """The exit code, once the run has ended."""
        return end(self.process)

    def leaves_processes(self) -> bool:
        """Whether a process that the run started outlives it by far; they are let go then."""
        try:
            self._tracer.wait(_LEFT_OVER_SECONDS)
        except subprocess.TimeoutExpired:
            self._tracer.terminate()
            self._tracer.wait()
            return True
        return False

    def calls(self) -> list[Call]:
        """Those that were to change something in the place, in order."""
        return [call for call, changes in self._all() if changes]

    def died_before(self, fatal: Call) -> Call | None:
        """The call that was the last one of the process; None where it lived."""
        if not re.search(r"killed by SIGKILL", self._log.read_text()):
            return None
        return next((call for call, _ in self._all() if (call.name, call.number) == (fatal.name, fatal.number)), None)

    def _all(self) -> Iterator[tuple[Call, bool]]:
        count: collections.Counter[tuple[int, str]] = collections.Counter()
        below = str(self._place) + "/"
        for line in self._log.read_text(errors="replace").splitlines():
            found = re.match(r"(\d+) +(\w+)\((.*)", line)
            if not found:
                continue
            thread, name, rest = int(found[1]), found[2], found[3]
            count[thread, name] += 1
            # Of a new name and an old one, the last one counts: what is renamed is known by what it becomes.
            paths = re.findall(rf'[<"]{re.escape(below)}([^">]*)[">]', rest)
            only_reads = name.startswith("open") and not re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC", rest)
            changes = bool(paths) and not only_reads and "= -1 " not in rest
            yield Call(thread, name, count[thread, name], paths[-1] if paths else ""), changes


def crash_series(folder: Path, names: list[str], every: int) -> bool:
    """Kills commands before each call that changes something (or each `every`-th), and calls them again; compares what they end with."""
    if not shutil.which("strace"):
        print("strace is not installed; it lists the calls and kills before them (apt-get install strace)", file=sys.stderr)
        return False
    short.import_all()
    done = [_crash(folder, command, every) for command in short.commands(folder, names)]
    return all(done)


def _crash(folder: Path, command: Command, every: int) -> bool:
    place, said, log = folder / "place", folder / "said", folder / "strace"
    command.again(place)
    undisturbed = Traced(command, place, said, log)
    if undisturbed.end():
        raise SystemExit(said.read_text())
    undisturbed.leaves_processes()
    expected, report = short.result(place / "output"), (place / "output" / "report.html").read_bytes()
    calls = undisturbed.calls()
    codes: collections.Counter[int] = collections.Counter()
    hit: set[tuple[str, str]] = set()
    elsewhere = damaged = left = wrong = kills = 0
    for call in calls[every // 2 :: every]:
        command.again(place)
        run = Traced(command, place, said, log, call)
        code = run.end()
        left += run.leaves_processes()
        codes[code] += 1
        died = run.died_before(call)
        kills += died is not None
        if died is not None:
            hit.add(died.kind)
        elsewhere += died is not None and died.kind != call.kind
        lost = damaged_bytes(place / "output")
        damaged += lost
        whole = short.is_whole(place / "output")
        succeeded = end(command.start(place, said))
        fine = whole and not succeeded and not lost and short.result(place / "output") == expected
        if command.name == "report":
            fine = fine and (place / "output" / "report.html").read_bytes() == report
        if not fine:
            wrong += 1
            print(
                f"{command.name}, killed before {died or call}: {code}, then {succeeded}; {lost} bytes lost{'' if whole else '; a finished run that is not whole'}",
                file=sys.stderr,
            )
            print(said.read_text(), file=sys.stderr)
    kinds = {call.kind for call in calls}
    print(
        f"{command.name}: {kills} SIGKILLs before one of {len(calls)} calls that change something below output and cache, "
        f"{len(hit & kinds)} of {len(kinds)} kinds of call and file ({elsewhere} before another one than was meant); "
        f"exit codes {dict(sorted(codes.items()))}; called again, {len(calls[every // 2 :: every]) - wrong} ended the same as "
        f"undisturbed, {wrong} did NOT; bytes in damaged files {damaged}; processes left {left}",
        flush=True,
    )
    return not wrong and not left
