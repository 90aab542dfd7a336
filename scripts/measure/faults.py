"""Breaks the job on purpose, on a small run, and shows what is left of it.

    .venv/bin/python -m scripts.measure.faults kills     30 SIGKILLs and 30 SIGTERMs at random moments, each before half of
                                                        a run's length, so that only a job that continues can ever finish
    .venv/bin/python -m scripts.measure.faults writes    every write of a run fails once, as on a full disk

Both compare what the job ends with, to the bit, with an uninterrupted run's, and end with 1 where anything differs.
"""

import argparse
import collections
import csv
import errno
import hashlib
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

SMALL = ["train", "--preset", "quickstart", "--device", "cpu", "--batch-size", "128", "--units", "24", "--log-format", "json"]
KILLED = [*SMALL, "--epochs", "6"]
FAILED = [*SMALL, "--epochs", "2", "--units", "4", "--batch-size", "1024", "--architecture", "rnn"]
_TIMES = {"seconds", "tokens_per_second"}

# The real command; every training step leaves a byte in a file, so that repeated steps can be counted.
_COUNTED = """
import os, sys
from job import progress
steps = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
progress.JsonReporter.step = lambda self, view, count: os.write(steps, b".")
from job.__main__ import main
raise SystemExit(main())
"""


def without_times(value: Any) -> Any:
    """JSON values without what no two runs share."""
    if isinstance(value, dict):
        return {key: without_times(each) for key, each in value.items() if key not in _TIMES}
    return [without_times(each) for each in value] if isinstance(value, list) else value


def weights(path: Path) -> dict[str, bytes]:
    """Every array of a .keras file."""
    import h5py

    arrays: dict[str, bytes] = {}
    with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        file.visititems(lambda name, each: arrays.update({name: each[()].tobytes()}) if hasattr(each, "dtype") else None)
    return arrays


def outcome(output: Path) -> dict[str, Any]:
    """What has to be the same whether or not a run was interrupted."""
    result: dict[str, Any] = {
        "metrics": without_times(json.loads((output / "metrics.json").read_text())),
        "predictions": (output / "predictions.csv").read_bytes(),
        # Event files have the time and the process in their names.
        "files": sorted(re.sub(r"tfevents\..*", "tfevents", str(path.relative_to(output))) for path in output.rglob("*")),
    }
    for model in sorted(output.glob("*/model.keras")):
        result[f"{model.parent.name} weights"] = weights(model)
        with (model.parent / "history.csv").open() as stream:
            result[f"{model.parent.name} history"] = without_times(list(csv.DictReader(stream)))
    return result


def damaged_bytes(output: Path) -> int:
    """Bytes in files that bear a final name and are not whole."""
    lost = 0
    for path in output.rglob("*") if output.exists() else []:
        if not path.is_file() or path.name.startswith("."):
            continue
        content = path.read_bytes()
        whole = True
        if path.suffix == ".safetensors":
            whole = path.stem.rpartition("-")[2] == hashlib.sha256(content).hexdigest()[:16]
        elif path.suffix == ".json":
            try:
                json.loads(content)
            except ValueError:
                whole = False
        elif path.suffix == ".keras":
            whole = zipfile.is_zipfile(path)
        lost += 0 if whole else len(content)
    return lost


