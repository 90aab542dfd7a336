"""Breaks the job on purpose, on a small run, and shows what is left of it. The real command, in forks of this process.

    .venv/bin/python -m scripts.measure.faults kills     30 SIGKILLs and 30 SIGTERMs at random moments, each before half of
                                                        a run's length, so that only a job that continues can ever finish
    .venv/bin/python -m scripts.measure.faults workers   the same with both networks side by side: 30 SIGKILLs each of the
                                                        parent, of one worker and of all processes, 30 SIGTERMs of the
                                                        parent, a worker that is stopped for good, and memory that
                                                        suffices for one of them
    .venv/bin/python -m scripts.measure.faults group     one training by two processes (--processes): 20 SIGKILLs and 20 SIGTERMs, each of
                                                        one of them, and the group started again
    .venv/bin/python -m scripts.measure.faults writes    every write of a run fails once, as on a full disk
    .venv/bin/python -m scripts.measure.faults crashes   a SIGKILL before every call that changes a file, for train, merge and
                                                        report (takes strace)
    .venv/bin/python -m scripts.measure.faults limits    full disks, files that may not grow, too few open files, too little
                                                        memory (as root, for the disks)
    .venv/bin/python -m scripts.measure.faults holder    who holds the output's lock is stopped and replaced, loses the folder,
                                                        meets odd locks and a clock that jumps

All compare what the job ends with, to the bit, with an uninterrupted run's, and end with 1 where anything differs.
"""

import argparse
import os
import random
import signal
import tempfile
from pathlib import Path

from scripts.measure.faults.crashes import crash_series
from scripts.measure.faults.group import group_series
from scripts.measure.faults.holder import holder_series
from scripts.measure.faults.kills import kill_series
from scripts.measure.faults.limits import limit_series
from scripts.measure.faults.workers import starve_series, worker_series
from scripts.measure.faults.writes import write_series


def main() -> int:
    """Reads the arguments and runs what they name; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=_KINDS)
    parser.add_argument("--kills", type=int, default=30, help="of each signal")
    parser.add_argument("--epochs", type=int, default=6, help="of a run that is killed")
    parser.add_argument("--processes", type=int, default=2, help="of a group")
    parser.add_argument(
        "--command", action="append", choices=_COMMANDS, help="to kill with `crashes` (repeatable; all by default)"
    )
    parser.add_argument("--stops", type=int, default=8, help="moments of a run at which `holder` does each thing")
    parser.add_argument("--every", type=int, default=1, help="take only each N-th of the writes, calls, limits or cases")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow  # noqa: F401 (before the forks, so that each need not)

    with tempfile.TemporaryDirectory(prefix="fault-harness-") as name:
        return 0 if all(_KINDS[options.kind](Path(name), options)) else 1


def _kills(folder: Path, options: argparse.Namespace) -> list[bool]:
    chance = random.Random(options.seed)
    return [kill_series(folder, each, options.kills, options.epochs, chance) for each in _SIGNALS]


def _workers(folder: Path, options: argparse.Namespace) -> list[bool]:
    chance = random.Random(options.seed)
    series = [("parent", signal.SIGKILL), ("worker", signal.SIGKILL), ("all", signal.SIGKILL), ("parent", signal.SIGTERM)]
    done = [starve_series(folder)]
    done += [worker_series(folder, target, number, options.kills, chance) for target, number in series]
    return [*done, worker_series(folder, "worker", signal.SIGSTOP, max(1, options.kills // 10), chance)]


def _group(folder: Path, options: argparse.Namespace) -> list[bool]:
    chance = random.Random(options.seed)
    return [group_series(folder, each, options.kills, options.epochs, chance, options.processes) for each in _SIGNALS]


def _writes(folder: Path, options: argparse.Namespace) -> list[bool]:
    return [write_series(folder, options.every)]


def _crashes(folder: Path, options: argparse.Namespace) -> list[bool]:
    return [crash_series(folder, options.command or _COMMANDS, options.every)]


def _limits(folder: Path, options: argparse.Namespace) -> list[bool]:
    return [limit_series(folder, options.every)]


def _holder(folder: Path, options: argparse.Namespace) -> list[bool]:
    return [holder_series(folder, options.stops, options.every)]


_SIGNALS = (signal.SIGKILL, signal.SIGTERM)
_COMMANDS = ["train", "merge", "report"]
_KINDS = {
    "kills": _kills,
    "workers": _workers,
    "group": _group,
    "writes": _writes,
    "crashes": _crashes,
    "limits": _limits,
    "holder": _holder,
}

if __name__ == "__main__":
    raise SystemExit(main())
