"""One training by several processes of this machine: what a step takes, what it sums, and how near the result is to one process's.

    .venv/bin/python -m scripts.measure.group --processes 1,2,4 --data imdb.npz

Of both networks of the preset `standard`, fifty steps for each number of processes, the first of which the others are
compared with. The first ten steps, in which loops are compiled, are not timed.
"""

import argparse
import contextlib
import hashlib
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from job.peers import Peers, free_hosts

STEPS, _WARM = 50, 10
_ROOT = Path(__file__).parents[2]
_SECONDS = 900


class _EnoughError(Exception):
    """As many steps as were wanted."""


def steps(
    index: int, hosts: tuple[str, ...], data: str, cache: Path, settings: dict[str, Any], where: str = "cpu"
) -> dict[str, Any]:
    """Trains as one process of a group: by network the losses, a hash of the weights, some judgements, and what it took."""
    from job.config import DeviceChoice, Request, resolve
    from job.data import corpus as corpora
    from job.data import reviews
    from job.machine import runtime
    from job.network import kernel
    from job.presets import PresetName
    from job.training.group import Group
    from job.training.trial import Task, Trial

    request = Request(preset=PresetName.standard, data=data, cache=cache, device=DeviceChoice(where), hyperparameters=settings)
    configuration = resolve(request)
    corpus = corpora.load(configuration.source)
    device, group = kernel.select_device(configuration), None
    if len(hosts) > 1:
        group = Group(Peers(index, hosts))
    else:
        runtime.start_tensorflow()
    found: dict[str, Any] = {}
    for architecture, values in configuration.hyperparameters.items():
        task = Task(architecture=architecture, seed=3, values=values, name=str(architecture))
        trial = Trial(task, reviews.split(corpus, values), device, cache, group=group)
        sums, times = [0.0], [0.0]

        def on_step(position: Any, sums: list[float] = sums, times: list[float] = times) -> None:
            sums.append(position.loss_sum)
            times.append(time.perf_counter())
            if position.step == STEPS:
                raise _EnoughError

        with contextlib.suppress(_EnoughError):
            trial.loop.run(on_step, lambda epoch: None)
        judged = trial.predict(trial.parts.validation.take(slice(0, 200)))
        found[architecture] = {
            "losses": [(after - before) / values.batch_size for before, after in itertools.pairwise(sums)],
            "weights": hashlib.sha256(b"".join(each.tobytes() for each in trial.network.get_weights())).hexdigest(),
            "judged": judged.tolist(),
            "milliseconds": 1000 * (times[-1] - times[_WARM]) / (STEPS - _WARM),
            "bytes": group.bytes_a_step() if group else 0.0,
        }
    return found


def run(count: int, data: str, cache: Path, settings: dict[str, Any], where: str = "cpu") -> list[dict[str, Any]]:
    """What each process of a group of so many says.

    Raises:
        SystemExit: One fails.
    """
    command = [sys.executable, "-m", "scripts.measure.group", "--data", data, "--cache", str(cache)]
    command += ["--settings", json.dumps(settings), "--hosts", ",".join(free_hosts(count)), "--device", where]
    processes = [
        subprocess.Popen(
            [*command, "--index", str(index)], cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for index in range(count)
    ]
    said = [each.communicate(timeout=_SECONDS) for each in processes]
    for process, (_, errors) in zip(processes, said, strict=True):
        if process.returncode:
            raise SystemExit(errors[-3000:])
    return [json.loads(out.splitlines()[-1]) for out, _ in said]


def _largest(one: Sequence[float], other: Sequence[float]) -> float:
    return max(abs(left - right) for left, right in zip(one, other, strict=True))


def main() -> None:
    """Prints the table; with --index, what one process is to say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", default="1,2,4")
    parser.add_argument("--data", default="embedded")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "sentiment-job")
    parser.add_argument("--settings", default="{}", help="hyperparameters, as JSON")
    parser.add_argument(
        "--device", choices=("cpu", "gpu"), default="cpu", help="each process one of the machine's GPUs, or cores"
    )
    parser.add_argument("--hosts", help=argparse.SUPPRESS)
    parser.add_argument("--index", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    settings = json.loads(options.settings)
    if options.index is not None:
        mine = steps(options.index, tuple(options.hosts.split(",")), options.data, options.cache, settings, options.device)
        print(json.dumps(mine))
        return
    counts = map(int, options.processes.split(","))
    found = {count: run(count, options.data, options.cache, settings, options.device) for count in counts}
    first = next(iter(found.values()))[0]
    print("| network | processes | ms a step | MiB summed a step | largest difference of a step's loss |")
    print("|---|---|---|---|---|")
    for name, expected in first.items():
        for count, said in found.items():
            mine = said[0][name]
            difference = _largest(mine["losses"], expected["losses"])
            print(
                f"| {name} | {count} | {mine['milliseconds']:.0f} | {mine['bytes'] / 2**20:.2f} | {difference:.1e} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
