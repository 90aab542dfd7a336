"""Joins the shards of a job into the run that they would have been without sharding."""

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from job.config import fingerprint, shard_folder
from job.errors import ConfigurationError, MissingInputError, TemporaryError
from job.output import metrics as compiled
from job.output.finished import validate
from job.output.folder import TRAINING_HASHES, VOCABULARY, WORD_INDEX, Output, Saver
from job.output.metrics import Results, best_seed, compile_metrics, predictions, require_finished
from job.presets import Architecture
from job.progress import Reporter
from job.report.examples import EXAMPLES, choose
from job.report.page import make

_POLL_SECONDS = 1.0


def merge(places: list[Path], folder: Path, wait: float, reporter: Reporter) -> dict[str, Any]:
    """Joins shards, in whatever order, into a run in `folder`; returns the content of its metrics.json.

    Args:
        places: The shards' folders, or folders that hold shards under shards/.
        wait: Seconds to wait for shards that are missing or unfinished.

    Raises:
        MissingInputError: Shards are missing, and there was no waiting for them.
        TemporaryError: They are still missing after the waiting.
        ConfigurationError: They do not belong together, or `folder` holds another run.
        DataError: A shard's file is missing or was changed.
        DivergedError: Every run of an architecture diverged.
        OutputError, InputOutputError: `folder` cannot be written.
    """
    shards = _complete(places, wait, reporter)
    first = shards[0].run
    output = Output(folder)
    output.prepare()
    with output.locked():
        output.sweep()
        results: Results = {Architecture(name): {} for name in first["identity"]["hyperparameters"]}
        there = compiled.finished(output, first["identity"])
        for shard in shards:
            for name, runs in shard.results.items():
                results[name] |= runs
        if there is not None and all(set(runs) <= set(there[0].get(name, {})) for name, runs in results.items()):
            reporter.message(f"{folder} already holds this run, finished; nothing to do")
            metrics = output.read_json("metrics.json")
            assert metrics is not None
            return metrics
        require_finished(results)
        devices = {str(shard.metrics["device"]) for shard in shards}
        if len(devices) > 1:
            reporter.message(
                f"warning: the shards ran on {len(devices)} kinds of device, so the joined run is not what one of them would have made, to the bit"
            )
        return _write(output, shards, results)


class _Shard:
    """A finished shard."""

    def __init__(self, folder: Path) -> None:
        validate(folder)
        self.output = Output(folder)
        run, metrics = self.output.read_json("run.json"), self.output.read_json("metrics.json")
        assert run is not None
        assert metrics is not None
        if not isinstance(run.get("shard"), list) or not isinstance(run.get("identity"), dict):
            raise ConfigurationError(f"{folder}: is a whole run and no shard of one; name the folders that --shard made")
        self.run, self.metrics = run, metrics
        self.index, self.count = (int(number) for number in run["shard"])
        results = compiled.finished(self.output, run["identity"])
        assert results is not None
        self.results, self.baseline = results


def _complete(places: list[Path], wait: float, reporter: Reporter) -> list[_Shard]:
    """Every shard of a job, in order, once each is finished."""
    deadline = time.monotonic() + wait
    said = ""
    # What was read and found whole once is not read again at each look.
    shards: dict[Path, _Shard] = {}
    while True:
        folders = _folders(places)
        for folder in folders:
            if folder not in shards and Output(folder).is_finished():
                shards[folder] = _Shard(folder)
                _belong_together(list(shards.values()))
        missing = [str(folder) for folder in folders if folder not in shards]
        if shards:
            count = next(iter(shards.values())).count
            have = {shard.index for shard in shards.values()}
            named = {folder.name for folder in folders}
            lost = [shard_folder(Path(), index, count).name for index in range(count) if index not in have]
            missing += [f"shard {name}" for name in lost if name not in named]
        elif not missing:
            missing = [f"every shard (nothing is in {', '.join(map(str, places))})"]
        if not missing:
            return sorted(shards.values(), key=lambda shard: shard.index)
        text = f"missing or unfinished: {', '.join(missing)}"
        left = deadline - time.monotonic()
        if left <= 0:
            if wait:
                raise TemporaryError(f"after {wait:g} s of waiting {text}; run again when they are finished")
            raise MissingInputError(f"{text}; run them (train --shard) or wait for them (--wait SECONDS)")
        if text != said:
            reporter.message(f"waiting up to {left:.0f} s; {text}")
            said = text
        time.sleep(min(_POLL_SECONDS, left))


