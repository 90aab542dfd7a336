"""Trains variants of a preset and scores them on whole groups held out of the training part; the test part is never touched.

    .venv/bin/python -m scripts.measure.movies aclImdb_v1.tar.gz movies.parquet
    .venv/bin/python -m scripts.measure.search --data movies.parquet --architecture lstm base learning_rate=1e-3 "units=128 epochs=3"
    .venv/bin/python -m scripts.measure.search --show

Each argument is a variant: settings of the preset `standard` replaced, or `base` for none. The training part is cut into five
folds by its groups; each of the `--folds` named is held out in turn, and the variant is trained on the other four, with each
seed. Each training adds a line of JSON to `--record`, which is how what was tried is kept, and its logits to a file beside it;
what is in the record already is not tried again. `--show` prints the record as a table: the mean over folds and seeds of the
accuracy after the last epoch, its standard error by the held-out groups, and the same averaged with the linear model.
"""

import argparse
import hashlib
import json
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.analysis import scores
from job.config import DeviceChoice
from job.data import reviews
from job.data.corpus import Corpus, load
from job.data.parts import TRAIN, VALIDATION
from job.machine import device
from job.presets import PRESETS, Architecture, Hyperparameters, PresetName
from job.records.history import Epoch
from job.records.metrics import DeviceRecord
from job.source import DataRequest, resolve_source
from job.training.trial import Task, Trial

_FOLDS = 5


def main() -> None:
    """Tries each variant on each fold with each seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="*")
    parser.add_argument("--architecture", type=Architecture, default=Architecture.lstm)
    parser.add_argument("--data", help="a table with a column that names the groups")
    parser.add_argument("--unlabelled", help="as in train")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "sentiment-job")
    parser.add_argument("--folds", default="0", help=f"which to hold out, of 0 to {_FOLDS - 1}: 0,1,2 (default: 0)")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--record", type=Path, default=Path("search.jsonl"))
    parser.add_argument("--show", action="store_true")
    arguments = parser.parse_args()
    if arguments.show:
        show(read(arguments.record), arguments.record)
        return
    request = DataRequest(cache=arguments.cache, data=arguments.data, group_column="group", split_column="split")
    corpus = load(resolve_source(request))
    facts = device.select(DeviceChoice.auto, False)
    tried = {key(line) for line in read(arguments.record)}
    for variant in arguments.variants:
        settings = parse(variant)
        values = replace(PRESETS[PresetName.standard].networks[arguments.architecture], **settings)
        for fold in map(int, arguments.folds.split(",")):
            held_out = hold_out(corpus, fold)
            for seed in range(arguments.seeds):
                line = {"architecture": arguments.architecture, "settings": settings, "fold": fold, "seed": seed}
                if key(line) in tried:
                    continue
                task = Task(architecture=arguments.architecture, seed=seed, values=values, name=str(arguments.architecture))
                found, arrays = attempt(held_out, task, facts, arguments.cache)
                np.savez(logits_file(arguments.record, line), **arrays)
                with arguments.record.open("a") as stream:
                    stream.write(json.dumps(line | found) + "\n")


def key(line: dict[str, Any]) -> str:
    """What tells a training from others."""
    return json.dumps([line[name] for name in ("architecture", "settings", "fold", "seed")], sort_keys=True)


def logits_file(record: Path, line: dict[str, Any]) -> Path:
    """Where a training's logits are kept."""
    folder = record.with_suffix("")
    folder.mkdir(exist_ok=True)
    return folder / f"{hashlib.sha256(key(line).encode()).hexdigest()[:16]}.npz"


def read(record: Path) -> list[dict[str, Any]]:
    """The record's lines."""
    return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []


def hold_out(corpus: Corpus, fold: int) -> Corpus:
    """The corpus with a fold of its training part's groups as validation part."""
    assert corpus.groups is not None, "the table needs a column 'group'"
    mine = (corpus.groups % np.uint64(_FOLDS) == fold) & (corpus.parts == TRAIN)
    return replace(corpus, parts=np.where(mine, np.int8(VALIDATION), corpus.parts), own_validation_part=True, origin=None)


