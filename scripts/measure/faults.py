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

All compare what the job ends with, to the bit, with an uninterrupted run's, and end with 1 where anything differs.
"""

import argparse
import collections
import contextlib
import csv
import errno
import hashlib
import io
import json
import math
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import safetensors.numpy

from job.peers import free_hosts
from scripts.measure.eager import EagerTrain

SMALL = ["train", "--preset", "quickstart", "--device", "cpu", "--batch-size", "128", "--units", "24", "--log-format", "json"]
FAILED = [*SMALL, "--epochs", "2", "--units", "4", "--batch-size", "1024", "--architecture", "rnn"]
_TIMES = {"seconds", "tokens_per_second"}
_SECONDS = 600


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
        "predictions": {path.name: path.read_bytes() for path in output.glob("*predictions.csv")},
        # Event files have the time and the process in their names.
        "files": sorted(re.sub(r"tfevents\..*", "tfevents", str(path.relative_to(output))) for path in output.rglob("*")),
    }
    for model in sorted([*output.glob("*.safetensors"), *output.glob("*/model.safetensors")]):
        result[str(model.relative_to(output))] = model.read_bytes()
    for model in sorted(output.glob("*/model.keras")):
        result[f"{model.parent.name} weights"] = weights(model)
        with (model.parent / "history.csv").open() as stream:
            result[f"{model.parent.name} history"] = without_times(list(csv.DictReader(stream)))
    return result


def is_same(output: Path, expected: dict[str, Any]) -> bool:
    """Whether a finished run ends as is expected; says what differs."""
    found = outcome(output)
    different = [key for key in expected if found.get(key) != expected[key]]
    if different:
        print(f"different from the uninterrupted run: {different} in {output}", file=sys.stderr)
    return not different


def damaged_bytes(output: Path) -> int:
    """Bytes in files that bear a final name and are not whole."""
    lost = 0
    for path in output.rglob("*") if output.exists() else []:
        if not path.is_file() or any(part.startswith(".") for part in path.relative_to(output).parts):
            continue
        content = path.read_bytes()
        whole = True
        if path.suffix == ".safetensors" and path.stem == "model":
            try:
                safetensors.numpy.load(content)
            except safetensors.SafetensorError:
                whole = False
        elif path.suffix == ".safetensors":
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


def fork(arguments: list[str], said: Path, before: Callable[[], object]) -> int:
    """Starts the command in a fork of this process, which has imported TensorFlow but not used it.

    Args:
        said: The file that takes what it prints.
        before: Called in the fork, before the command.

    Returns:
        The process id.
    """
    process = os.fork()
    if process == 0:
        code = 1
        try:
            stream = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(stream, 1)
            os.dup2(stream, 2)
            from job.__main__ import main
            from job.training import pace

            # A run as short as this one would take hardly a snapshot, and a kill is to find some.
            pace.CHECKPOINT_SHARE = math.inf
            sys.argv = ["sentiment-job", *arguments]
            before()
            code = main()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    return process


def wait(process: int, seconds: float) -> int | None:
    """The exit code (minus its number where a signal ended the process); None where it still runs after so many seconds."""
    end = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= end:
            return None
        time.sleep(0.002)


def end(process: int) -> int:
    """The exit code of a process that is let run to its end."""
    code = wait(process, _SECONDS)
    if code is None:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        raise SystemExit(f"error: a run did not end within {_SECONDS} s")
    return code


def succeed(process: int, said: Path) -> None:
    """Waits for a process that nothing disturbs."""
    if end(process):
        raise SystemExit(said.read_text())


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


def start_side_by_side(folder: Path, output: Path, workers: int, before: Callable[[], object] = lambda: None) -> int:
    """Starts a run of both networks with two seeds."""

    def prepare() -> None:
        from job.training import team, trainer

        vars(trainer)["Train"] = EagerTrain
        team.PATIENCE_SECONDS = 10.0
        before()

    arguments = [*SMALL, "--epochs", "3", "--seeds", "2", "--workers", str(workers)]
    return fork([*arguments, "--output", str(output), "--cache", str(folder / "cache")], output.with_suffix(".said"), prepare)


def descendants(process: int) -> list[int]:
    """All processes below one, nearest first."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The command stands in brackets and may hold anything; then come the state and the parent.
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(path.parent.name))
    found, places = [process], 0
    while places < len(found):
        found += children.get(found[places], [])
        places += 1
    return found[1:]


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


def left_over(processes: list[int], seconds: float) -> list[int]:
    """Those that still run after so many seconds."""
    end = time.monotonic() + seconds
    while True:
        alive = []
        for each in processes:
            with contextlib.suppress(OSError):
                if Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                    alive.append(each)
        if not alive or time.monotonic() > end:
            return alive
        time.sleep(0.05)


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


def expected_side_by_side(folder: Path) -> dict[str, Any]:
    """What an undisturbed run of one process ends with; the first call makes it."""
    reference = folder / "reference"
    if not reference.exists():
        began = time.monotonic()
        succeed(start_side_by_side(folder, reference, 1), reference.with_suffix(".said"))
        (folder / "seconds").write_text(str(time.monotonic() - began))
    return outcome(reference)


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


def start_group(folder: Path, output: Path, count: int, epochs: int) -> list[int]:
    """Starts the processes of a group."""
    hosts = ",".join(free_hosts(count))
    arguments = [*SMALL, "--epochs", str(epochs), "--output", str(output), "--cache", str(folder / "cache"), "--hosts", hosts]
    return [
        fork([*arguments, "--worker", f"{index}/{count}"], output.with_suffix(f".said-{index}"), lambda: None)
        for index in range(count)
    ]


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


def main() -> int:
    """Reads the arguments and runs what they name; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["kills", "workers", "group", "writes"])
    parser.add_argument("--kills", type=int, default=30, help="of each signal")
    parser.add_argument("--epochs", type=int, default=6, help="of a run that is killed")
    parser.add_argument("--processes", type=int, default=2, help="of a group")
    parser.add_argument("--every", type=int, default=1, help="let only each N-th write fail")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow  # noqa: F401 (before the forks, so that each need not)

    with tempfile.TemporaryDirectory(prefix="fault-harness-") as name:
        folder = Path(name)
        if options.kind == "writes":
            return 0 if write_series(folder, options.every) else 1
        chance = random.Random(options.seed)
        if options.kind == "group":
            signals = (signal.SIGKILL, signal.SIGTERM)
            done = [group_series(folder, each, options.kills, options.epochs, chance, options.processes) for each in signals]
            return 0 if all(done) else 1
        if options.kind == "workers":
            series = [
                ("parent", signal.SIGKILL),
                ("worker", signal.SIGKILL),
                ("all", signal.SIGKILL),
                ("parent", signal.SIGTERM),
            ]
            done = [starve_series(folder)]
            done += [worker_series(folder, target, number, options.kills, chance) for target, number in series]
            done.append(worker_series(folder, "worker", signal.SIGSTOP, max(1, options.kills // 10), chance))
            return 0 if all(done) else 1
        done = [
            kill_series(folder, number, options.kills, options.epochs, chance) for number in (signal.SIGKILL, signal.SIGTERM)
        ]
        return 0 if all(done) else 1


if __name__ == "__main__":
    raise SystemExit(main())
