"""Trains variants of a preset and scores them on reviews held out of the training part; the test part is never touched.

    .venv/bin/python -m scripts.measure.search --data imdb.npz --architecture lstm base learning_rate=1e-3 "units=128 batch_size=32"

Each argument is a variant: settings of the preset `standard` replaced, or `base` for none. A fifth of the training
reviews is held out, the same for all; each variant and seed adds a line of JSON to `--record`, which is how what was
tried is kept. Variants that are in the record already are not tried again.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from job.config import DeviceChoice
from job.data import reviews
from job.data.corpus import Corpus, load
from job.machine import device
from job.presets import PRESETS, Architecture, Hyperparameters, PresetName
from job.records.history import Epoch
from job.records.metrics import DeviceRecord
from job.source import DataRequest, resolve_source
from job.training.trial import Task, Trial


def main() -> None:
    """Tries each variant with each seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="+")
    parser.add_argument("--architecture", type=Architecture, required=True)
    parser.add_argument("--data", default="imdb", help="as in train (default: imdb)")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "sentiment-job")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--record", type=Path, default=Path("search.jsonl"))
    arguments = parser.parse_args()
    corpus = load(resolve_source(DataRequest(cache=arguments.cache, data=arguments.data)))
    facts = device.select(DeviceChoice.auto, False)
    tried = set()
    if arguments.record.exists():
        lines = [json.loads(line) for line in arguments.record.read_text().splitlines()]
        tried = {(line["architecture"], json.dumps(line["settings"], sort_keys=True), line["seed"]) for line in lines}
    for variant in arguments.variants:
        settings = parse(variant)
        for seed in range(arguments.seeds):
            if (arguments.architecture, json.dumps(settings, sort_keys=True), seed) in tried:
                continue
            values = replace(PRESETS[PresetName.standard].networks[arguments.architecture], validation_share=0.2, **settings)
            task = Task(architecture=arguments.architecture, seed=seed, values=values, name=str(arguments.architecture))
            found = attempt(corpus, task, facts)
            line = {"architecture": arguments.architecture, "settings": settings, "seed": seed} | found
            with arguments.record.open("a") as stream:
                stream.write(json.dumps(line) + "\n")


def parse(variant: str) -> dict[str, Any]:
    """The settings of a variant: `parse("units=128 pooling=max_mean")` is `{"units": 128, "pooling": "max_mean"}`."""
    result: dict[str, Any] = {}
    for word in [] if variant == "base" else variant.split():
        name, _, text = word.partition("=")
        kind = Hyperparameters.__annotations__[name]
        result[name] = text == "True" if kind is bool else kind(text)
    return result


def attempt(corpus: Corpus, task: Task, device: DeviceRecord) -> dict[str, Any]:
    """One training, and how it did on the held-out reviews after each epoch."""
    trial = Trial(task, reviews.split(corpus, task.values), device)
    began = time.monotonic()

    def show(epoch: Epoch) -> None:
        print(
            f"{task.name} epoch {epoch.epoch} loss {epoch.loss:.4f} accuracy {epoch.accuracy:.4f} held out {epoch.validation_loss:.4f} {epoch.validation_accuracy:.4f} {epoch.seconds:.0f} s",
            flush=True,
        )

    trial.loop.run(lambda position: None, show)
    history = trial.loop.position.history
    best = min(history, key=lambda epoch: epoch.validation_loss or 0.0)
    return {
        "loss": best.validation_loss,
        "accuracy": best.validation_accuracy,
        "epoch": best.epoch,
        "epochs": [[epoch.loss, epoch.validation_loss, epoch.validation_accuracy] for epoch in history],
        "seconds": time.monotonic() - began,
    }


if __name__ == "__main__":
    main()