def start(folder: Path, output: Path) -> "subprocess.Popen[str]":
    """Starts the job in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JOB_CACHE": str(folder / "cache"), "JOB_OUTPUT": str(output)}
    return subprocess.Popen(
        [sys.executable, "-c", _COUNTED, str(output.with_suffix(".steps")), *KILLED],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def steps_done(output: Path) -> int:
    """Training steps of all processes that wrote to this output."""
    path = output.with_suffix(".steps")
    return path.stat().st_size if path.exists() else 0


def kill_series(folder: Path, number: signal.Signals, count: int, chance: random.Random) -> bool:
    """Kills runs at random moments until `count` kills were survived; compares every finished run."""
    reference = folder / "reference"
    if not reference.exists():
        # The first one also fills the cache; only the second one's length counts.
        for output in (folder / "warm-up", reference):
            began = time.monotonic()
            process = start(folder, output)
            _, errors = process.communicate(timeout=600)
            if process.returncode:
                raise SystemExit(errors)
        (folder / "seconds").write_text(str(time.monotonic() - began))
    seconds, needed, expected = float((folder / "seconds").read_text()), steps_done(reference), outcome(reference)
    codes: collections.Counter[int] = collections.Counter()
    kills = finished = repeated = lost = slowest = 0.0
    same = True
    output = folder / f"{number.name}-0"
    while True:
        process = start(folder, output)
        if kills < count:
            try:
                process.wait(chance.uniform(0, seconds / 2))
            except subprocess.TimeoutExpired:
                process.send_signal(number)
                sent = time.monotonic()
                process.wait(60)
                slowest = max(slowest, time.monotonic() - sent)
                kills += 1
        _, errors = process.communicate(timeout=600)
        codes[process.returncode] += 1
        lost += damaged_bytes(output)
        if process.returncode not in (0, 128 + number, -number):
            print(errors, file=sys.stderr)
            same = False
            break
        if process.returncode == 0 or (output / "metrics.json").exists():
            if process.returncode:
                continue  # killed after its very last file: the next call only says so
            finished += 1
            repeated += steps_done(output) - needed
            found = outcome(output)
            different = [key for key in expected if found.get(key) != expected[key]]
            if different:
                print(f"different from the uninterrupted run: {different} in {output}", file=sys.stderr)
                same = False
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


class Faults:
    """Counts the writes below a folder, and makes one of them fail."""

    def __init__(self, folder: Path, failing: int | None, log: Path) -> None:
        self._folder, self._failing, self._log = str(folder), failing, log
        self._count = 0
        self._paths: dict[int, str] = {}
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
        failing = self._count == self._failing
        with_path = f"{operation}\t{path[len(self._folder) + 1 :]}\n"
        if self._failing is None:
            os.write(self._descriptor(), with_path.encode())
        if failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    def _descriptor(self) -> int:
        if not hasattr(self, "_file"):
            self._file = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        return self._file


def forked(output: Path, cache: Path, watched: Path, failing: int | None, log: Path) -> int:
    """Runs the command in a fork of this process, which has imported TensorFlow but not used it; returns its exit code."""
    process = os.fork()
    if process == 0:
        code = 1
        try:
            null = os.open(log.with_suffix(".stderr"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(null, 2)
            os.dup2(null, 1)
            from job import cli

            sys.argv = ["sentiment-job", *FAILED, "--output", str(output), "--cache", str(cache)]
            if failing is None or failing > 0:
                Faults(watched, failing, log)
            code = cli.run_command_line()
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def write_series(folder: Path, every: int) -> bool:
    """Lets every write (or each `every`-th) of a run fail once."""
    import tensorflow  # noqa: F401 (before the forks, so that each need not)

    cache, log = folder / "cache", folder / "writes"
    reference = folder / "reference"
    for place in ("cache", "output"):
        watched = cache if place == "cache" else reference
        shutil.rmtree(reference, ignore_errors=True)
        code = forked(reference, cache, watched, None, log.with_name(f"writes-{place}"))
        if code:
            raise SystemExit(log.with_name(f"writes-{place}.stderr").read_text())
    expected = outcome(reference)
    table: dict[tuple[str, str], collections.Counter[str]] = {}
    good = True
    for place in ("cache", "output"):
        writes = log.with_name(f"writes-{place}").read_text().splitlines()
        for number in range(1, len(writes) + 1, every):
            output = folder / "output"
            shutil.rmtree(output, ignore_errors=True)
            empty = folder / "empty-cache"
            shutil.rmtree(empty, ignore_errors=True)
            used = empty if place == "cache" else cache
            code = forked(output, used, used if place == "cache" else output, number, log)
            errors = log.with_suffix(".stderr").read_text()
            lost = damaged_bytes(output)
            again = forked(output, used, output, 0, log)
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


def main() -> int:
    """Reads the arguments and runs what they name; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["kills", "writes"])
    parser.add_argument("--kills", type=int, default=30, help="of each signal")
    parser.add_argument("--every", type=int, default=1, help="let only each N-th write fail")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fault-harness-") as name:
        folder = Path(name)
        if options.kind == "writes":
            return 0 if write_series(folder, options.every) else 1
        chance = random.Random(options.seed)
        done = [kill_series(folder, number, options.kills, chance) for number in (signal.SIGKILL, signal.SIGTERM)]
        return 0 if all(done) else 1


if __name__ == "__main__":
    raise SystemExit(main())
