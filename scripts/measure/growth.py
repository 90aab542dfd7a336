"""How cost grows with the data: the same training on 1, 4 and 16 times the reviews.

    .venv/bin/python -m scripts.measure.growth --data imdb.npz --output growth

The reviews are those of --data, each copy with a word of its own at its beginning, so that no two are the same. Each size
is encoded and then trained on for one epoch by the real command; printed are seconds of encoding, real tokens trained a
second, and the largest resident set. With --unlabelled it is the texts without labels that grow, beside as many labelled
ones as there are at first: teacher, guesses and students.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from job.data import corpus
from job.source import DataRequest, resolve_source

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
    parser.add_argument("--unlabelled", action="store_true", help="let the texts without labels grow")
    arguments = parser.parse_args()
    reviews = corpus.load(resolve_source(DataRequest(cache=arguments.cache, data=arguments.data)))
    indices = list(range(0, len(reviews.labels), arguments.every))
    arguments.output.mkdir(parents=True, exist_ok=True)
    for times in arguments.times:
        found = measure(
            reviews, indices, times, arguments.output.resolve(), arguments.architecture, unlabelled=arguments.unlabelled
        )
        print(json.dumps({"times": times} | found), flush=True)


def measure(
    reviews: corpus.Corpus, indices: list[int], times: int, folder: Path, architecture: str, unlabelled: bool
) -> dict[str, Any]:
    """One size, from a file of texts to a finished run."""
    source, others = folder / f"{times}.jsonl", folder / f"{times}-unlabelled.jsonl"
    write(source, reviews, indices, range(1 if unlabelled else times))
    places = ["--data", str(source), "--cache", str(folder / "cache")]
    if unlabelled:
        write(others, reviews, indices, range(1, times + 1))
        places += ["--unlabelled", str(others)]
    encoded = timed("data", "fetch", *places)
    preset = "semi" if unlabelled else "standard"
    output = folder / f"{preset}-{times}"
    settings = ("--preset", preset, "--architecture", architecture, "--epochs", "1", "--device", "cpu")
    done = timed("train", *places, "--output", str(output), *settings)
    source.unlink()
    others.unlink(missing_ok=True)
    run = json.loads((output / "metrics.json").read_text())["architectures"][architecture]["runs"][0]
    peak = re.search(r"peak memory ([\d,]+) MiB", done["errors"])
    assert peak is not None
    return {
        "reviews": len(indices) * times,
        "encoding_seconds": encoded["seconds"],
        "encoding_peak_mib": encoded["peak_mib"],
        "tokens_per_second": run["tokens_per_second"],
        "training_seconds": run["seconds"],
        "seconds": done["seconds"],
        "peak_mib": int(peak.group(1).replace(",", "")),
    }


def write(path: Path, reviews: corpus.Corpus, indices: list[int], copies: range) -> None:
    """The reviews as a table, so many times, each copy with a word of its own."""
    with path.open("w") as stream:
        for copy in copies:
            for index in indices:
                text = f"copy{copy} {reviews.text(index)}"
                stream.write(json.dumps({"text": text, "label": int(reviews.labels[index])}) + "\n")


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
