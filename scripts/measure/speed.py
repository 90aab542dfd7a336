"""Measures this job's training against stock Keras and PyTorch on this machine, in one run.

    .venv/bin/python -m scripts.measure.speed --data imdb.npz --torch PYTHON

All contestants train the standard network (embedding 128, both directions of 100 units, maximum and mean over time)
without dropout on the same reviews in the same batches, with Adam and clipping, in float32. Each runs in a process of
its own, they take turns, and medians are printed. PYTHON is one that has PyTorch (a build for the CPU); without it that
comparison is left out. Needs the environment that scripts/test.sh makes.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

ROOT = Path(__file__).parents[2]
# Contestant: its module, and its mode.
CONTESTANTS = {
    "sentiment-job": ("ours", ""),
    "Keras fit, padded to 888": ("keras_fit", "padded"),
    "Keras fit, same batches": ("keras_fit", "bucketed"),
    "PyTorch, packed": ("torch_loop", "packed"),
    "PyTorch, padded (another network)": ("torch_loop", "padded"),
}
OURS = "sentiment-job"
# Words of the embedding: as many as Keras's own examples of IMDB have.
WORDS = 20_000
# Multiplications and additions of one token in both directions, forward and backward: recurrent product and input projection.
OPERATIONS = {"rnn": 2 * 6 * 100 * (100 + 128), "lstm": 2 * 6 * 400 * (100 + 128)}


def main() -> None:
    """Measures, and prints or writes what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="imdb", help="as in train (default: imdb)")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "sentiment-job")
    parser.add_argument("--torch", type=Path, help="a Python that has PyTorch")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--batches", type=int, default=24, help="steps of one pass")
    parser.add_argument("--output", type=Path, default=Path("benchmark"), help="folder for benchmark.json and benchmark.svg")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    source = arguments.output / "batches.npz"
    padding = write_batches(arguments.data, arguments.cache, arguments.batches, source)
    figures: dict[str, dict[str, list[Any]]] = {"rnn": {}, "lstm": {}}
    peaks = []
    for repetition in range(arguments.repetitions):
        peaks.append(matrix_peak())
        for architecture, measured in figures.items():
            for name, (module, mode) in CONTESTANTS.items():
                python = arguments.torch if module == "torch_loop" else Path(sys.executable)
                if python:
                    print(f"{repetition + 1}/{arguments.repetitions} {architecture} {name}", file=sys.stderr)
                    measured.setdefault(name, []).append(run(python, module, source, architecture, mode))
    source.unlink()
    result = {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "matrix_product_flops": statistics.median(peaks),
        "padding": padding,
        "architectures": {architecture: summarize(architecture, each, peaks) for architecture, each in figures.items()},
    }
    (arguments.output / "benchmark.json").write_text(json.dumps(result, indent=2) + "\n")
    plot(result, arguments.output / "benchmark.svg")
    print_table(result)


def write_batches(data: str, cache: Path, count: int, path: Path) -> float:
    """Writes `count` batches of training reviews, as training would make them; returns the share of them that is padding."""
    from job.data import batches, corpus
    from job.data.reviews import Reviews
    from job.presets import PRESETS, Architecture, PresetName
    from job.source import DataRequest, resolve_source

    values = PRESETS[PresetName.standard].networks[Architecture.lstm]
    source = resolve_source(DataRequest(cache=cache, data=data))
    loaded = corpus.load(source)
    reviews = Reviews(loaded, loaded.part("train"), WORDS, values.max_tokens)
    order = batches.training_order(reviews.lengths, values.batch_size, values.length_pool, 0, 1)
    order = [places for places in order if len(places) == values.batch_size][:count]
    used = reviews.take(np.concatenate(order))
    np.savez(
        path,
        tokens=used.flat(),
        offsets=np.cumsum([0, *used.lengths]),
        labels=used.labels,
        vocabulary_size=WORDS,
        batch_size=values.batch_size,
    )
    processed = sum(int(reviews.lengths[places].max()) * len(places) for places in order)
    return 1.0 - int(used.lengths.sum()) / processed