def _folders(places: list[Path]) -> list[Path]:
    found: list[Path] = []
    for place in places:
        inside = sorted((place / "shards").glob("*-of-*")) if (place / "shards").is_dir() else []
        # A run's own folder stands for its shards; another one is a shard, there or still to come.
        is_run = inside or not (place.parent.name == "shards" or (place / "run.json").exists())
        found += inside if is_run else [place]
    return list(dict.fromkeys(found))


def _belong_together(shards: list[_Shard]) -> None:
    """Makes sure that the last one belongs to those before it."""
    *others, last = shards
    for other in others:
        if last.run["identity"] != other.run["identity"]:
            what = compiled.difference(other.run["identity"], last.run["identity"])
        elif (last.count, last.run["seeds"]) != (other.count, other.run["seeds"]):
            what = f"{other.count} shards of {other.run['seeds']} seeds, and {last.count} of {last.run['seeds']}"
        elif last.index == other.index:
            what = f"both are shard {last.index} of {last.count}"
        else:
            continue
        raise ConfigurationError(f"{other.output.folder} and {last.output.folder} do not belong together: {what}")


def _write(output: Output, shards: list[_Shard], results: Results) -> dict[str, Any]:
    first = shards[0]
    savers: dict[str, Saver] = {}
    for name, runs in results.items():
        best = best_seed(runs)
        source = next(shard for shard in shards if best in shard.results.get(name, {}))
        made = source.output.folder / name
        savers |= {
            f"{name}/{each}": _copier([made / each]) for each in ("model.keras", "saved_model") if (made / each).exists()
        }
    savers["tensorboard"] = _copier([shard.output.folder / "tensorboard" for shard in shards])
    labels = first.output.read_labels()
    kinds = (first.metrics["preset"], first.metrics["data"], first.metrics["device"])
    metrics = compile_metrics(*kinds, results, first.baseline, labels)
    run = first.run | {
        "fingerprint": fingerprint(first.run["identity"]),
        "configuration": first.run["configuration"]
        | {"output": str(output.folder), "shard": None, "trainings": _grid(results)},
        "shard": None,
        "shards": [
            {"shard": shard.run["shard"], "device": shard.metrics["device"], "versions": shard.run["versions"]}
            for shard in shards
        ],
        "test_set_looks": [look for shard in shards for look in shard.run["test_set_looks"]],
    }
    extra: dict[str, Any] = {}
    for file in (VOCABULARY, WORD_INDEX, TRAINING_HASHES):
        if (first.output.folder / file).exists():
            extra[file] = (first.output.folder / file).read_bytes()
    chosen = [shard.output.read_json(EXAMPLES) or {} for shard in shards]
    texts = {number: text for each in chosen for number, text in each["texts"].items()}
    # Of the reviews' texts there are those that the shards chose.
    known = choose(labels, predictions(results), lambda number: texts.get(str(number)), np.array(chosen[0]["lengths"]))
    extra[EXAMPLES] = known
    extra |= make(output.folder.resolve().name, metrics, run, results, first.baseline, labels, known)
    output.write_run(run | {"state": "merging", "files": None})
    output.finish(metrics, run, labels, savers, results, first.baseline, extra)
    return metrics


def _copier(sources: list[Path]) -> Saver:
    """Copies a file, or folders into one."""

    def copy(path: Path) -> None:
        for source in sources:
            if source.is_dir():
                shutil.copytree(source, path, dirs_exist_ok=True)
            else:
                shutil.copyfile(source, path)

    return copy


def _grid(results: Results) -> list[dict[str, Any]]:
    return [{"architecture": str(name), "seed": seed} for name, runs in results.items() for seed in sorted(runs)]
