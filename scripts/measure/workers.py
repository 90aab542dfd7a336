"""What trainings side by side save: whole runs of the real command, from the start of the process to its end, in turns.

    .venv/bin/python -m scripts.measure.workers --preset quickstart
    .venv/bin/python -m scripts.measure.workers --preset standard --seeds 2 --data imdb.npz

Prints for each number of workers the median of the seconds, how many times faster that is than one worker (the median of the
ratios of each turn), and the largest memory of all processes together: the sum of their proportional set sizes, in which what
several share counts once.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scripts.measure.faults.runs import descendants

# Looking costs the kernel time that the run then lacks.
_POLL_SECONDS = 2.0


def memory_bytes(process: int) -> int:
    """Of a process and all below it."""
    total = 0
    for each in [process, *descendants(process)]:
        try:
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def run(arguments: list[str]) -> tuple[float, int]:
    """Seconds and bytes of one run."""
    began, peak = time.monotonic(), 0
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "job", *arguments], stdout=subprocess.DEVNULL, stderr=said, env=environment
        )
        while process.poll() is None:
            peak = max(peak, memory_bytes(process.pid))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_SECONDS)
        seconds = time.monotonic() - began
        if process.returncode:
            said.seek(0)
            raise SystemExit(said.read())
    return seconds, peak


def main() -> None:
    """Runs all in turns and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="quickstart")
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--data")
    parser.add_argument("--workers", default="1,auto", help="numbers or auto, the first of which the others are compared with")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "sentiment-job")
    options = parser.parse_args()
    shared = ["train", "--preset", options.preset, "--seeds", options.seeds, "--cache", str(options.cache), "--device", "cpu"]
    shared += ["--data", options.data] if options.data else []
    fetch = ["data", "fetch", "--preset", options.preset, "--cache", str(options.cache)]
    run([*fetch, *(["--data", options.data] if options.data else [])])
    found: dict[str, list[tuple[float, int]]] = {name: [] for name in options.workers.split(",")}
    for _ in range(options.repeats):
        for name, runs in found.items():
            with tempfile.TemporaryDirectory(prefix="workers-") as output:
                runs.append(run([*shared, "--workers", name, "--output", output]))
                print(f"--workers {name}: {runs[-1][0]:.1f} s", file=sys.stderr, flush=True)
    first = next(iter(found.values()))
    print(f"| --workers | median s | times faster than --workers {next(iter(found))} | peak memory, all processes |")
    print("|---|---|---|---|")
    for name, runs in found.items():
        ratio = statistics.median(one[0] / each[0] for one, each in zip(first, runs, strict=True))
        seconds = statistics.median(each[0] for each in runs)
        print(f"| {name} | {seconds:.1f} | {ratio:.2f} | {max(each[1] for each in runs) / 2**20:,.0f} MiB |")


if __name__ == "__main__":
    main()
