"""Whether the processes of a group can compute together: each brings a vector, and all get the sum.

Tried in a process of its own, since a network or a GPU that does not work can end it or hang:
`python -m job.training.collective INDEX HOST:PORT,…` prints a `Collective` as JSON.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.errors import JobError, TemporaryError
from job.machine import device as devices
from job.machine import provenance, runtime
from job.peers import Peers
from job.records.base import Record
from job.training.crew import WAIT_SECONDS, Chief, Follower

# Of the vector, 4 MiB: some steps' gradients.
_NUMBERS = 1 << 20
_TIMES = 5
# More is no rounding, of sums of so few numbers in float32.
_TOLERANCE = 1e-4
# For TensorFlow to start and the sums to be found, once all are there.
_SECONDS = 180.0


class Collective(Record):
    """What came of summing over all processes of a group."""

    processes: int
    works: bool
    error: str | None = None
    """Why it does not work."""
    exit_code: int | None = None
    """What `check` then ends with."""
    largest_difference: float | None = None
    """From what this process alone finds the sum to be."""
    mib_per_second: float | None = None
    """Of the vector, while it is summed; the median of some times."""


def vector(index: int) -> NDArray[np.float32]:
    """What a process brings: <float32>[2^20]."""
    return np.random.default_rng(index).standard_normal(_NUMBERS, np.float32)


def judge(count: int, found: NDArray[np.float32], seconds: list[float]) -> Collective:
    """Compares a sum over so many processes with what it must be, in float64."""
    expected = np.sum([vector(index) for index in range(count)], axis=0, dtype=np.float64)
    difference = float(np.max(np.abs(found - expected)))
    speed = found.nbytes / 2**20 / statistics.median(seconds)
    # A difference that is no number is none that is small.
    if not difference < _TOLERANCE:
        text = f"the sum over {count} processes is wrong by {difference:.3g}; at most {_TOLERANCE} is rounding"
        return Collective(processes=count, works=False, error=text, exit_code=69)
    return Collective(processes=count, works=True, largest_difference=difference, mib_per_second=round(speed, 1))


def start(peers: Peers) -> "subprocess.Popen[str]":
    """Starts this process's part in a process of its own."""
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return subprocess.Popen(
        [sys.executable, "-m", "job.training.collective", str(peers.index), ",".join(peers.hosts)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2")},
    )


def finish(peers: Peers, process: "subprocess.Popen[str]") -> Collective:
    """What came of what was started. Ends it, if it does not end by itself."""

    def failed(text: str) -> Collective:
        return Collective(processes=len(peers.hosts), works=False, error=text, exit_code=TemporaryError.exit_code)

    try:
        out, errors = process.communicate(timeout=WAIT_SECONDS + _SECONDS)
    except subprocess.TimeoutExpired:
        return failed(f"the sum was not there after {_SECONDS:.0f} s; look whether all processes reach each other's ports")
    finally:
        process.kill()
        # Closes its pipes, too.
        process.communicate()
    try:
        return Collective.parse(out.splitlines()[-1].encode())
    except (IndexError, ValueError):
        last = " ".join((errors.strip().splitlines() or ["no message"])[-1].split())[:300]
        return failed(f"{peers.name(peers.index)} ended with {process.returncode}: {last}")


def _sum(peers: Peers) -> Collective:
    facts = devices.collect()
    on_gpu = facts.present
    if on_gpu:
        devices.require_nccl()
    said = {"versions": provenance.versions(), "hosts": list(peers.hosts), "device": "gpu" if on_gpu else "cpu"}
    # See job/commands/follow.py.
    runtime.import_tensorflow()
    crew: Chief | Follower
    if peers.is_chief:
        crew = Chief(peers, said, lambda: None)
        crew.gather({})
    else:
        crew = Follower(peers, said)
        crew.next()
        crew.say("ready")
        crew.next()
    with crew.explained():
        try:
            group = crew.start(lambda: _group(peers)) if isinstance(crew, Chief) else _group(peers)
            found, seconds = _summed(group, vector(peers.index))
        except BaseException as error:
            crew.end(error)
            raise
    judged = judge(len(peers.hosts), found, seconds)
    crew.is_ending = True
    return judged


def _group(peers: Peers) -> Any:
    # Not before all are there.
    from job.training.group import Group

    return Group(peers)


def _summed(group: Any, mine: NDArray[np.float32]) -> tuple[NDArray[np.float32], list[float]]:
    found, seconds = group.total(mine), []
    for _ in range(_TIMES):
        began = time.perf_counter()
        found = group.total(mine)
        seconds.append(time.perf_counter() - began)
    return found, seconds


def main(arguments: list[str]) -> None:
    """Takes part, and prints what came of it."""
    peers = Peers(int(arguments[0]), tuple(arguments[1].split(",")))
    values: dict[str, Any]
    try:
        values = _sum(peers).to_values()
    except JobError as error:
        failed = Collective(processes=len(peers.hosts), works=False, error=str(error), exit_code=error.exit_code)
        values = failed.to_values()
    print(json.dumps(values), flush=True)
    # What TensorFlow still waits for need not be waited for.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