def run(python: Path, module: str, source: Path, architecture: str, mode: str) -> dict[str, Any]:
    """One contestant, once."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "BENCHMARK_STARTED": str(time.time())}
    command = [python, "-m", f"scripts.measure.contestants.{module}", source.resolve(), architecture, mode]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment, timeout=1800)
    if done.returncode:
        sys.exit(f"error: {module} {architecture} {mode} ended with {done.returncode}: {done.stderr[-1000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def matrix_peak() -> float:
    """Operations a second of a product of two large matrices, on a GPU if there is one, in a process of its own."""
    script = (
        "import time; from job.machine import device, runtime; device.preload_libraries(); import tensorflow as tf; runtime.prepare_tensorflow()\n"
        "size = 8192 if tf.config.list_physical_devices('GPU') else 2048; best = 0\n"
        "a = tf.ones([size, size]); tf.matmul(a, a)[0, 0].numpy()\n"
        "for _ in range(20):\n"
        "    began = time.perf_counter(); tf.matmul(a, a)[0, 0].numpy(); best = max(best, 2 * size**3 / (time.perf_counter() - began))\n"
        "print(best)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    return float(done.stdout)


def summarize(architecture: str, measured: dict[str, list[Any]], peaks: list[float]) -> dict[str, Any]:
    """Medians over the repetitions; ratios are medians of each repetition's own."""
    speeds = {name: [each["tokens_per_second"] for each in runs] for name, runs in measured.items()}
    return {
        name: {
            "tokens_per_second": statistics.median(speeds[name]),
            "spread": [min(speeds[name]), max(speeds[name])],
            # Some contestants run at one of two speeds, by the luck of a process; so their best one is told, too.
            "times_slower_at_best": statistics.median(speeds[OURS]) / max(speeds[name]),
            "times_slower_than_ours": statistics.median(a / b for a, b in zip(speeds[OURS], speeds[name], strict=True)),
            "seconds_to_first_step": statistics.median(each["seconds_to_first_step"] for each in runs),
            "peak_memory_bytes": statistics.median(each["peak_memory_bytes"] for each in runs),
            "share_of_matrix_product": statistics.median(speeds[name]) * OPERATIONS[architecture] / statistics.median(peaks),
            "kernel": runs[0]["kernel"],
        }
        for name, runs in measured.items()
    }


def processor() -> str:
    """The processor's name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def plot(result: dict[str, Any], path: Path) -> None:
    """Draws speeds as bars."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    for axes, (architecture, measured) in zip(figure.subplots(1, 2, sharey=True), result["architectures"].items(), strict=True):
        names, values = list(measured), [each["tokens_per_second"] / 1e3 for each in measured.values()]
        bars = axes.barh(names, values, color=["#2166ac" if name == OURS else "#bdbdbd" for name in names])
        axes.bar_label(bars, fmt="%.0f", padding=3)
        axes.margins(x=0.15)
        axes.invert_yaxis()
        axes.set(title=architecture.upper(), xlabel="thousand real tokens a second")
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def print_table(result: dict[str, Any]) -> None:
    """Prints the table."""
    from rich.console import Console
    from rich.table import Table

    peak = result["matrix_product_flops"] / 1e9
    title = f"{result['processor']}, {result['cores']} cores, {peak:.0f} GFLOP/s in a matrix product, {result['padding']:.1%} padding"
    table = Table(
        "network",
        "contestant",
        "real tokens/s",
        "ours is",
        "over its best",
        "first step",
        "peak memory",
        "of the peak",
        title=title,
    )
    for architecture, measured in result["architectures"].items():
        for name, each in measured.items():
            table.add_row(
                architecture,
                name,
                f"{each['tokens_per_second']:,.0f}",
                "" if name == OURS else f"{each['times_slower_than_ours']:.2f}×",
                "" if name == OURS else f"{each['times_slower_at_best']:.2f}×",
                f"{each['seconds_to_first_step']:.1f} s",
                f"{each['peak_memory_bytes'] / 2**20:,.0f} MiB",
                f"{each['share_of_matrix_product']:.0%}",
            )
    Console(width=140 if not sys.stdout.isatty() else None).print(table)


if __name__ == "__main__":
    main()
