"""Every write of a run fails once, as on a full disk."""

import collections
import errno
import os
import re
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from scripts.measure.faults.runs import FAILED, damaged_bytes, end, fork, outcome, succeed


def write_series(folder: Path, every: int) -> bool:
    """Lets every write (or each `every`-th) of a run fail once."""
    cache, reference, said = folder / "cache", folder / "reference", folder / "said"

    def start(output: Path, cache: Path, before: Callable[[], object] = lambda: None) -> int:
        return fork([*FAILED, "--output", str(output), "--cache", str(cache)], said, before)

    def watch() -> None:
        for watched in (cache, reference):
            Faults(watched, None, folder / f"writes-{watched.name}")

    succeed(start(reference, cache, watch), said)
    expected = outcome(reference)
    table: dict[tuple[str, str], collections.Counter[str]] = {}
    good = True
    for place, log in (("cache", "writes-cache"), ("output", "writes-reference")):
        writes = (folder / log).read_text().splitlines()
        for number in range(1, len(writes) + 1, every):
            output, empty = folder / "output", folder / "empty-cache"
            for left in (output, empty):
                shutil.rmtree(left, ignore_errors=True)
            used = empty if place == "cache" else cache
            code = end(start(output, used, partial(Faults, used if place == "cache" else output, number)))
            errors = said.read_text()
            lost = damaged_bytes(output)
            again = end(start(output, used))
            same = again == 0 and outcome(output) == expected
            fine = code in (0, 73, 74) and "Traceback" not in errors and not lost and same
            good &= fine
            operation, _, path = writes[number - 1].partition("\t")
            name = re.sub(r"tmp[a-z0-9_]{8}|(?<=-step)[0-9]{10}|[0-9a-f]{16,32}|[0-9a-f]{8}(?=\.tmp)", "…", path)
            result = f"exit {code}, then {again}" + ("" if same else ", DIFFERENT") + ("" if fine else " WRONG")
            table.setdefault((f"{place}: {name}", operation), collections.Counter())[result] += 1
            if not fine:
                print(f"write {number} ({operation} {path}): {result}; {lost} bytes lost\n{errors}", file=sys.stderr)
    for (where, operation), results in sorted(table.items()):
        print(f"{where:62} {operation:7} " + "; ".join(f"{count} × {result}" for result, count in results.items()))
    print(
        f"{sum(sum(each.values()) for each in table.values())} writes failed once each: {'as they should' if good else 'NOT as they should'}"
    )
    return good


class Faults:
    """Makes one of the writes below a folder fail, or writes down which there are.

    Args:
        failing: The number of the one that fails, counted from 1.
        log: The file that gets a line for each.
    """

    def __init__(self, folder: Path, failing: int | None, log: Path | None = None) -> None:
        self._folder, self._failing = str(folder), failing
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644) if log else None
        self._count = 0
        sys.addaudithook(self._hear)
        for name in ("fsync", "pwrite"):
            setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str):
            flags = arguments[2] if isinstance(arguments[2], int) else 0
            if flags & (os.O_WRONLY | os.O_RDWR):
                self._write("open", arguments[0])
        elif event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir"):
            self._write(event[3:], os.fspath(arguments[0]))

    def _wrapped(self, name: str, real: Any) -> Any:
        def call(descriptor: int, *rest: Any) -> Any:
            self._write(name, os.readlink(f"/proc/self/fd/{descriptor}"))
            return real(descriptor, *rest)

        return call

    def _write(self, operation: str, path: str) -> None:
        if not str(path).startswith(self._folder):
            return
        self._count += 1
        if self._log is not None:
            os.write(self._log, f"{operation}\t{path[len(self._folder) + 1 :]}\n".encode())
        if self._count == self._failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
