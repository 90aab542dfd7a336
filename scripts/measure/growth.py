"""How cost grows with the data: the same training on 1, 4 and 16 times the reviews.

    .venv/bin/python -m scripts.measure.growth --data imdb.npz --output growth

The reviews are those of --data, each copy with a word of its own at its beginning, so that no two are the same. Each size
is encoded and then trained on for one epoch by the real command; printed are seconds of encoding, real tokens trained a
second, and the largest resident set.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from job import config
from job.data import corpus

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Measures, and prints a line of JSON a size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="imdb", help="as in train (default: imdb)")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "sentiment-job")
    parser.add_argument("--output", type=Path, default=Path("growth"))
    parser.add_argument("--times", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--architecture", default="rnn")
    parser.add_argument("--every", type=int, default=4, help="take each N-th review of the data")
    arguments = parser.parse_args()
    reviews = corpus.load(config.resolve_source(config.DataRequest(cache=arguments.cache, data=arguments.data)))
    indices = list(range(0, len(reviews.labels), arguments.every))
    arguments.output.mkdir(parents=True, exist_ok=True)
    for times in arguments.times:
        print(
            json.dumps({"times": times} | measure(reviews, indices, times, arguments.output.resolve(), arguments.architecture)),
            flush=True,
        )


def measure(reviews: corpus.Corpus, indices: list[int], times: int, folder: Path, architecture: str) -> dict[str, Any]:
    """One size, from a file of texts to a finished run."""
    source = folder / f"{times}.jsonl"
    with source.open("w") as stream:
        for copy in range(times):
            for index in indices:
                text = f"copy{copy} {reviews.text(index)}"
                stream.write(json.dumps({"text": text, "label": int(reviews.labels[index])}) + "\n")
    places = ("--data", str(source), "--cache", str(folder / "cache"))
    encoded = timed("data", "fetch", *places)
    done = timed(
        "train",
        *places,
        "--output",
        str(folder / str(times)),
        "--architecture",
        architecture,
        "--epochs",
        "1",
        "--device",
        "cpu",
    )
    source.unlink()
    run = json.loads((folder / str(times) / "metrics.json").read_text())["architectures"][architecture]["runs"][0]
    peak = re.search(r"peak memory ([\d,]+) MiB", done["errors"])
    assert peak is not None
    return {
        "reviews": len(indices) * times,
        "encoding_seconds": encoded["seconds"],
        "encoding_peak_mib": encoded["peak_mib"],
        "tokens_per_second": run["tokens_per_second"],
        "training_seconds": run["seconds"],
        "peak_mib": int(peak.group(1).replace(",", "")),
    }


def timed(*arguments: str) -> dict[str, Any]:
    """Runs the real command; seconds, the largest resident set, and what it printed on standard error."""
    script = (
        "import resource, subprocess, sys, time, json; began = time.perf_counter()\n"
        "done = subprocess.run(sys.argv[1:], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)\n"
        "peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024\n"
        "print(json.dumps({'code': done.returncode, 'seconds': time.perf_counter() - began, 'peak_mib': peak, 'errors': done.stderr}))"
    )
    command = [sys.executable, "-c", script, sys.executable, "-m", "job", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    if found["code"]:
        sys.exit(f"error: {' '.join(arguments[:2])} ended with {found['code']}: {found['errors'][-1000:]}")
    return found


if __name__ == "__main__":
    main()
