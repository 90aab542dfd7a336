"""What all series share: a run in a fork of this process, how it ended, and what it left."""

import contextlib
import csv
import hashlib
import io
import json
import math
import os
import re
import signal
import sys
import time
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.numpy

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
        # Event files have the time and the process in their names; a folder that holds nothing is none of a run's files.
        "files": sorted(
            re.sub(r"tfevents\..*", "tfevents", str(path.relative_to(output))) for path in output.rglob("*") if path.is_file()
        ),
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
            # Not those of this process, which hold what it has still to say and remember where.
            sys.stdout, sys.stderr = (open(number, "w", closefd=False, buffering=1) for number in (1, 2))  # noqa: SIM115 (for good)
            from job.__main__ import main
            from job.training import pace

            # A run as short as this one would take hardly a snapshot, and a kill is to find some.
            pace.CHECKPOINT_SHARE = math.inf
            sys.argv = ["sentiment-job", *arguments]
            before()
            # As Python makes them at its start, for what they lead to now.
            sys.stdout = sys.__stdout__ = _stream(1)
            sys.stderr = sys.__stderr__ = _stream(2)
            code = main()
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError, AttributeError):
                sys.stdout.flush()
            os._exit(code)
    return process


def _stream(descriptor: int) -> Any:
    try:
        return open(descriptor, "w", closefd=False)
    except OSError:
        return None


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