def parse(variant: str) -> dict[str, Any]:
    """The settings of a variant: `parse("units=128 pooling=max_mean")` is `{"units": 128, "pooling": "max_mean"}`."""
    result: dict[str, Any] = {}
    for word in [] if variant == "base" else variant.split():
        name, _, text = word.partition("=")
        kind = Hyperparameters.__annotations__[name]
        result[name] = text == "True" if kind is bool else kind(text)
    return result


def attempt(corpus: Corpus, task: Task, device: DeviceRecord, cache: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """One training, and how it did on the held-out reviews after each epoch; and the logits, labels and groups of those."""
    trial = Trial(task, reviews.split(corpus, task.values), device, cache)
    began = time.monotonic()

    def say(epoch: Epoch) -> None:
        print(
            f"{task.name} epoch {epoch.epoch} loss {epoch.loss:.4f} accuracy {epoch.accuracy:.4f} held out {epoch.validation_loss:.4f} {epoch.validation_accuracy:.4f} {epoch.seconds:.0f} s",
            flush=True,
        )

    trial.loop.run(lambda position: None, say)
    seconds, held_out = time.monotonic() - began, trial.parts.validation
    logits = trial.predict(held_out)
    both = ((logits + held_out.linear) / 2).astype(np.float32)
    history = trial.loop.position.history
    found: dict[str, Any] = {
        "accuracy": float(scores.is_right(held_out.labels, scores.probabilities(logits)).mean()),
        "loss": scores.losses(held_out.labels, logits)[0],
        "with_linear": float(scores.is_right(held_out.labels, scores.probabilities(both)).mean()),
        "linear": float(scores.is_right(held_out.labels, scores.probabilities(held_out.linear)).mean()),
        "epochs": [[epoch.loss, epoch.validation_loss, epoch.validation_accuracy] for epoch in history],
        "seconds": seconds,
    }
    print({name: value for name, value in found.items() if name != "epochs"}, flush=True)
    assert corpus.groups is not None
    arrays: dict[str, Any] = {
        "logits": logits,
        "linear": held_out.linear,
        "labels": held_out.labels,
        "groups": corpus.groups[held_out.indices],
    }
    trial.loop.release()
    return found, arrays


def show(lines: list[dict[str, Any]], record: Path) -> None:
    """The record as a table in Markdown."""
    print("| network | settings | trainings | accuracy | standard error | loss | with the linear model | s |")
    print("|---|---|---|---|---|---|---|---|")
    variants: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        variants[json.dumps([line["architecture"], line["settings"]])].append(line)
    for name, mine in variants.items():
        architecture, settings = json.loads(name)
        said = ", ".join(f"{each} {value}" for each, value in settings.items()) or "as in the preset"
        means = {each: np.mean([line[each] for line in mine]) for each in ("accuracy", "loss", "with_linear", "seconds")}
        error = standard_error([dict(np.load(logits_file(record, line))) for line in mine])
        print(
            f"| {Architecture(architecture).title} | {said} | {len(mine)} | {means['accuracy']:.4f} | {error:.4f} | {means['loss']:.4f} | {means['with_linear']:.4f} | {means['seconds']:.0f} |"
        )


def standard_error(trainings: list[dict[str, NDArray[Any]]]) -> float:
    """Of the mean accuracy, by the groups, whose reviews are alike: that of a ratio of sums over groups."""
    right = np.concatenate([(each["logits"] > 0) == (each["labels"] == 1) for each in trainings])
    _, places = np.unique(np.concatenate([each["groups"] for each in trainings]), return_inverse=True)
    sizes, hits = np.bincount(places), np.bincount(places, right)
    rest = hits - sizes * right.mean()
    return float(np.sqrt((rest**2).sum()) / sizes.sum())


if __name__ == "__main__":
    main()
