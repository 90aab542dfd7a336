"""Kills at random moments, of runs that can end only because each goes on where the one before was."""

import collections
import os
import random
import signal
import sys
import time
from pathlib import Path

from scripts.measure.faults.runs import SMALL, damaged_bytes, end, fork, is_same, outcome, succeed, wait


def kill_series(folder: Path, number: signal.Signals, count: int, epochs: int, chance: random.Random) -> bool:
    """Kills runs at random moments until `count` kills were survived; compares every finished run."""
    reference = folder / "reference"
    if not reference.exists():
        said = folder / "fetch.said"
        succeed(fork(["data", "fetch", "--preset", "quickstart", "--cache", str(folder / "cache")], said, lambda: None), said)
        began = time.monotonic()
        succeed(start(folder, reference, epochs), reference.with_suffix(".said"))
        (folder / "seconds").write_text(str(time.monotonic() - began))
    seconds, needed, expected = float((folder / "seconds").read_text()), steps_done(reference), outcome(reference)
    codes: collections.Counter[int] = collections.Counter()
    kills = finished = repeated = lost = slowest = 0.0
    same = True
    output = folder / f"{number.name}-0"
    while True:
        process = start(folder, output, epochs)
        code = wait(process, chance.uniform(0, seconds / 2)) if kills < count else end(process)
        if code is None:
            os.kill(process, number)
            sent = time.monotonic()
            code = end(process)
            slowest = max(slowest, time.monotonic() - sent)
            kills += 1
        codes[code] += 1
        lost += damaged_bytes(output)
        if code not in (0, 128 + number, -number):
            print(output.with_suffix(".said").read_text(), file=sys.stderr)
            same = False
            break
        if code == 0 or (output / "metrics.json").exists():
            if code:
                continue  # killed after its very last file: the next call only says so
            finished += 1
            repeated += steps_done(output) - needed
            same &= is_same(output, expected)
            if kills >= count or not same:
                break
            output = folder / f"{number.name}-{finished:.0f}"
    print(
        f"{number.name}: {kills:.0f} kills within {seconds / 2:.1f} s of each start (a whole run takes {seconds:.1f} s), "
        f"{finished:.0f} runs finished, {'all' if same else 'NOT all'} the same as the uninterrupted one; exit codes "
        f"{dict(sorted(codes.items()))}; steps repeated {repeated:.0f} of {finished * needed:.0f} needed; "
        f"bytes in damaged files {lost:.0f}; slowest end {slowest:.1f} s"
    )
    return same and not lost


def start(folder: Path, output: Path, epochs: int) -> int:
    """Starts a run that will be killed; every training step leaves a byte in a file, so that repeated steps can be counted."""

    def count() -> None:
        from job import progress

        steps = os.open(output.with_suffix(".steps"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        progress.JsonDisplay.step = lambda *_: os.write(steps, b".")  # type: ignore[method-assign, assignment]

    arguments = [*SMALL, "--epochs", str(epochs), "--output", str(output), "--cache", str(folder / "cache")]
    return fork(arguments, output.with_suffix(".said"), count)


def steps_done(output: Path) -> int:
    """Training steps of all processes that wrote to this output."""
    path = output.with_suffix(".steps")
    return path.stat().st_size if path.exists() else 0
