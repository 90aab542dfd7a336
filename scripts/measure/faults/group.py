"""One training by several processes, one of which ends at a random moment."""

import collections
import os
import random
import re
import shutil
import signal
import sys
import time
from pathlib import Path

from job.peers import free_hosts
from scripts.measure.faults.runs import SMALL, damaged_bytes, end, fork, is_same, outcome, succeed, wait


def group_series(folder: Path, number: signal.Signals, count: int, epochs: int, chance: random.Random, size: int) -> bool:
    """Ends one process of a group of `size` at random moments until that was survived `count` times; compares every finished run."""
    reference = folder / "reference"
    said = [reference.with_suffix(f".said-{index}") for index in range(size)]
    if not reference.exists():
        began = time.monotonic()
        for process, its in zip(start_group(folder, reference, size, epochs), said, strict=True):
            succeed(process, its)
        (folder / "seconds").write_text(str(time.monotonic() - began))
    seconds, expected = float((folder / "seconds").read_text()), outcome(reference)
    codes: collections.Counter[int] = collections.Counter()
    sent = finished = lost = 0
    slowest, good = 0.0, True
    output = folder / f"{number.name}-group"
    while good:
        output.with_suffix(".said-0").write_text("")
        group = start_group(folder, output, size, epochs)
        chosen = chance.randrange(size)
        # Before they are all there, those who are wait for the others.
        while sent < count and not re.search('"start"|Results:', output.with_suffix(".said-0").read_text()):
            time.sleep(0.02)
        code = wait(group[chosen], chance.uniform(0, seconds / 2)) if sent < count else None
        if code is None and sent < count:
            os.kill(group[chosen], number)
            sent += 1
        at = time.monotonic()
        ended = [end(each) if code is None or place != chosen else code for place, each in enumerate(group)]
        if any(ended):
            slowest = max(slowest, time.monotonic() - at)
        codes.update(ended)
        lost += damaged_bytes(output)
        if set(ended) - {0, 75, 128 + number, -number}:
            good = False
        if not any(ended):
            finished += 1
            good &= is_same(output, expected)
            if sent >= count:
                break
            shutil.rmtree(output)
        if not good:
            for index in range(size):
                print(output.with_suffix(f".said-{index}").read_text(), file=sys.stderr)
    print(
        f"{number.name} of one of {size} processes: {sent} sent within {seconds / 2:.1f} s of each start (a whole run takes "
        f"{seconds:.1f} s), {finished} runs finished, {'all' if good else 'NOT all'} the same as the uninterrupted one; exit codes "
        f"{dict(sorted(codes.items()))}; bytes in damaged files {lost}; slowest end of the last one {slowest:.1f} s",
        flush=True,
    )
    return good and not lost


def start_group(folder: Path, output: Path, count: int, epochs: int) -> list[int]:
    """Starts the processes of a group."""
    hosts = ",".join(free_hosts(count))
    arguments = [*SMALL, "--epochs", str(epochs), "--output", str(output), "--cache", str(folder / "cache"), "--hosts", hosts]
    return [
        fork([*arguments, "--worker", f"{index}/{count}"], output.with_suffix(f".said-{index}"), lambda: None)
        for index in range(count)
    ]
